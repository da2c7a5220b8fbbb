import json
import pickle
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from nmt.config import load_settings
from nmt.corpus.hashes import Overlap, find_duplicates
from nmt.corpus.plain import ParallelFiles
from nmt.io.lines import Line, Pair
from nmt.prepare.blocks import Encoded, Fresh, Rejection, Rows, Sifted
from nmt.prepare.inputs import Corpus
from nmt.prepare.kinds import LineKind, PairKind
from nmt.prepare.stages import Accepted, Encoder, Raw, Selected, Sifter, by_column, encode
from nmt.text.tokenizer import JOINT_MODEL, Tokenizer, Tokenizers
from nmt.text.tokenizer_training import TokenizerPlan, train_tokenizer

from .conftest import BlockOf

PAIRS = [Pair("a", "b", "f", 1), Pair("", "b", "f", 2), Pair("c", "c", "f", 3), Pair("a", "b", "f", 4)]


def sift(folder: Path, pairs: Sequence[Pair]) -> Sifted:
    kind = PairKind(load_settings(None))
    return Sifter(kind, kind.make_judge(Overlap({})))(Raw(folder, 1, BlockOf(pairs)))


def test_accepted_pairs_are_written_and_rejected_ones_listed(tmp_path: Path) -> None:
    sifted = sift(tmp_path / "block", PAIRS)
    assert sifted == Sifted(tmp_path / "block", 4, {"empty": 1, "copy": 1}, accepted=2, corpus=1)
    assert sifted.records(Pair) == [PAIRS[0], PAIRS[3]]
    assert sifted.records(Pair, Rows(np.array([1]))) == [PAIRS[3]]
    assert sifted.texts(Pair, Rows(np.array([0]))) == (["a"], ["b"])
    assert sifted.places().tolist() == [0, 3]
    assert sifted.rejections() == [Rejection(1, "f", 2, "empty"), Rejection(2, "f", 3, "copy")]
    assert {reason: len(examples) for reason, examples in sifted.statistics().rejected.items()} == {
        "empty": 1,
        "copy": 1,
    }


def test_equal_pairs_have_equal_hashes_and_are_kept_here(tmp_path: Path) -> None:
    sifted = sift(tmp_path / "block", PAIRS)
    first, second = sifted.hashes().tolist()
    assert first == second
    keys = sifted.keys(Rows(np.array([0, 1])))
    assert (len(set(keys.source.tolist())), len(set(keys.target.tolist()))) == (1, 1)


def test_a_cleaned_block_is_found_again(tmp_path: Path) -> None:
    assert Sifted.find(tmp_path / "block") is None
    sifted = sift(tmp_path / "block", PAIRS)
    assert Sifted.find(tmp_path / "block") == sifted


def test_a_block_of_which_nothing_is_accepted_is_one_too(tmp_path: Path) -> None:
    sifted = sift(tmp_path / "block", PAIRS[1:3])
    assert (sifted.read, sifted.accepted, sifted.records(Pair)) == (2, 0, [])
    assert sifted.hashes().tolist() == []


def test_lines_have_neither_hashes_nor_keys(tmp_path: Path) -> None:
    kind = LineKind(load_settings(None))
    lines = [Line("a", "f", 1), Line("", "f", 2)]
    sifted = Sifter(kind, kind.make_judge(Overlap({})))(Raw(tmp_path / "block", 0, BlockOf(lines)))
    assert sifted.records(Line) == lines[:1]
    assert json.loads((tmp_path / "block" / "summary.json").read_bytes())["rejected"] == {"empty": 1}
    assert not list((tmp_path / "block").glob("*.npy"))


# No merges beyond the characters fit in 10 pieces: 4 specials, the word mark, a, b, c, d, e.
MODEL = train_tokenizer(["a b c d e"], TokenizerPlan("bpe", 10))
TOKENIZER = Tokenizer(MODEL)
OTHER = Tokenizer(train_tokenizer(["a b"], TokenizerPlan("word", 6)))
MARK, A, B = (TOKENIZER.pieces.index(piece) for piece in ("\u2581", "a", "b"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the tokenizer."""
    (tmp_path / JOINT_MODEL).write_bytes(MODEL)
    return tmp_path


def encode_pairs(
    folder: Path, texts: Sequence[tuple[str, str]], *overrides: str, heldout: Sequence[int] = (),
    tag: str | None = None, overlap: Sequence[Pair] = (),
) -> Encoded:  # fmt: skip
    kind = PairKind(load_settings(None, ["data.max_pieces=3", "data.drop_copies=false", *overrides]))
    pairs = [Pair(src, tgt, "é", line) for line, (src, tgt) in enumerate(texts, start=1)]
    sifted = Sifter(kind, kind.make_judge(Overlap({})))(Raw(folder / "sifted", 0, BlockOf(pairs)))
    bits = find_duplicates([sifted.hashes()], sifted.accepted, folder / "buckets")
    held = kind.overlap({"validation": overlap} if overlap else {})
    load = partial(Encoder, kind, folder, held, kind.settings.data.drop_overlap)
    corpus = Corpus("f", ParallelFiles([], [], "error", name="f"), tag)
    held_rows = Fresh(np.array(heldout, dtype=np.int64))
    [selected] = Accepted(Pair, [corpus], [sifted], bits, held_rows).select(folder)
    selected = replace(selected, folder=folder / "encoded")
    return pickle.loads(pickle.dumps(load))()(pickle.loads(pickle.dumps(selected)))


def ids(encoded: Encoded) -> list[tuple[list[int], list[int]]]:
    columns = encoded.ids(("src", "tgt"))
    return [(columns["src"].row(row), columns["tgt"].row(row)) for row in range(encoded.kept)]


def rejections(folder: Path) -> list[tuple[int, str]]:
    lines = (folder / "encoded" / "rejected.jsonl").read_text(encoding="utf-8").splitlines()
    return [(record["line"], record["reason"]) for record in map(json.loads, lines)]


def test_each_text_is_cut_by_the_tokenizer_of_its_column() -> None:
    tokenizers = by_column(PairKind(load_settings(None)), Tokenizers(TOKENIZER, OTHER))
    found = encode(tokenizers, (["a", "b"], ["b a", "c"]))
    assert {name: [rows.row(0), rows.row(1)] for name, rows in found.items()} == {
        "src": [[MARK, A], [MARK, B]],
        "tgt": [[5, 4], [1]],
    }


def test_a_text_alone_has_one_column() -> None:
    assert by_column(LineKind(load_settings(None)), Tokenizers(TOKENIZER, TOKENIZER)) == {"ids": TOKENIZER}


def test_what_is_rejected_in_any_stage_is_listed_in_the_order_of_reading(folder: Path) -> None:
    texts = [("ab", "a"), ("a", "abc"), ("", "a"), ("ab", "a"), ("\u2581", "a"), ("a", "\u2581"), ("b", "a")]
    encoded = encode_pairs(folder, texts)
    assert ids(encoded) == [([MARK, A, B], [MARK, A]), ([MARK, B], [MARK, A])]
    assert rejections(folder) == [(2, "too_many_pieces"), (3, "empty"), (4, "duplicate"), (5, "empty"), (6, "empty")]
    assert encoded.rejected == {"duplicate": 1, "too_many_pieces": 1, "empty": 2}  # the first stage counts its own
    assert (folder / "encoded" / "rejected.jsonl").read_text(encoding="utf-8").startswith('{"file": "é", "line": 2, ')
    statistics = encoded.statistics()
    assert statistics.train.columns["src"].pieces.total == 5
    assert {reason: len(examples) for reason, examples in statistics.rejected.items()} == encoded.rejected


def test_records_that_are_held_out_are_counted_among_those_that_are_no_duplicates(folder: Path) -> None:
    encoded = encode_pairs(folder, [("a", "a"), ("a", "a"), ("b", "a"), ("b", "b")], heldout=[1])
    assert ids(encoded) == [([MARK, A], [MARK, A]), ([MARK, B], [MARK, B])]
    assert rejections(folder) == [(2, "duplicate")]


def test_overlap_is_counted_and_a_reason_if_the_settings_say_so(folder: Path) -> None:
    texts, judged_by = [("a", "b"), ("b", "b"), ("b", "a")], [Pair("A", "b", "v", 1)]
    encoded = encode_pairs(folder, texts, overlap=judged_by)
    assert (encoded.kept, encoded.overlap) == (3, {"validation": {"source": 1, "target": 2, "pair": 1}})
    (folder / "encoded").rename(folder / "other")
    encoded = encode_pairs(folder, texts, "data.drop_overlap=['target']", overlap=judged_by)
    assert (encoded.kept, encoded.overlap) == (1, {"validation": {"source": 0, "target": 0, "pair": 0}})
    assert rejections(folder) == [(1, "overlap"), (2, "overlap")]


def test_the_tag_is_part_of_the_source(folder: Path) -> None:
    encoded = encode_pairs(folder, [("a", "b")], "data.max_pieces=9", tag="<a>")
    [(src, tgt)] = ids(encoded)
    assert src == TOKENIZER.encode(["<a> a"])[0] != TOKENIZER.encode(["a"])[0]
    assert tgt == [MARK, B]


def test_an_encoded_block_is_found_again(folder: Path) -> None:
    assert Encoded.find(folder / "encoded") is None
    encoded = encode_pairs(folder, [("a", "b"), ("a", "b")])
    assert Encoded.find(folder / "encoded") == encoded == Encoded(folder / "encoded", 2, {"duplicate": 1}, 1, {})


def test_a_block_of_which_nothing_is_left_is_one_too(folder: Path) -> None:
    encoded = encode_pairs(folder, [("", "b"), ("\u2581", "b")])
    assert (encoded.kept, ids(encoded)) == (0, [])
    assert rejections(folder) == [(1, "empty"), (2, "empty")]


def test_lines_are_encoded_without_any_of_that(folder: Path) -> None:
    kind = LineKind(load_settings(None))
    lines = [Line(text, "f", number) for number, text in enumerate(("a", "a", "", "\u2581"), start=1)]
    sifted = Sifter(kind, kind.make_judge(Overlap({})))(Raw(folder / "sifted", 0, BlockOf(lines)))
    encoder = Encoder(kind, folder, Overlap({}), ())
    encoded = encoder(Selected(folder / "encoded", sifted, Rows(np.arange(3)), Rows(np.arange(0)), None))
    column = encoded.ids(["ids"])["ids"]
    assert [column.row(row) for row in range(encoded.kept)] == [[MARK, A], [MARK, A]]
    assert rejections(folder) == [(3, "empty"), (4, "empty")]
