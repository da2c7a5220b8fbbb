import math

import pytest

from nmt.lm import LineScore, Totals
from nmt.lm.scorer import perplexity
from nmt.text.vocab import EOS, UNK

HALVES = LineScore(ids=(7, UNK, EOS), log_probs=(math.log(0.5),) * 3, characters=6, space_separated=2)
BLANK = LineScore(ids=(), log_probs=(), characters=0, space_separated=0)


def test_three_words_of_probability_a_half_have_a_perplexity_of_2() -> None:
    assert HALVES.pieces == 3
    assert HALVES.log_probability == pytest.approx(3 * math.log(0.5))
    assert HALVES.perplexity == pytest.approx(2)


def test_a_blank_line_has_no_perplexity() -> None:
    assert (BLANK.pieces, BLANK.log_probability) == (0, 0)
    assert math.isnan(BLANK.perplexity)


def test_totals_count_blank_lines_and_unknown_words() -> None:
    totals = Totals().plus([HALVES, BLANK]).plus([HALVES])
    assert (totals.lines, totals.pieces, totals.unknown) == (3, 6, 2)
    assert (totals.characters, totals.space_separated) == (12, 4)
    assert totals.perplexity == pytest.approx(2)


def test_the_same_log_probability_is_shared_by_other_units() -> None:
    totals = Totals().plus([HALVES])
    assert totals.perplexity_per_space_separated_word == pytest.approx(math.sqrt(8))  # 2 x 2 x 2 over two words
    assert totals.bits_per_character == pytest.approx(0.5)  # 3 bits over 6 characters


def test_nothing_at_all_has_no_figures() -> None:
    totals = Totals()
    figures = (totals.perplexity, totals.perplexity_per_space_separated_word, totals.bits_per_character)
    assert all(map(math.isnan, figures))


def test_what_no_number_can_hold_is_infinite() -> None:
    assert perplexity(-1000.0, 1) == math.inf
