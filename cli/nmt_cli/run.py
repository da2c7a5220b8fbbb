"""`nmt run`: a recipe from text to scores."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nmt_cli.arguments import SetOption
from nmt_cli.console import console, progress, results, say
from nmt_cli.prepare import run_preparation
from nmt_cli.train import run_training

if TYPE_CHECKING:
    from nmt.chain import TestTexts
    from nmt.config import Settings
    from nmt.metrics import Score


@dataclass(frozen=True)
class ChainResult:
    """What the stages left."""

    model_dir: Path
    texts: "TestTexts"
    hypotheses: Path
    scores: "tuple[Score, ...]"


def run(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE.toml", help="Settings that name the text files.")],
    work: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where everything goes.", show_default="runs/RECIPE")
    ] = None,
    overrides: SetOption = None,
) -> None:
    """Run a recipe: prepare, train, translate the test text, score. Finished stages are not repeated.

    Where the recipe names text of one language, it trains a language model, and tells the perplexity of the test text.

    Relative names of text count from data.root, which counts from the recipe's own folder. In a recipe without it they
    count from the working folder; root = "." makes that the recipe's.

    \b
    Examples:
      nmt run recipes/multi30k-en-de.toml
      nmt run recipes/multi30k-en-de.toml --work runs/small \\
          --set model.hidden_size=256
      nmt run recipes/lm-small.toml --set data.root=ptb
    """
    from nmt.config import load_settings
    from nmt.config.load import check_kind

    folder = work or Path("runs") / recipe.stem
    settings = load_settings(recipe, overrides or [])
    check_kind(settings)
    if settings.data.train_text:
        _run_on_text(recipe, folder, overrides or [])
    elif result := run_stages(recipe, folder, overrides or []):
        show_scores(result)


def run_stages(recipe: Path, work: Path, overrides: list[str]) -> ChainResult | None:
    """Run the stages in `work`, and return what they left; None if the recipe names no test text.

    Raises:
        typer.Exit: The user stopped the training.
    """
    from nmt.chain import DATA, MODEL, TEST, check_test_tag, find_test_texts, score_test
    from nmt.config import load_settings

    settings = load_settings(recipe, overrides)
    texts = find_test_texts(settings)
    say(f"1/4 prepare: {work / DATA}")
    run_preparation(work / DATA, settings, table=console)
    check_test_tag(work / DATA, settings)
    say(f"2/4 train: {work / MODEL}")
    if trained := run_training(work / DATA, work / MODEL, recipe=recipe, overrides=overrides):
        say(trained)
    if texts is None:
        say(f"the recipe names no test text (data.test_src, data.test_tgt); the model is {work / MODEL}")
        return None
    say(f"3/4 translate: {texts.src}")
    hypotheses, made = _translate_with_progress(work / MODEL, texts.src, work / TEST, settings)
    say(f"{hypotheses}{'' if made else ' is up to date'}")
    say(f"4/4 score: {texts.tgt}")
    return ChainResult(work / MODEL, texts, hypotheses, score_test(hypotheses, texts, settings))


def show_scores(result: ChainResult) -> None:
    """Print the scores with their signatures on stdout."""
    for one in result.scores:
        results.print(f"{one.name:<5} {one.score:6.2f}  {one.signature}", soft_wrap=True)


def _run_on_text(recipe: Path, work: Path, overrides: list[str]) -> None:
    """Run the stages of a language model in `work`, and print the perplexity of the test text on stdout.

    The text is read on and on, as in validation, whether or not the model was trained so (`training.carry_state`).
    """
    from nmt.chain import DATA, MODEL, TEST, find_test_text, read_test
    from nmt.config import load_settings

    settings = load_settings(recipe, overrides)
    text = find_test_text(settings)
    say(f"1/3 prepare: {work / DATA}")
    run_preparation(work / DATA, settings, table=console)
    say(f"2/3 train: {work / MODEL}")
    if trained := run_training(work / DATA, work / MODEL, recipe=recipe, overrides=overrides):
        say(trained)
    if text is None:
        say(f"the recipe names no test text (data.test_text); the model is {work / MODEL}")
        return
    say(f"3/3 test: {text}")
    found = read_test(work / MODEL, text, work / TEST, settings)
    conditions = f"words:{found.pieces}|lines:{found.lines}|unknown:{found.unknown}|state:carried"
    results.print(f"PPL   {found.perplexity:6.2f}  {conditions}", soft_wrap=True)


def _translate_with_progress(model_dir: Path, src: Path, test_dir: Path, settings: "Settings") -> tuple[Path, bool]:
    from nmt.chain import translate_test

    with progress() as bar:
        task = bar.add_task("translating", total=None)

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        return translate_test(model_dir, src, test_dir, settings, on_lines=show)
