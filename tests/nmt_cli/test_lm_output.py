import io
import json
import math

import pytest
from rich.console import Console

from nmt.lm import Totals
from nmt_cli.lm import sentence, to_json, to_table

# 2 bits for each of 1,000 pieces: a perplexity of 4, of 16 for half as many units, and half a bit for 4 times as many
TOTALS = Totals(
    lines=100, pieces=1000, unknown=0, log_probability=-2000 * math.log(2), characters=4000, space_separated=500
)


def test_the_totals_make_a_sentence() -> None:
    assert sentence(TOTALS, carried=True) == (
        "100 lines, each after those before it, 1,000 pieces: perplexity 4.00, 16.00 per space-separated word, "
        "0.500 bits a character"
    )


def test_unknown_pieces_are_told() -> None:
    said = sentence(Totals(lines=1, pieces=2, unknown=1, log_probability=-1.0), carried=False)
    assert said.startswith("1 line, each by itself, 2 pieces, 1 of them unknown: perplexity 1.65")


def test_the_totals_make_a_table() -> None:
    page = io.StringIO()
    Console(file=page, width=200).print(to_table(TOTALS, carried=False))
    rows = [line.rsplit(maxsplit=1) for line in page.getvalue().splitlines()]
    assert rows[2] == ["pieces and </s>", "1,000"]
    assert rows[-3:] == [
        ["perplexity", "4.00"],
        ["perplexity per space-separated word", "16.00"],
        ["bits a character", "0.500"],
    ]


def test_the_totals_make_an_object_for_programs() -> None:
    record = json.loads(to_json(TOTALS, carried=True))
    figures = [record.pop(name) for name in list(record) if name.startswith(("perplexity", "bits", "log"))]
    assert figures == pytest.approx([-2000 * math.log(2), 4, 16, 0.5])
    assert record == {
        "lines": 100,
        "carried": True,
        "words": 1000,
        "unknown": 0,
        "space_separated_words": 500,
        "characters": 4000,
    }


def test_what_json_has_no_number_for_is_null() -> None:
    record = json.loads(to_json(Totals(lines=1), carried=True))
    assert (record["perplexity"], record["bits_per_character"]) == (None, None)
