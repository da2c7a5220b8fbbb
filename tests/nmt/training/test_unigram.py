from collections import Counter
from math import exp

import numpy as np
import pytest

from nmt.text.sequences import FlatSequences
from nmt.training.resampling import Alphabet, UnigramSampler, row_keys

SCORES = {
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
PIECES = list(SCORES)
Cut = tuple[str, ...]


def cuts(text: str) -> list[Cut]:
    """List every way to cut a text into pieces."""
    if not text:
        return [()]
    heads = [piece for piece in PIECES if text.startswith(piece)]
    return [(head, *tail) for head in heads for tail in cuts(text[len(head) :])]


def draw(word: str, *, alpha: float, times: int = 1) -> list[Cut]:
    """Cut a word many times: as the row 0, 1, .. of a corpus that repeats it."""
    alphabet = Alphabet(PIECES, symbols=())
    rows = FlatSequences.from_lists([[PIECES.index(character) for character in word]] * times)
    numbers = np.arange(times)
    text = alphabet.spell(rows, numbers, row_keys(numbers, seed=1, stream=0))
    places, ids = UnigramSampler(alphabet, list(SCORES.values()), alpha=alpha).cut(text)
    drawn: list[list[str]] = [[] for _ in range(times)]
    for place in np.argsort(places):
        drawn[text.rows[places[place]]].append(PIECES[ids[place]])
    return [tuple(pieces) for pieces in drawn]


@pytest.mark.parametrize("alpha", [0.0, 0.2, 1.0, 2.0])
def test_cuts_come_as_often_as_their_smoothed_probability_says(alpha: float) -> None:
    times = 10_000
    counts = Counter(draw("▁abc", alpha=alpha, times=times))
    weights = {cut: exp(alpha * sum(SCORES[piece] for piece in cut)) for cut in cuts("▁abc")}
    assert len(weights) == 6
    assert set(counts) <= set(weights)
    expected = {cut: times * weight / sum(weights.values()) for cut, weight in weights.items()}
    chi_square = sum((counts[cut] - mean) ** 2 / mean for cut, mean in expected.items())
    assert chi_square < 20.5  # exceeded once in 1000 with 5 degrees of freedom


def test_a_large_exponent_leaves_the_best_cut() -> None:
    # Its score is -7; the next is that of _a | bc, -9.
    assert set(draw("▁abc", alpha=50.0, times=1000)) == {("▁abc",)}


def test_the_words_of_a_row_are_cut_independently() -> None:
    together = Counter(draw("▁ab▁ab", alpha=0.2, times=10_000))
    assert len(together) == len(cuts("▁ab")) ** 2 == 9
    alone = Counter(draw("▁ab", alpha=0.2, times=10_000))
    for first in cuts("▁ab"):
        for second in cuts("▁ab"):
            expected = alone[first] * alone[second] / 10_000
            assert abs(together[first + second] - expected) < 5 * expected**0.5


@pytest.mark.parametrize("alpha", [0.01, 1.0, 30.0])
def test_a_word_of_thousands_of_characters_is_cut(alpha: float) -> None:
    word = "▁" + "abcb" * 1000
    (pieces,) = draw(word, alpha=alpha)
    assert "".join(pieces) == word
    assert {"ab", "bc", "a", "b", "c"} >= set(pieces[1:])


def test_the_middle_of_a_long_word_is_cut_with_the_same_probabilities() -> None:
    # No piece reaches from one "abc" to the next. Each has the scores a | b | c: -9.5, ab | c: -7.5, a | bc: -8.
    (pieces,) = draw("▁" + "abc" * 3000, alpha=1.0)
    counts = Counter(pieces)
    total = exp(-9.5) + exp(-7.5) + exp(-8.0)
    assert counts["ab"] == pytest.approx(3000 * exp(-7.5) / total, abs=110)  # four standard deviations
    assert counts["bc"] == pytest.approx(3000 * exp(-8.0) / total, abs=110)
