import math

import pytest
import torch

from nmt.search.rules import Scoring


def test_the_length_penalty_is_that_of_gnmt() -> None:
    divisors = Scoring(length_penalty=2.0).divisors(torch.tensor([1, 7, 13]))
    assert divisors.tolist() == pytest.approx([1.0, 4.0, 9.0])
    assert divisors.dtype == torch.float64


def test_without_penalties_the_score_is_the_log_probability() -> None:
    assert Scoring().score(torch.tensor([[-3.0]]), torch.tensor([[9]]), None).tolist() == [[-3.0]]


def test_what_was_read_less_than_once_costs_the_log_of_it() -> None:
    coverage = torch.tensor([[[0.5, 2.0, 0.25, -1.0]]])  # the last position is padding
    score = Scoring(length_penalty=1.0, coverage_penalty=0.2).score(
        torch.tensor([[-4.0]]), torch.tensor([[7]]), coverage
    )
    assert score.item() == pytest.approx(-4.0 / 2 + 0.2 * (math.log(0.5) + math.log(0.25)))


def test_what_was_never_read_costs_much_but_not_all() -> None:
    score = Scoring(coverage_penalty=1.0).score(torch.tensor([[-1.0]]), torch.tensor([[1]]), torch.tensor([[[0.0]]]))
    assert score.item() == pytest.approx(-1.0 + math.log(1e-6))


def test_no_continuation_outdoes_what_is_attainable() -> None:
    scoring = Scoring(length_penalty=1.0, coverage_penalty=0.5)
    attainable = scoring.attainable(torch.tensor([[-4.0]]), torch.tensor([[19]]))
    assert attainable.tolist() == [[-1.0]]  # all covered, and the length penalty 4


@pytest.mark.parametrize("alpha", [0.2, 0.6, 1.0, 2.2])
def test_the_length_penalty_does_not_depend_on_what_is_computed_beside_it(alpha: float) -> None:
    lengths, scoring = torch.arange(1, 400), Scoring(alpha)
    together = scoring.divisors(lengths)
    assert torch.equal(together, torch.cat([scoring.divisors(length[None]) for length in lengths]))
    assert (together.diff() > 0).all()
    assert together.tolist() == pytest.approx([math.pow((5 + n) / 6, alpha) for n in range(1, 400)], rel=1e-14)


def test_the_coverage_penalty_does_not_depend_on_padding() -> None:
    scoring = Scoring(coverage_penalty=0.3)
    log_probs, lengths = torch.zeros(50, 1), torch.ones(50, 1, dtype=torch.int64)
    coverage = 1.2 * torch.rand(50, 1, 45, generator=torch.Generator().manual_seed(0))
    expected = scoring.score(log_probs, lengths, coverage)
    for size in (46, 64, 71, 128, 300):
        wide = torch.nn.functional.pad(coverage, (0, size - 45), value=-1.0)
        assert torch.equal(scoring.score(log_probs, lengths, wide), expected)
        alone = [scoring.score(log_probs[:1], lengths[:1], row[None]) for row in wide]
        assert torch.equal(torch.cat(alone), expected)


def test_negative_penalties_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^the length penalty must not be negative, found -1\.0$"):
        Scoring(length_penalty=-1.0)
    with pytest.raises(ValueError, match=r"^the coverage penalty must not be negative, found -0\.5$"):
        Scoring(coverage_penalty=-0.5)
