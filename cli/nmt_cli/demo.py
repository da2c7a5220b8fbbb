"""`nmt demo`: the whole chain on the built-in phrasebook."""

import shlex
import sys
from pathlib import Path
from shutil import which
from typing import Annotated

import typer

from nmt_cli.run import run_stages, show_scores
from nmt_cli.terminal import SetOption, count_option, results, say


def demo(
    work: Annotated[Path, typer.Option(metavar="DIR", help="Where everything goes.")] = Path("runs/demo"),
    pairs: Annotated[int, typer.Option(metavar="N", min=3000, max=20_000, help="Training pairs to write.")] = 20_000,
    show: Annotated[int, count_option(help="Unseen sentences to show with their translations.")] = 12,
    overrides: SetOption = None,
) -> None:
    """Train an English-French translator on the built-in phrasebook, one to five minutes on two cores, and show it.

    The test sentences combine words in ways that never occur in training.

    \b
    Examples:
      nmt demo
      nmt demo --work runs/gru --set model.cell=gru
    """
    from importlib.resources import as_file, files

    from rich.table import Table

    from nmt.config import Settings, load_settings
    from nmt.phrasebook import choose_examples, write_corpus

    say(f"writing {pairs:,} phrasebook pairs: {work / 'corpus'}")
    corpus = Settings(data=write_corpus(work / "corpus", train_pairs=pairs))
    with as_file(files("nmt_data") / "demo.toml") as recipe:
        settings = load_settings(recipe, overrides or (), base=corpus)
        tested = run_stages(settings, work, recipe=recipe, overrides=overrides or ())
    assert tested is not None
    table = Table("", "unseen sentence", "translation", box=None, pad_edge=False)
    for src, hypothesis, reference in choose_examples(tested.src, tested.hypotheses, tested.tgt, count=show):
        table.add_row("=" if hypothesis == reference else "≠", src, hypothesis)
        if hypothesis != reference:
            table.add_row("", "", f"expected: {reference}", style="dim")
    results.print(table)
    show_scores(tested.scores)
    say(f"try it: echo 'Where is the station?' | {_command()} translate {shlex.quote(str(work / 'model'))}")


def _command() -> str:
    """Return what runs this program: its path, as with `make demo`, where the shell does not find it by its name."""
    called = Path(sys.argv[0])
    return shlex.quote(str(called)) if called.name == "nmt" and which("nmt") is None else "nmt"
