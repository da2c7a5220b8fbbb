from collections import Counter

import numpy as np
import pytest

from nmt.text.sequences import FlatSequences
from nmt.training.resampling import Alphabet, BpeDropout, row_keys

PIECES = ["<pad>", "<unk>", "<s>", "</s>", "ab", "▁ab", "bc", "▁", "a", "b", "c"]
SCORES = [0.0, 0.0, 0.0, 0.0, -0.0, -1.0, -2.0, -3.0, -4.0, -5.0, -6.0]


def draw(word: str, *, dropout: float, times: int = 10_000) -> Counter[str]:
    """Cut a word many times: as the row 0, 1, .. of a corpus that repeats it."""
    alphabet = Alphabet(PIECES, symbols=())
    rows = FlatSequences.from_lists([[PIECES.index(character) for character in word]] * times)
    numbers = np.arange(times)
    text = alphabet.spell(rows, numbers, row_keys(numbers, seed=1, stream=0))
    places, ids = BpeDropout(alphabet, SCORES, dropout=dropout).cut(text)
    drawn: list[list[str]] = [[] for _ in range(times)]
    for place in np.argsort(places):
        drawn[text.rows[places[place]]].append(PIECES[ids[place]])
    return Counter(" ".join(pieces) for pieces in drawn)


@pytest.mark.parametrize(
    ("word", "cut"),
    [("▁ab", "▁ab"), ("▁abc", "▁ab c"), ("▁bcab", "▁ bc ab"), ("▁abab▁bc", "▁ab ab ▁ bc"), ("▁c", "▁ c"), ("▁", "▁")],
)
def test_without_dropout_the_merge_learnt_first_wins(word: str, cut: str) -> None:
    assert draw(word, dropout=0.0, times=3) == {cut: 3}


def test_with_dropout_1_nothing_is_merged() -> None:
    assert draw("▁abc", dropout=1.0, times=3) == {"▁ a b c": 3}


def test_each_merge_of_a_chain_is_left_out_with_its_probability() -> None:
    # "ab" forms with 0.75; then, with 0.75 again, the mark joins it.
    counts = draw("▁ab", dropout=0.25)
    assert counts["▁ a b"] == pytest.approx(2500, abs=175)  # four standard deviations
    assert counts["▁ ab"] == pytest.approx(1875, abs=160)
    assert counts["▁ab"] == pytest.approx(5625, abs=200)


def test_a_merge_left_out_gets_another_chance_after_every_other_merge() -> None:
    # Both are left out: 1/4, and the word ends. Else the left one (1/2) or the right one (1/4) merges, and the other is
    # drawn again: 1/2.
    counts = draw("abab", dropout=0.5)
    assert counts["a b a b"] == pytest.approx(2500, abs=175)
    assert counts["ab a b"] == pytest.approx(2500, abs=175)
    assert counts["a b ab"] == pytest.approx(1250, abs=135)
    assert counts["ab ab"] == pytest.approx(3750, abs=195)
