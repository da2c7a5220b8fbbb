from collections import Counter
from math import exp

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmt.errors import ModelError
from nmt.text.sequences import FlatSequences
from nmt.training.resampling import Alphabet, BpeDropout, IntegerMap, UnigramSampler, lay_out, mix, row_keys, uniform


def keys(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.uint64)


def test_mixing_gives_the_numbers_of_splitmix64() -> None:
    # The first three numbers of SplitMix64 from the state 0, which grows by 0x9E3779B97F4A7C15 each time.
    states = keys(0, 0x9E3779B97F4A7C15, 2 * 0x9E3779B97F4A7C15 % 2**64)
    assert [f"{number:016X}" for number in mix(states).tolist()] == [
        "E220A8397B1DCDAF",
        "6E789E6AA1B965F4",
        "06C45D188009454F",
    ]


def test_uniform_numbers_fill_the_interval_from_0_to_below_1() -> None:
    assert uniform(keys(0, 2**62, 2**63, 2**64 - 1)).tolist() == [0.0, 0.25, 0.5, 1 - 2.0**-53]
    numbers = uniform(mix(np.arange(100_000, dtype=np.uint64)))
    counts, _ = np.histogram(numbers, bins=10, range=(0.0, 1.0))
    assert abs(counts - 10_000).max() < 400  # four standard deviations


def test_the_key_of_a_row_does_not_depend_on_the_other_rows() -> None:
    together = row_keys(np.array([7, 3, 9]), seed=1, stream=0)
    assert together.tolist() == [int(row_keys(np.array([row]), seed=1, stream=0)[0]) for row in (7, 3, 9)]


def test_rows_seeds_and_streams_all_have_other_keys() -> None:
    rows = np.arange(100)
    found = {
        key
        for seed in (0, 1, -1, 2**63 - 1)
        for stream in (0, 1)
        for key in row_keys(rows, seed=seed, stream=stream).tolist()
    }
    assert len(found) == 4 * 2 * 100


KEYS = st.integers(0, 2**62)


def integers(values: list[int]) -> np.ndarray:
    return np.array(values, dtype=np.int64)


@given(st.dictionaries(KEYS, st.integers(0, 2**40)), st.lists(KEYS))
def test_a_map_answers_like_a_dictionary(entries: dict[int, int], others: list[int]) -> None:
    table = IntegerMap(integers(list(entries)), integers(list(entries.values())))
    asked = [*entries, *others, *entries]
    assert table.get(integers(asked)).tolist() == [entries.get(key, -1) for key in asked]


def test_many_keys_side_by_side_are_all_found() -> None:
    keys = np.arange(50_000, dtype=np.int64)
    table = IntegerMap(keys[::2], keys[::2] + 1)
    assert (table.get(keys) == np.where(keys % 2 == 0, keys + 1, -1)).all()


def test_an_empty_map_holds_nothing() -> None:
    table = IntegerMap(integers([]), integers([]))
    assert table.get(integers([0, 5])).tolist() == [-1, -1]
    assert table.get(integers([])).tolist() == []


PIECES = ["<pad>", "<unk>", "<s>", "</s>", "[NUM]", "▁", "a", "b", "ab", "▁ab"]
UNK, NUM, MARK, A, B, AB, MARK_AB = 1, 4, 5, 6, 7, 8, 9
# The characters a, b and the mark of a word's start are 0, 1, 2; then come the fixed pieces in their order.
CODE_OF_UNK, CODE_OF_NUM = 4, 7


def alphabet() -> Alphabet:
    return Alphabet(PIECES, symbols=["[NUM]"])


def test_pieces_are_spelled_in_characters_and_fixed_pieces_are_one() -> None:
    assert alphabet().size == 3 + 5
    assert alphabet().spellings == [[3], [4], [5], [6], [7], [2], [0], [1], [0, 1], [2, 0, 1]]


def test_rows_are_written_out_with_their_words() -> None:
    rows = FlatSequences.from_lists([[MARK_AB, MARK, UNK, B], [A], [], [AB, NUM, MARK_AB]])
    text = alphabet().spell(rows, np.array([3, 2, 0]), np.array([10, 20, 30], dtype=np.uint64))
    assert text.codes.tolist() == [0, 1, CODE_OF_NUM, 2, 0, 1, 2, 0, 1, 2, CODE_OF_UNK, 1]
    assert text.rows.tolist() == [0, 0, 0, 0, 0, 0, 2, 2, 2, 2, 2, 2]
    assert np.flatnonzero(text.begins).tolist() == [0, 3, 6, 9]


def test_keys_depend_on_the_row_and_the_place_alone() -> None:
    rows = FlatSequences.from_lists([[MARK_AB, AB], [A, B]])
    both = alphabet().spell(rows, np.array([0, 1]), np.array([10, 20], dtype=np.uint64))
    second = alphabet().spell(rows, np.array([1]), np.array([20], dtype=np.uint64))
    assert both.keys[5:].tolist() == second.keys.tolist()
    assert len(set(both.keys.tolist())) == 7


def test_a_character_that_is_no_piece_is_an_error() -> None:
    with pytest.raises(ModelError, match=r"the tokenizer has no piece for the character 'c' alone"):
        Alphabet([*PIECES, "ac"], symbols=["[NUM]"])


def test_rows_are_laid_out_in_the_order_asked_for() -> None:
    scattered = FlatSequences(
        np.array([9, 5, 6, 7, 9, 8], dtype=np.int32), np.array([5, 1, 3]), np.array([1, 2, 0], dtype=np.int32)
    )
    rows = lay_out(scattered, np.array([1, 2, 0, 1]))
    assert rows.values.tolist() == [5, 6, 8, 5, 6]
    assert [rows.row(index) for index in range(4)] == [[5, 6], [], [8], [5, 6]]


BPE_PIECES = ["<pad>", "<unk>", "<s>", "</s>", "ab", "▁ab", "bc", "▁", "a", "b", "c"]
BPE_SCORES = [0.0, 0.0, 0.0, 0.0, -0.0, -1.0, -2.0, -3.0, -4.0, -5.0, -6.0]


def draw_bpe(word: str, *, dropout: float, times: int = 10_000) -> Counter[str]:
    """Cut a word many times: as the row 0, 1, .. of a corpus that repeats it."""
    alphabet = Alphabet(BPE_PIECES, symbols=())
    rows = FlatSequences.from_lists([[BPE_PIECES.index(character) for character in word]] * times)
    numbers = np.arange(times)
    text = alphabet.spell(rows, numbers, row_keys(numbers, seed=1, stream=0))
    places, ids = BpeDropout(alphabet, BPE_SCORES, dropout=dropout).cut(text)
    drawn: list[list[str]] = [[] for _ in range(times)]
    for place in np.argsort(places):
        drawn[text.rows[places[place]]].append(BPE_PIECES[ids[place]])
    return Counter(" ".join(pieces) for pieces in drawn)


@pytest.mark.parametrize(
    ("word", "cut"),
    [("▁ab", "▁ab"), ("▁abc", "▁ab c"), ("▁bcab", "▁ bc ab"), ("▁abab▁bc", "▁ab ab ▁ bc"), ("▁c", "▁ c"), ("▁", "▁")],
)
def test_without_dropout_the_merge_learnt_first_wins(word: str, cut: str) -> None:
    assert draw_bpe(word, dropout=0.0, times=3) == {cut: 3}


def test_with_dropout_1_nothing_is_merged() -> None:
    assert draw_bpe("▁abc", dropout=1.0, times=3) == {"▁ a b c": 3}


def test_each_merge_of_a_chain_is_left_out_with_its_probability() -> None:
    # "ab" forms with 0.75; then, with 0.75 again, the mark joins it.
    counts = draw_bpe("▁ab", dropout=0.25)
    assert counts["▁ a b"] == pytest.approx(2500, abs=175)  # four standard deviations
    assert counts["▁ ab"] == pytest.approx(1875, abs=160)
    assert counts["▁ab"] == pytest.approx(5625, abs=200)


def test_a_merge_left_out_gets_another_chance_after_every_other_merge() -> None:
    # Both are left out: 1/4, and the word ends. Else the left one (1/2) or the right one (1/4) merges, and the other is
    # drawn again: 1/2.
    counts = draw_bpe("abab", dropout=0.5)
    assert counts["a b a b"] == pytest.approx(2500, abs=175)
    assert counts["ab a b"] == pytest.approx(2500, abs=175)
    assert counts["a b ab"] == pytest.approx(1250, abs=135)
    assert counts["ab ab"] == pytest.approx(3750, abs=195)


UNIGRAM_SCORES = {
    "<pad>": 0.0,
    "<unk>": 0.0,
    "<s>": 0.0,
    "</s>": 0.0,
    "▁": -3.0,
    "a": -3.0,
    "b": -2.5,
    "c": -4.0,
    "ab": -3.5,
    "bc": -5.0,
    "▁a": -4.0,
    "▁abc": -7.0,
}
UNIGRAM_PIECES = list(UNIGRAM_SCORES)
Cut = tuple[str, ...]


def cuts(text: str) -> list[Cut]:
    """List every way to cut a text into pieces."""
    if not text:
        return [()]
    heads = [piece for piece in UNIGRAM_PIECES if text.startswith(piece)]
    return [(head, *tail) for head in heads for tail in cuts(text[len(head) :])]


def draw_unigram(word: str, *, alpha: float, times: int = 1) -> list[Cut]:
    """Cut a word many times: as the row 0, 1, .. of a corpus that repeats it."""
    alphabet = Alphabet(UNIGRAM_PIECES, symbols=())
    rows = FlatSequences.from_lists([[UNIGRAM_PIECES.index(character) for character in word]] * times)
    numbers = np.arange(times)
    text = alphabet.spell(rows, numbers, row_keys(numbers, seed=1, stream=0))
    places, ids = UnigramSampler(alphabet, list(UNIGRAM_SCORES.values()), alpha=alpha).cut(text)
    drawn: list[list[str]] = [[] for _ in range(times)]
    for place in np.argsort(places):
        drawn[text.rows[places[place]]].append(UNIGRAM_PIECES[ids[place]])
    return [tuple(pieces) for pieces in drawn]


@pytest.mark.parametrize("alpha", [0.0, 0.2, 1.0, 2.0])
def test_cuts_come_as_often_as_their_smoothed_probability_says(alpha: float) -> None:
    times = 10_000
    counts = Counter(draw_unigram("▁abc", alpha=alpha, times=times))
    weights = {cut: exp(alpha * sum(UNIGRAM_SCORES[piece] for piece in cut)) for cut in cuts("▁abc")}
    assert len(weights) == 6
    assert set(counts) <= set(weights)
    expected = {cut: times * weight / sum(weights.values()) for cut, weight in weights.items()}
    chi_square = sum((counts[cut] - mean) ** 2 / mean for cut, mean in expected.items())
    assert chi_square < 20.5  # exceeded once in 1000 with 5 degrees of freedom


def test_a_large_exponent_leaves_the_best_cut() -> None:
    # Its score is -7; the next is that of _a | bc, -9.
    assert set(draw_unigram("▁abc", alpha=50.0, times=1000)) == {("▁abc",)}


def test_the_words_of_a_row_are_cut_independently() -> None:
    together = Counter(draw_unigram("▁ab▁ab", alpha=0.2, times=10_000))
    assert len(together) == len(cuts("▁ab")) ** 2 == 9
    alone = Counter(draw_unigram("▁ab", alpha=0.2, times=10_000))
    for first in cuts("▁ab"):
        for second in cuts("▁ab"):
            expected = alone[first] * alone[second] / 10_000
            assert abs(together[first + second] - expected) < 5 * expected**0.5


@pytest.mark.parametrize("alpha", [0.01, 1.0, 30.0])
def test_a_word_of_thousands_of_characters_is_cut(alpha: float) -> None:
    word = "▁" + "abcb" * 1000
    (pieces,) = draw_unigram(word, alpha=alpha)
    assert "".join(pieces) == word
    assert {"ab", "bc", "a", "b", "c"} >= set(pieces[1:])


def test_the_middle_of_a_long_word_is_cut_with_the_same_probabilities() -> None:
    # No piece reaches from one "abc" to the next. Each has the scores a | b | c: -9.5, ab | c: -7.5, a | bc: -8.
    (pieces,) = draw_unigram("▁" + "abc" * 3000, alpha=1.0)
    counts = Counter(pieces)
    total = exp(-9.5) + exp(-7.5) + exp(-8.0)
    assert counts["ab"] == pytest.approx(3000 * exp(-7.5) / total, abs=110)  # four standard deviations
    assert counts["bc"] == pytest.approx(3000 * exp(-8.0) / total, abs=110)
