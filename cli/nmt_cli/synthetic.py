"""What commands share whose results are pairs that models have written."""

from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from nmt.errors import UsageError
from nmt_cli.outputs import counted_kinds, warnings_of
from nmt_cli.pace import LinePace, telling
from nmt_cli.processes import is_first
from nmt_cli.resuming import going_on
from nmt_cli.terminal import (
    STREAM,
    check_folder_of,
    console,
    count_option,
    file_option,
    refuse_replacing,
    results,
    say,
    setting,
    warn,
)

if TYPE_CHECKING:
    from nmt.config import DataSettings
    from nmt.io.shards import Shard
    from nmt.synthesis.judging import Outcome, Outputs
    from nmt.synthesis.working import Writing
    from nmt.training.distributed import Ranks
    from nmt.translate.flow import Translations

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


BeamSizeOption = Annotated[int | None, setting("beam_size")]
LengthPenaltyOption = Annotated[float | None, setting("length_penalty")]
PrecisionOption = Annotated[Literal["auto", "fp32", "bf16", "int8"] | None, setting("precision")]


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
    from nmt.corpus.cleaning import RULES_OF_PAIRS

    changed = load_settings(None, overrides or (), base=Settings(data=data)).data
    for one in overrides or ():
        if one.partition("=")[0].strip() not in RULES_OF_PAIRS:
            expected = ", ".join(RULES_OF_PAIRS)
            raise UsageError(f"--set {one}: it does not judge single pairs; expected one of {expected}")
    return changed


def write_and_show(
    writings: "Sequence[Writing]",
    outputs: "Outputs",
    key: dict[str, str],
    *,
    lines: int,
    noun: str,
    shard: "Shard | None",
    ranks: "Ranks | None",
) -> None:
    """Write pairs, show how far the work of about so many lines has come, and print what has become of them."""
    from nmt.synthesis.working import write_pairs
    from nmt.translate.blockwise import LongText

    first, meet = is_first(ranks), ranks.met if ranks else nullcontext
    pace = LinePace(of=LongText(outputs.pairs, lines).lines_in(shard) if shard else lines)
    done, kinds = 0, Counter[str]()

    def on_found(found: "Translations") -> None:
        nonlocal done, kinds
        done, kinds = done + len(found), kinds + warnings_of(found)

    visible, logged = first and console.is_terminal, first and not console.is_terminal
    with going_on(outputs.pairs, shard, visible=first), telling(pace, visible=visible, logged=logged) as on_lines:
        outcome = write_pairs(writings, outputs, key, shard=shard, meet=meet, on_lines=on_lines, on_found=on_found)
    if done:
        say("; ".join([pace.summary(done), *counted_kinds(kinds)]))
    if first:
        _show_outcome(outcome, noun=noun)


def _show_outcome(outcome: "Outcome", *, noun: str) -> None:
    """Print what has become of what was read."""
    from rich.table import Table

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
