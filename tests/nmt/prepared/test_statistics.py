import copy
import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmt.errors import DataError
from nmt.io.lines import Line, Pair
from nmt.prepared.statistics import (
    EXAMPLES,
    EXCERPT,
    RATIO_BINS,
    STATISTICS,
    Statistics,
    read_statistics,
    write_statistics,
)
from nmt.text.sequences import FlatSequences
from nmt.text.tokenizer import Tokenizer
from nmt.text.tokenizer_training import TokenizerPlan, train_tokenizer

SIDES = ("src", "tgt")


@pytest.fixture(scope="module")
def letters() -> Tokenizer:
    """Characters a, b, and c, and the space."""
    return Tokenizer(train_tokenizer(["a b c", "abc"], TokenizerPlan("char", 16)))


def kept(letters: Tokenizer, pairs: Sequence[tuple[str, str]]) -> Statistics:
    statistics = Statistics.empty(SIDES)
    texts = {name: [pair[place] for pair in pairs] for place, name in enumerate(SIDES)}
    ids = {name: FlatSequences.from_lists(letters.encode(texts[name])) for name in SIDES}
    statistics.train.add(texts, ids, dict.fromkeys(SIDES, letters))
    return statistics


def as_json(statistics: Statistics) -> str:
    return json.dumps(statistics.to_tree())


def test_pieces_characters_and_words_are_counted_for_each_side(letters: Tokenizer) -> None:
    # Every word has a mark of the space before it, which is a piece of its own here.
    train = kept(letters, [("ab c", "a"), ("b", "aa bb")]).train
    src, tgt = train.columns["src"], train.columns["tgt"]
    assert [lengths.total for lengths in (src.pieces, src.characters, src.words)] == [5 + 2, 4 + 1, 2 + 1]
    assert [lengths.largest for lengths in (tgt.pieces, tgt.characters, tgt.words)] == [6, 5, 2]
    assert tgt.characters.counts[:6].tolist() == [0, 1, 0, 0, 0, 1]


def test_ratios_are_of_target_to_source_characters(letters: Tokenizer) -> None:
    ratios = kept(letters, [("ab", "abcb"), ("abc", "cba")]).train.ratios
    assert np.flatnonzero(ratios).tolist() == [RATIO_BINS // 2, RATIO_BINS // 2 + 8]


def test_unknown_pieces_rows_and_characters_are_counted(letters: Tokenizer) -> None:
    src = kept(letters, [("xyx", "a"), ("a b", "a"), ("bx", "a")]).train.columns["src"]
    assert (src.unknown, src.unknown_rows) == (4, 2)
    assert src.unknown_characters == {"x": 3, "y": 1}


def test_unknown_characters_that_are_one_piece_together_are_counted_one_by_one() -> None:
    tokenizer = Tokenizer(train_tokenizer(["ab ba abba baab"] * 4, TokenizerPlan("bpe", 10)))
    src = kept(tokenizer, [("ab xxy", "ab")]).train.columns["src"]
    assert src.unknown == 1
    assert src.unknown_characters == {"x": 2, "y": 1}


def test_unknown_words_are_counted_but_not_listed() -> None:
    words = Tokenizer(train_tokenizer(["one two", "two"], TokenizerPlan("word", 16)))
    src = kept(words, [("one three four", "two")]).train.columns["src"]
    assert (src.unknown, src.unknown_rows, src.unknown_characters) == (2, 1, {})


def test_rows_may_lie_anywhere_in_the_values(letters: Tokenizer) -> None:
    ids = FlatSequences.from_lists(letters.encode(["x", "ab", "axx"])).take(np.array([2, 1]))
    statistics = Statistics.empty(["ids"])
    statistics.train.add({"ids": ["axx", "ab"]}, {"ids": ids}, {"ids": letters})
    column = statistics.train.columns["ids"]
    assert (column.unknown, column.unknown_rows, column.unknown_characters) == (2, 1, {"x": 2})


def test_one_column_has_no_ratios(letters: Tokenizer) -> None:
    statistics = Statistics.empty(["ids"])
    statistics.train.add({"ids": ["ab"]}, {"ids": FlatSequences.from_lists([[4, 5]])}, {"ids": letters})
    assert statistics.train.ratios.sum() == 0


def test_validation_sets_are_counted_apart(letters: Tokenizer) -> None:
    statistics = kept(letters, [("a", "a")])
    for name, text in (("news", "abc"), ("talks", "x")):
        texts = {side: [text] for side in SIDES}
        ids = {side: FlatSequences.from_lists(letters.encode([text])) for side in SIDES}
        statistics.valid_set(name).add(texts, ids, dict.fromkeys(SIDES, letters))
    totals = {name: one.columns["src"].characters.total for name, one in statistics.valid.items()}
    assert totals == {"news": 3, "talks": 1}
    assert statistics.train.columns["src"].characters.total == 1
    assert statistics.valid["talks"].columns["tgt"].unknown_characters == {"x": 1}


def test_the_examples_of_a_reason_are_few_and_spread_over_the_file() -> None:
    statistics = Statistics.empty(SIDES)
    for line in range(1, 1001):
        statistics.reject(Pair("a", "b", "f", line), "copy", seed=1)
    lines = [example.line for example in statistics.rejected["copy"]]
    assert len(set(lines)) == EXAMPLES
    assert min(lines) < 200
    assert max(lines) > 800


def test_another_seed_chooses_other_examples() -> None:
    chosen = []
    for seed in (1, 2):
        statistics = Statistics.empty(SIDES)
        for line in range(200):
            statistics.reject(Pair("a", "b", "f", line), "copy", seed=seed)
        chosen.append([example.line for example in statistics.rejected["copy"]])
    assert chosen[0] != chosen[1]


def test_an_example_keeps_where_it_stands_and_the_beginning_of_its_texts() -> None:
    statistics = Statistics.empty(SIDES)
    statistics.reject(Pair("s" * 1000, "t", "a.en", 7), "too_long", seed=1)
    (example,) = statistics.rejected["too_long"]
    assert (example.file, example.line) == ("a.en", 7)
    assert example.texts == ("s" * EXCERPT, "t")
    assert example.lengths == (1000, 1)


def test_a_line_of_text_is_an_example_as_well() -> None:
    statistics = Statistics.empty(["ids"])
    statistics.reject(Line("", "a.txt", 3), "empty", seed=1)
    assert [example.texts for example in statistics.rejected["empty"]] == [("",)]


@given(
    st.lists(
        st.tuples(st.text("abcxyz ", max_size=6), st.text("abx", max_size=6), st.booleans()), min_size=1, max_size=60
    ),
    st.lists(st.integers(0, 60), max_size=4),
    st.lists(st.integers(0, 60), max_size=4),
)
def test_how_records_are_grouped_does_not_matter(
    letters: Tokenizer, records: list[tuple[str, str, bool]], cuts: list[int], others: list[int]
) -> None:
    def block(first: int, last: int) -> Statistics:
        part = records[first:last]
        statistics = kept(letters, [(src, tgt) for src, tgt, rejected in part if not rejected])
        for line, (src, tgt, rejected) in enumerate(part, start=first):
            if rejected:
                statistics.reject(Pair(src, tgt, "f", line), "copy", seed=1)
        return statistics

    def grouped(places: list[int]) -> Statistics:
        edges = [0, *sorted(places), len(records)]
        merged = Statistics.empty(SIDES)
        for first, last in itertools.pairwise(edges):
            merged.merge(block(first, last))
        return merged

    assert as_json(grouped(cuts)) == as_json(grouped(others)) == as_json(block(0, len(records)))


def test_merging_leaves_the_other_one_alone(letters: Tokenizer) -> None:
    other = kept(letters, [("x", "a")])
    other.reject(Pair("a", "a", "f", 1), "copy", seed=1)
    other.valid["v"] = copy.deepcopy(other.train)
    before = as_json(other)
    merged = Statistics.empty(SIDES)
    merged.merge(other)
    merged.merge(other)
    assert as_json(other) == before
    assert merged.train.columns["src"].unknown_characters == {"x": 2}
    assert merged.valid["v"].columns["src"].unknown == 2


def test_a_file_brings_everything_back(letters: Tokenizer, tmp_path: Path) -> None:
    statistics = kept(letters, [("x\u2603", "a b"), ("ab", "c")])
    statistics.valid["the set"] = copy.deepcopy(statistics.train)
    statistics.reject(Pair("\u05d0", "b", "f\u00e9.en", 2), "script", seed=1)
    write_statistics(tmp_path, statistics)
    again = read_statistics(tmp_path)
    assert as_json(again) == as_json(statistics)
    assert again.rejected == statistics.rejected


def test_the_most_frequent_unknown_characters_come_first_in_the_file(letters: Tokenizer) -> None:
    tree = kept(letters, [("xyyzzw", "a")]).to_tree()
    assert list(tree["train"]["columns"]["src"]["unknown_characters"].items()) == [
        ("y", 2),
        ("z", 2),
        ("w", 1),
        ("x", 1),
    ]


def test_a_folder_without_statistics_is_incomplete(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read_statistics(tmp_path)
    assert str(caught.value) == (f"{tmp_path} is incomplete: statistics.json is missing; prepare it again with --force")


def test_statistics_that_cannot_be_read_are_one_line(tmp_path: Path) -> None:
    (tmp_path / STATISTICS).mkdir()
    with pytest.raises(DataError, match=r"^cannot read .*statistics\.json: Is a directory$"):
        read_statistics(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is damaged: it is not JSON"),
        ("\udcff", "is damaged: it is not JSON"),
        ("[]", "has version None, but this version of nmt reads 1"),
        ('{"version": 9}', "has version 9, but this version of nmt reads 1"),
        ('{"version": 1}', "is damaged: train is missing; prepare it again with --force"),
        (
            '{"version": 1, "train": 3}',
            "is damaged: train = 3: input should be a dictionary or an instance of SetStatistics; prepare",
        ),
    ],
)
def test_damaged_statistics_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / STATISTICS
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(DataError) as caught:
        read_statistics(tmp_path)
    assert str(caught.value).startswith(f"{path} {message}")


@pytest.mark.parametrize(("key", "value"), [("texts", []), ("texts", ["a"]), ("lengths", [1, 2, 3])])
def test_examples_have_a_text_and_a_length_for_each_side(tmp_path: Path, key: str, value: object) -> None:
    statistics = Statistics.empty(["src_ids", "tgt_ids"])
    statistics.reject(Pair("a", "b", "f", 1), "copy", seed=1)
    tree = statistics.to_tree()
    tree["rejected"]["copy"][0][key] = value
    (tmp_path / STATISTICS).write_text(json.dumps(tree), encoding="utf-8")
    with pytest.raises(DataError, match=r"is damaged: an example has \d texts and \d lengths, expected 2; prepare"):
        read_statistics(tmp_path)


def test_statistics_that_lack_a_count_are_refused(tmp_path: Path) -> None:
    tree = Statistics.empty(SIDES).to_tree()
    del tree["train"]["columns"]["tgt"]["words"]["largest"]
    (tmp_path / STATISTICS).write_text(json.dumps(tree), encoding="utf-8")
    with pytest.raises(
        DataError, match=r"is damaged: train\.columns\.tgt\.words\.largest is missing; prepare it again"
    ):
        read_statistics(tmp_path)


def test_what_is_wrong_within_statistics_is_named_with_its_value(tmp_path: Path) -> None:
    tree = Statistics.empty(SIDES).to_tree()
    tree["train"]["columns"]["tgt"]["unknown"] = "many"
    (tmp_path / STATISTICS).write_text(json.dumps(tree), encoding="utf-8")
    with pytest.raises(
        DataError, match=r"is damaged: train\.columns\.tgt\.unknown = 'many': input should be a valid int"
    ):
        read_statistics(tmp_path)


def test_reasons_are_in_their_order_in_the_file() -> None:
    statistics = Statistics.empty(SIDES)
    for reason in ("too_many_pieces", "copy", "empty"):
        statistics.reject(Pair("a", "b", "f", 1), reason, seed=1)
    assert list(statistics.to_tree()["rejected"]) == ["empty", "copy", "too_many_pieces"]
