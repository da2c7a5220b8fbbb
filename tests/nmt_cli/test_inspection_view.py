import copy
import io
import re
from typing import Any

import pytest
from rich.console import Console

from nmt.io.lines import Pair
from nmt.prepared import PreparedData
from nmt.prepared.manifest import CorpusCount, OverlapCount
from nmt.report.inspection import CORPUS, Inspection, inspect
from nmt_cli.inspect import show


@pytest.fixture
def inspection(toy_data: PreparedData) -> Inspection:
    return copy.deepcopy(inspect(toy_data.folder))


def with_counts(inspection: Inspection, **changes: Any) -> Inspection:
    counts = inspection.manifest.counts.model_copy(update=changes)
    manifest = inspection.manifest.model_copy(update={"counts": counts})
    return Inspection(inspection.folder, manifest, inspection.statistics, inspection.sides)


def printed(inspection: Inspection, *, width: int = 200) -> str:
    stream = io.StringIO()
    show(inspection, Console(file=stream, width=width, highlight=False, markup=False))
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines())


def test_reasons_have_bars_in_proportion_and_those_that_took_nothing_are_not_there(inspection: Inspection) -> None:
    text = printed(with_counts(inspection, read=1000, rejected={"empty": 20, "copy": 0, "duplicate": 5}))
    assert f"  empty          20  2.00%  {'█' * 24}\n" in text
    assert f"  duplicate       5  0.50%  {'█' * 6}\n" in text
    assert "copy" not in text.partition("\nlengths")[0]


def test_corpora_are_shown_when_there_are_several(inspection: Inspection) -> None:
    one = CorpusCount(name="a", weight=1, tag=None, read=10, rejected={"copy": 2}, heldout=1, train=7)
    assert "corpora" not in printed(with_counts(inspection, corpora=(one,)))
    text = printed(with_counts(inspection, corpora=(one, one.model_copy(update={"name": "b", "tag": "<b>"}))))
    head, first, second = text.partition("\ncorpora\n")[2].splitlines()[:3]
    assert re.split("  +", head.strip()) == list(CORPUS)
    numbers = ["10", "2", "1", "7", "1", "50.0%"]
    assert [first.split(), second.split()] == [["a", *numbers], ["b", *numbers, "<b>"]]


def test_lengths_have_a_histogram_of_block_characters(inspection: Inspection) -> None:
    words = inspection.sides[0].train.words
    words.counts[:] = 0
    words.counts[1:6] = [70, 1, 10, 35, 7]
    (row,) = (line for line in printed(inspection).splitlines() if line.startswith("  source, words"))
    assert row.endswith("   █▁▂▄▁")


def test_overlap_is_shown(inspection: Inspection) -> None:
    text = printed(with_counts(inspection, overlap={"test": OverlapCount(source=1234, target=0, pair=7)}))
    assert [line.split() for line in text.partition("\noverlap\n")[2].splitlines()[1:2]] == [
        ["with", "test", "1,234", "0", "7"]
    ]


def test_unknown_characters_are_shown_with_their_names(inspection: Inspection) -> None:
    inspection.sides[0].train.unknown_characters.update({"\u2603": 1_500, "\u00a0": 2})
    text = printed(inspection)
    assert "  source: \u2603     1,500           0  U+2603 SNOWMAN\n" in text
    assert "U+00A0 NO-BREAK SPACE" in text


def test_examples_are_cut_and_cannot_reach_the_terminal(inspection: Inspection) -> None:
    inspection.statistics.rejected.clear()
    inspection.statistics.reject(Pair("\x1b[31mred", "y" * 200, "[bold]a.en", 12), "copy", seed=1)
    text = printed(inspection)
    assert "  copy  [bold]a.en:12\n        \u241b[31mred\n" in text
    assert f"        {'y' * 100}…" in text


def test_at_most_two_examples_of_a_reason_are_shown(inspection: Inspection) -> None:
    inspection.statistics.rejected.clear()
    for line in range(9):
        inspection.statistics.reject(Pair("a", "a", "some.en", line), "copy", seed=1)
    assert printed(inspection).count("some.en:") == 2


def test_a_narrow_terminal_shows_every_number(inspection: Inspection) -> None:
    one = CorpusCount(name="n" * 50, weight=0.5, tag="<tag>", read=12_345_678, rejected={}, heldout=0, train=7)
    shown = with_counts(inspection, corpora=(one, one))
    text = printed(shown, width=80).partition("\nexamples")[0]
    assert "…" not in text
    assert "12,345,678" in text
