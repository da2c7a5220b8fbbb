"""Which words the sampled softmax compares with: distributions over frequency ranks, and draws from them."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SamplerKind = Literal["log_uniform", "unigram"]


@dataclass(frozen=True)
class NegativeSampler:
    """Draws a set of distinct words; word w is in it with probability `inclusion[w]`, independently of the others.

    That is Poisson sampling (Hajek, 1964): no draw is wasted on a duplicate, frequent words are always in, and the
    expected count of each word, which the logits are corrected by, is known exactly.
    """

    inclusion: Tensor
    """[V], in (0, 1]."""

    def draw(self) -> tuple[Tensor, Tensor]:
        """Draw from torch's global generator: the words, [N], and the log of each one's expected count, [N]."""
        chance = torch.rand(self.inclusion.shape, device=self.inclusion.device)
        words = (chance < self.inclusion).nonzero().squeeze(1)
        return words, self.inclusion[words].log()


def make_sampler(
    kind: SamplerKind, counts: NDArray[np.int64], *, samples: int, device: torch.device
) -> NegativeSampler:
    """Make a sampler of `samples` words on average.

    Args:
        kind: "log_uniform" falls with the frequency rank r like log((r + 2) / (r + 1)), "unigram" with the counts.
        counts: How often each word occurs in the training targets, [V].
        samples: Expected size of a draw; from the vocabulary's size on, every word is always drawn.
        device: Where to draw.
    """
    if kind == "unigram":
        weights = np.maximum(counts, 0.5)  # a word never seen still has to be pushed down at times
    else:
        ranks = np.empty(len(counts))
        ranks[np.argsort(-counts, kind="stable")] = np.arange(len(counts))
        weights = np.log((ranks + 2) / (ranks + 1))
    return NegativeSampler(torch.from_numpy(_inclusion(weights, samples)).float().to(device))


def _inclusion(weights: NDArray[np.float64], samples: int) -> NDArray[np.float64]:
    """Scale weights to inclusion probabilities min(1, c w) that sum to `samples`."""
    if samples >= len(weights):
        return np.ones(len(weights))
    falling = np.sort(weights)[::-1]
    rest = falling.sum() - np.concatenate([[0.0], np.cumsum(falling)[:-1]])  # the mass from each rank on
    certain = np.arange(len(weights))  # how many words of the head are always drawn
    scales = (samples - certain[: samples + 1]) / rest[: samples + 1]
    first = int(np.argmax(scales * falling[: samples + 1] <= 1.0))
    return np.asarray(np.minimum(1.0, scales[first] * weights))
