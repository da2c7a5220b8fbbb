"""`nmt demo`: the whole chain on the built-in phrasebook."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nmt_cli.arguments import SetOption
from nmt_cli.console import results, say
from nmt_cli.run import run_stages, show_scores

if TYPE_CHECKING:
    from rich.table import Table

    from nmt.phrasebook import TranslatedSentence


def demo(
    work: Annotated[Path, typer.Option(metavar="DIR", help="Where everything goes.")] = Path("runs/demo"),
    pairs: Annotated[int, typer.Option(metavar="N", min=3000, max=20_000, help="Training pairs to write.")] = 20_000,
    show: Annotated[
        int, typer.Option(metavar="N", min=1, help="Unseen sentences to show with their translations.")
    ] = 12,
    overrides: SetOption = None,
) -> None:
    """Train an English-French translator on the built-in phrasebook, about three minutes on two cores, and show it.

    The test sentences combine words in ways that never occur in training.

    \b
    Examples:
      nmt demo
      nmt demo --work runs/gru --set model.cell=gru
    """
    from importlib.resources import as_file, files

    from nmt.phrasebook import choose_examples, write_corpus

    say(f"writing {pairs:,} phrasebook pairs: {work / 'corpus'}")
    corpus = write_corpus(work / "corpus", train_pairs=pairs)
    with as_file(files("nmt_data") / "demo.toml") as recipe:
        result = run_stages(recipe, work, [*corpus, *(overrides or [])])
    if result is None:
        raise AssertionError("the demo has test sentences")
    results.print(_to_table(choose_examples(result.texts.src, result.hypotheses, result.texts.tgt, count=show)))
    show_scores(result)
    say(f"try it: echo 'Where is the station?' | nmt translate {result.model_dir}")


def _to_table(examples: "list[TranslatedSentence]") -> "Table":
    from rich.table import Table

    table = Table("", "unseen sentence", "translation", box=None, pad_edge=False)
    for example in examples:
        right = example.hypothesis == example.reference
        table.add_row(*("=" if right else "≠", example.src, example.hypothesis))
        if not right:
            table.add_row("", "", f"expected: {example.reference}", style="dim")
    return table
