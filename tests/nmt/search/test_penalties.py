import pytest
import torch

from nmt.search.penalties import length_penalties

CPU = torch.device("cpu")


def test_penalty_of_one_word_is_one_and_of_seven_is_two_to_the_alpha() -> None:
    penalties = length_penalties(7, alpha=2.0, device=CPU)
    assert penalties[1] == 1.0
    assert penalties[7] == 4.0
    assert len(penalties) == 8


def test_alpha_zero_penalises_nothing() -> None:
    assert length_penalties(3, alpha=0.0, device=CPU).tolist() == [1.0, 1.0, 1.0, 1.0]


def test_negative_alpha_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^the length penalty must not be negative, found -0\.5$"):
        length_penalties(3, alpha=-0.5, device=CPU)
