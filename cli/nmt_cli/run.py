"""`nmt run`: a recipe from text to scores."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

import typer

from nmt.errors import UsageError
from nmt_cli.prepare import run_preparation
from nmt_cli.side_by_side import SideBySide, command_of
from nmt_cli.staging import run_nodes, show_plan, show_results
from nmt_cli.terminal import SetOption, console, count_option, counting, loading, results, say
from nmt_cli.train import run_training
from nmt_cli.whats_next import say_what_is_next

if TYPE_CHECKING:
    from nmt.config import Settings
    from nmt.metrics import Score


_OF_STAGES: Final = "Recipes with stages"


class Tested(NamedTuple):
    """The two sides of a test text, its translations, and their scores."""

    src: Path
    tgt: Path
    hypotheses: Path
    scores: "tuple[Score, ...]"


def run(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE.toml", help="Settings that name the text files.")],
    work: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where everything goes.", show_default="runs/RECIPE")
    ] = None,
    overrides: SetOption = None,
    stage: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Do this stage alone; what it needs has to be done.", rich_help_panel=_OF_STAGES
        ),
    ] = None,
    parallel: Annotated[
        int,
        count_option(
            help="Do so many stages at a time where none waits for the other, each with its share of the cores, or a "
            "GPU.",
            rich_help_panel=_OF_STAGES,
        ),
    ] = 1,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Print which stages are done, why others are not, and about how long they will take, which some steps "
            "and lines tell that are timed; nothing is done.",
            rich_help_panel=_OF_STAGES,
        ),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the table of stages as JSON.", rich_help_panel=_OF_STAGES)
    ] = False,
) -> None:
    """Run a recipe: prepare, train, translate the test text, score. Finished stages are not repeated.

    A recipe may have stages of its own, tables such as \\[stages.backward], each of which does what a command does
    (docs/stages.md). One is done again when its settings or what it is made from have changed.

    Where the recipe names text of one language, it trains a language model, and reports the perplexity of the test
    text.

    Relative names of text are relative to data.root, which is relative to the recipe's own folder. In a recipe without
    it they are relative to the working folder; root = "." makes that the recipe's.

    \b
    Examples:
      nmt run recipes/multi30k-en-de.toml
      nmt run recipes/multi30k-en-de.toml --work runs/small \\
          --set model.hidden_size=256
      nmt run recipes/lm-small.toml --set data.root=ptb
      nmt run student.toml --dry-run
      nmt run student.toml --parallel 2
      nmt run student.toml --stage backward
    """
    from nmt.config import load_settings
    from nmt.config.load import check_kind, read_stages

    folder = work or Path("runs") / recipe.stem
    if read_stages(recipe):
        recipe_of_stages = _OfStages(recipe, folder, overrides or [])
        recipe_of_stages.run(stage=stage, parallel=parallel, dry_run=dry_run, as_json=as_json)
        return
    of_stages = {"--stage": stage is not None, "--parallel": parallel > 1, "--dry-run": dry_run, "--json": as_json}
    for name, given in of_stages.items():
        if given:
            raise UsageError(f"{name} is about the stages of a recipe, but {recipe} has no [stages]")
    settings = load_settings(recipe, overrides or [])
    check_kind(settings)
    if tested := run_stages(settings, folder, recipe=recipe, overrides=overrides or []):
        show_scores(tested.scores)
    from nmt.chain import MODEL  # by now it is loaded

    say_what_is_next(folder / MODEL, of_text=bool(settings.data.train_text))


class _OfStages(NamedTuple):
    """A recipe that has stages of its own."""

    recipe: Path
    work: Path
    overrides: Sequence[str]

    def run(self, *, stage: str | None, parallel: int, dry_run: bool, as_json: bool) -> None:
        """Do them, or one, or tell what is to do."""
        from nmt.config.load import did_you_mean

        with loading():
            from nmt.graph.order import load_nodes

        load = partial(load_nodes, self.recipe, self.overrides)
        nodes = load(self.work)
        names = {node.name: node.name for node in nodes}
        if stage is not None and stage not in names:
            raise UsageError(f"--stage {stage}: {self.recipe} has no such stage{did_you_mean(stage, names)}")
        if stage is not None and parallel > 1:
            raise UsageError(f"--stage {stage} is one, and --parallel {parallel} about several; leave one of them out")
        if dry_run:
            show_plan(nodes, load, only=stage, at_once=parallel, as_json=as_json)
        elif parallel == 1:
            run_nodes(nodes, only=stage, as_json=as_json)
        else:
            changes = [part for one in self.overrides for part in ("--set", one)]
            arguments = ["run", str(self.recipe), "--work", str(self.work), *changes]
            SideBySide(partial(command_of, arguments), at_once=parallel).do(nodes)
            show_results(nodes, as_json=as_json)


def run_stages(settings: "Settings", work: Path, *, recipe: Path, overrides: Sequence[str]) -> Tested | None:
    """Run the stages in `work`, and return what translations left; None if there is no test text to translate.

    The training merges the recipe and the overrides with the settings of the data and of a run that was begun. Of a
    language model the perplexity of the test text is printed on stdout; the state is carried through the whole text,
    whatever `training.carry_state` is.
    """
    from nmt.chain import DATA, MODEL, TEST, check_test_tag, find_test_texts, read_test, score_test, translate_test

    of_text = bool(settings.data.train_text)
    texts, stages = find_test_texts(settings), 3 if of_text else 4
    say(f"1/{stages} prepare: {work / DATA}")
    run_preparation(work / DATA, settings, table=console)
    check_test_tag(work / DATA, settings)
    say(f"2/{stages} train: {work / MODEL}")
    if trained := run_training(work / DATA, work / MODEL, recipe=recipe, overrides=overrides):
        say(trained)
    if not texts:
        names = "data.test_text" if of_text else "data.test_src, data.test_tgt"
        say(f"the recipe names no test text ({names}); the model is {work / MODEL}")
        return None
    if of_text:
        say(f"3/3 test: {texts[0]}")
        found = read_test(work / MODEL, texts[0], work / TEST, settings)
        conditions = f"words:{found.pieces}|lines:{found.lines}|unknown:{found.unknown}|state:carried"
        results.print(f"PPL   {found.perplexity:6.2f}  {conditions}", soft_wrap=True)
        return None
    src, tgt = texts
    say(f"3/4 translate: {src}")
    with counting("translating") as show:
        hypotheses, made = translate_test(work / MODEL, src, work / TEST, settings, on_lines=show)
    say(f"{hypotheses}{'' if made else ' is up to date'}")
    say(f"4/4 score: {tgt}")
    return Tested(src, tgt, hypotheses, score_test(hypotheses, tgt, settings))


def show_scores(scores: "tuple[Score, ...]") -> None:
    """Print scores with their signatures on stdout."""
    for one in scores:
        results.print(f"{one.name:<5} {one.score:6.2f}  {one.signature}", soft_wrap=True)
