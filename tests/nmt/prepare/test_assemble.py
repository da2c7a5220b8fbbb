"""The files of a data folder, from what the stages before have left; most of it is seen in test_pipeline."""

from collections.abc import Callable
from pathlib import Path

import pytest

from nmt.config import Settings
from nmt.prepare.pipeline import prepare
from nmt.prepared import PreparedData
from nmt.prepared.manifest import Counts, OverlapCount, ValidationCount
from nmt.prepared.statistics import read_statistics
from nmt.text.sequences import FlatSequences

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
        ValidationCount(name="valid.src", pairs=1, dropped=1),
        ValidationCount(name="other", pairs=2, dropped=0),
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


def tag_of(data: PreparedData, rows: FlatSequences, row: int) -> str | None:
    """The tag that a source begins with, after the mark of a space that every text has before it."""
    mark, first = (data.tokenizers.src.pieces[id] for id in rows.row(row)[:2])
    return first if mark == "\u2581" and first.startswith("<") else None


def test_a_validation_set_is_stored_with_its_tag_before_each_source(
    tmp_path: Path, corpus: Pairs, write: Write, make_settings: MakeSettings
) -> None:
    write("valid", corpus[:2])
    write("other", [*corpus[2:5], ("", "x")])
    files = ["data.valid_src=valid.src", "data.valid_tgt=valid.tgt"]
    further = "data.validation=[{src=['other.src'], tgt=['other.tgt'], name='other', tag='<web>'}]"
    counts = prepare(tmp_path / "data", make_settings(*files, further)).counts
    assert isinstance(counts, Counts)
    assert [one.tags for one in counts.validation] == [(), ("<web>",)]
    data = PreparedData.open(tmp_path / "data")
    plain, tagged = data.valid_sets
    assert [tag_of(data, plain.src, row) for row in range(2)] == [None, None]
    assert [tag_of(data, tagged.src, row) for row in range(3)] == ["<web>", "<web>", "<web>"]
    assert tagged.src_texts == [src for src, _ in corpus[2:5]]  # as they were
    for pairs, tag in ((plain, ""), (tagged, "<web> ")):
        texts = [tag + text for text in pairs.src_texts]
        assert [pairs.src.row(row) for row in range(len(texts))] == data.tokenizers.src.encode(texts)
        assert [pairs.tgt.row(row) for row in range(len(texts))] == data.tokenizers.tgt.encode(pairs.tgt_texts)
    lengths = read_statistics(tmp_path / "data").valid["other"].columns["src"].pieces
    assert lengths.total == tagged.src.lengths.sum()


def test_pairs_that_are_held_out_keep_the_tag_of_their_corpus(
    tmp_path: Path, pairs: Pairs, write: Write, make_settings: MakeSettings
) -> None:
    write("train", pairs[:70])
    for name, part in (("one", pairs[70:140]), ("two", pairs[140:])):
        write(name, part)
    corpora = ", ".join(f"{{src=['{name}.src'], tgt=['{name}.tgt'], tag='<{name}>'}}" for name in ("one", "two"))
    counts = prepare(tmp_path / "data", make_settings(f"data.corpora=[{corpora}]"), block=30).counts
    assert isinstance(counts, Counts)
    tags = {src: tag for part, tag in ((0, None), (70, "<one>"), (140, "<two>")) for src, _ in pairs[part : part + 70]}
    data = PreparedData.open(tmp_path / "data")
    found = [tag_of(data, data.valid.src, row) for row in range(21)]
    assert found == [tags[text] for text in data.valid.src_texts]
    assert set(found) == {None, "<one>", "<two>"}
    assert [found.count(tag) for tag in (None, "<one>", "<two>")] == [one.heldout for one in counts.corpora]
    assert [one.tags for one in counts.validation] == [("<one>", "<two>")]
