"""How scores of a language model are written: a line for each line of text, and the totals."""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nmt.wording import counted
from nmt_cli.streams import open_output

if TYPE_CHECKING:
    from rich.table import Table

    from nmt.lm import LineScore, Totals


@contextmanager
def score_writer(
    output: Path, form: Literal["text", "json"], *, pieces: Sequence[str]
) -> "Iterator[Callable[[Sequence[LineScore], int], None]]":
    """Give a function that writes the scores of lines, the first of which has this index, counted from 0.

    It writes to stdout at once, or to a file that gets its name when all is done.
    """
    with open_output(output) as file:

        def write(scores: "Sequence[LineScore]", first: int) -> None:
            if form == "json":
                lines = (_json_line(number, one, pieces) for number, one in enumerate(scores, start=first + 1))
            else:
                lines = (f"{one.perplexity:.4f}\t{one.log_probability:.4f}\t{one.words}\n" for one in scores)
            file.write("".join(lines).encode("utf-8"))
            file.flush()

        yield write


def sentence(totals: "Totals", *, carried: bool) -> str:
    """Say the totals in one line."""
    unknown = f", {totals.unknown:,} of them unknown" if totals.unknown else ""
    return (
        f"{counted(totals.lines, 'line')}, {_how(carried)}, {counted(totals.words, 'piece')}{unknown}: "
        f"perplexity {totals.perplexity:.2f}, "
        f"{totals.perplexity_per_space_separated_word:.2f} per space-separated word, "
        f"{totals.bits_per_character:.3f} bits a character"
    )


def to_table(totals: "Totals", *, carried: bool) -> "Table":
    """Make a table of the totals, with a row for each."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    for name, value in (
        ("lines", f"{totals.lines:,}"),
        ("scored", _how(carried)),
        ("pieces and </s>", f"{totals.words:,}"),
        ("unknown", f"{totals.unknown:,}"),
        ("log-probability", f"{totals.log_probability:.2f}"),
        ("perplexity", f"{totals.perplexity:.2f}"),
        ("perplexity per space-separated word", f"{totals.perplexity_per_space_separated_word:.2f}"),
        ("bits a character", f"{totals.bits_per_character:.3f}"),
    ):
        table.add_row(name, value)
    return table


def to_json(totals: "Totals", *, carried: bool) -> str:
    """Write the totals as a JSON object."""
    record = {
        "lines": totals.lines,
        "carried": carried,
        "words": totals.words,
        "unknown": totals.unknown,
        "log_probability": totals.log_probability,
        "perplexity": _number(totals.perplexity),
        "space_separated_words": totals.space_separated,
        "perplexity_per_space_separated_word": _number(totals.perplexity_per_space_separated_word),
        "characters": totals.characters,
        "bits_per_character": _number(totals.bits_per_character),
    }
    return json.dumps(record, indent=2)


def _how(carried: bool) -> str:
    return "each after those before it" if carried else "each by itself"


def _json_line(number: int, one: "LineScore", pieces: Sequence[str]) -> str:
    record: dict[str, Any] = {
        "line": number,
        "perplexity": _number(one.perplexity),
        "log_probability": one.log_probability,
        "words": one.words,
        "pieces": [pieces[index] for index in one.ids],
        "log_probabilities": list(one.log_probs),
    }
    return json.dumps(record, ensure_ascii=False) + "\n"


def _number(value: float) -> float | None:
    """Return what JSON has a number for."""
    return value if math.isfinite(value) else None
