"""What commands share whose results are pairs that models have written."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nmt.errors import NmtError, UsageError
from nmt_cli.pace import LinePace, telling
from nmt_cli.terminal import (
    STREAM,
    check_folder_of,
    console,
    count_option,
    file_option,
    refuse_replacing,
    results,
    say,
    warn,
)

if TYPE_CHECKING:
    from nmt.config import DataSettings
    from nmt.synthesis.judging import Outcome
    from nmt.translate.flow import OnLines

judged_option = partial(typer.Option, rich_help_panel="What is left out")
OutputFile = Annotated[
    Path, file_option("--output", "-o", help="The pairs, as source <tab> target lines; a corpus of `nmt prepare`.")
]
RejectedFile = Annotated[
    Path | None,
    judged_option("--rejected", metavar="FILE", help="What was left out and why, an object of JSON a line."),
]
CleaningOption = Annotated[
    list[str] | None,
    judged_option("--set", metavar="data.KEY=VALUE", help="A rule of cleaning, as of `nmt prepare`; repeatable."),
]
WorkersOption = Annotated[
    int, count_option(help="Processes that translate; each uses one CPU core.", rich_help_panel="Computation")
]


def refuse_without(needed: str, options: dict[str, Any], *, what: str) -> None:
    """Refuse options about something that is not there; `needed` would bring it."""
    for name in [name for name, value in options.items() if value is not None]:
        raise UsageError(f"--{name.replace('_', '-')} is about {what}; it needs {needed}")


def check_outputs(inputs: list[Path], output: Path, rejected: Path | None) -> None:
    """Refuse outputs that cannot be written, before any work is done."""
    outputs = [output, *([rejected] if rejected else [])]
    for path in outputs:
        if path == STREAM or (path == output and path.exists() and not path.is_file()):
            raise UsageError(f"expected a file, since the pairs are sorted out when all are known, found {path}")
        check_folder_of(path)
    if rejected and rejected.resolve() == output.resolve():
        raise UsageError(f"the pairs and what is left out cannot both go to {output}")
    refuse_replacing(inputs, outputs)


def with_rules(data: "DataSettings", overrides: list[str] | None) -> "DataSettings":
    """Change the rules of cleaning as `--set` says."""
    from nmt.config import Settings, load_settings
    from nmt.synthesis.judging import RULES

    changed = load_settings(None, overrides or (), base=Settings(data=data)).data
    for one in overrides or ():
        if one.partition("=")[0].strip() not in RULES:
            raise UsageError(f"--set {one}: it does not judge single pairs; expected one of {', '.join(RULES)}")
    return changed


@contextmanager
def working(output: Path, pace: LinePace) -> "Iterator[OnLines]":
    """Give what shows how far the work has come, and tells the pace; where it is interrupted, say how it goes on."""
    from nmt.io.work import work_folder

    try:
        with telling(pace, visible=console.is_terminal, logged=not console.is_terminal) as on_lines:
            yield on_lines
    except (KeyboardInterrupt, OSError, NmtError):
        if (work := work_folder(output)).exists():
            say(f"what is done is kept in {work}: the same command continues from there")
        raise


def show_outcome(outcome: "Outcome", pace: LinePace, *, noun: str) -> None:
    """Say what this process did, and print what has become of what was read."""
    from rich.table import Table

    say(pace.summary(outcome.translated))
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    rows = {f"{noun} read": outcome.read}
    rows |= {f"  left out: {reason}": count for reason, count in outcome.rejected.items()}
    for name, count in (rows | {"pairs written": outcome.written}).items():
        table.add_row(name, f"{count:,}")
    results.print(table)
    if outcome.read and not outcome.written:
        warn("no pair is left of what was read; --rejected FILE shows the pairs")
