from typing import Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from nmt.config import TrainingSettings
from nmt.training.objectives import sampled as module
from nmt.training.objectives.sampled import SampledSoftmax

Kind = Literal["log_uniform", "unigram"]
COUNTS = np.array([50, 0, 20, 1000, 20, 7])


def sampled(kind: Kind, counts: NDArray[np.int64], *, samples: int) -> SampledSoftmax:
    settings = TrainingSettings(objective="sampled", sampler=kind, samples=samples)
    return module.sampled(settings, counts)


@pytest.mark.parametrize("kind", ["log_uniform", "unigram"])
@pytest.mark.parametrize("samples", [1, 3, 5])
def test_a_draw_has_the_asked_size_on_average(kind: Kind, samples: int) -> None:
    inclusion = sampled(kind, COUNTS, samples=samples).inclusion
    assert inclusion.sum().item() == pytest.approx(samples)
    assert ((inclusion > 0) & (inclusion <= 1)).all()


def test_log_uniform_falls_with_the_frequency_rank() -> None:
    inclusion = sampled("log_uniform", COUNTS, samples=1).inclusion
    # ranks: word 3 first, then 0, then 2 and 4 in the order of their ids, 5, 1; log 2, log 3/2 ... over log 7
    ranks = torch.tensor([1.0, 5.0, 2.0, 0.0, 3.0, 4.0])
    torch.testing.assert_close(inclusion, ((ranks + 2) / (ranks + 1)).log() / np.log(7))


def test_unigram_follows_the_counts_and_leaves_no_word_out() -> None:
    inclusion = sampled("unigram", np.array([6, 3, 0]), samples=1).inclusion
    torch.testing.assert_close(inclusion, torch.tensor([6, 3, 0.5]) / 9.5)


def test_frequent_words_are_capped_and_the_others_share_the_rest() -> None:
    # 2 samples over 10 : 1 : 1: the first is certain, the others share one draw
    inclusion = sampled("unigram", np.array([10, 1, 1]), samples=2).inclusion
    torch.testing.assert_close(inclusion, torch.tensor([1.0, 0.5, 0.5]))


def test_more_samples_than_words_draw_every_word() -> None:
    words, log_counts = sampled("unigram", COUNTS, samples=99).draw()
    assert words.tolist() == [0, 1, 2, 3, 4, 5]
    assert log_counts.tolist() == [0.0] * 6


def test_words_are_drawn_as_often_as_expected_and_never_twice() -> None:
    torch.manual_seed(0)
    sampler = SampledSoftmax(torch.tensor([1.0, 0.5, 0.1]))
    seen = torch.zeros(3)
    for _ in range(4000):
        words, log_counts = sampler.draw()
        assert words.unique().tolist() == words.tolist()
        torch.testing.assert_close(log_counts, sampler.inclusion[words].log())
        seen[words] += 1
    torch.testing.assert_close(seen / 4000, sampler.inclusion, atol=0.03, rtol=0.0)
