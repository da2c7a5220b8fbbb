"""The files of a data folder, from what the stages before have left; most of it is seen in test_pipeline."""

from collections.abc import Callable
from pathlib import Path

import pytest

from nmt.config import Settings
from nmt.prepared import PreparedData
from nmt.prepared.manifest import Counts, OverlapCount, ValidCount
from nmt.prepared.pipeline import prepare
from nmt.prepared.statistics import read_statistics

Pairs = list[tuple[str, str]]
MakeSettings = Callable[..., Settings]
Write = Callable[[str, Pairs], None]


@pytest.fixture
def counts(tmp_path: Path, corpus: Pairs, write: Write, make_settings: MakeSettings) -> Counts:
    """Of data with two validation sets and a test text."""
    write("valid", [corpus[0], ("", "x")])
    write("other", [("the cat", "tac eht"), ("a dog", "god a")])
    write("test", [(corpus[1][0], "another"), ("another", corpus[2][1]), corpus[2]])
    files = ["data.valid_src=valid.src", "data.valid_tgt=valid.tgt", "data.test_src=test.src", "data.test_tgt=test.tgt"]
    further = "data.validation=[{src=['other.src'], tgt=['other.tgt'], name='other'}]"
    counts = prepare(tmp_path / "data", make_settings(*files, further), block=50, workers=1).counts
    assert isinstance(counts, Counts)
    return counts


def test_validation_sets_lie_end_to_end(tmp_path: Path, corpus: Pairs, counts: Counts) -> None:
    assert counts.validation == (
        ValidCount(name="valid.src", pairs=1, dropped=1),
        ValidCount(name="other", pairs=2, dropped=0),
    )
    assert (counts.valid, counts.valid_dropped) == (3, 1)
    sets = PreparedData.open(tmp_path / "data").valid_sets
    assert [text for one in sets for text in one.src_texts] == [corpus[0][0], "the cat", "a dog"]


def test_overlap_is_counted_for_validation_and_test(counts: Counts) -> None:
    assert counts.overlap == {
        "validation": OverlapCount(source=1, target=1, pair=1),
        "test": OverlapCount(source=2, target=1, pair=1),
    }


def test_statistics_are_those_of_all_blocks(tmp_path: Path, counts: Counts) -> None:
    statistics = read_statistics(tmp_path / "data")
    assert statistics.train.columns["src"].pieces.total == counts.src_pieces
    assert statistics.train.columns["tgt"].pieces.rows == counts.train == 210
    assert {name: one.columns["src"].pieces.rows for name, one in statistics.valid.items()} == {
        "valid.src": 1,
        "other": 2,
    }


def test_there_is_one_corpus_and_it_has_all_pairs(counts: Counts) -> None:
    [corpus] = counts.corpora
    assert (corpus.name, corpus.weight, corpus.tag, corpus.heldout) == ("train.src", 1.0, None, 0)
    assert corpus.train == counts.train
    assert corpus.rejected == counts.rejected
