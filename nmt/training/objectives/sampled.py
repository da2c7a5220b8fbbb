"""The sampled softmax: which pieces the gold one is compared with, and what that costs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from nmt.config import TrainingSettings

SamplerKind = Literal["log_uniform", "unigram"]


@dataclass(frozen=True)
class NegativeSampler:
    """Draws a set of distinct pieces; piece v is in it with probability `inclusion[v]`, independently of the others.

    That is Poisson sampling (Hajek, 1964): no draw is wasted on a duplicate, frequent pieces are always in, and the
    expected count of each piece, which the logits are corrected by, is known exactly.
    """

    inclusion: Tensor
    """[V], in (0, 1]."""

    def draw(self) -> tuple[Tensor, Tensor]:
        """Draw from torch's global generator: the pieces, [K], and the log of each one's expected count, [K]."""
        chance = torch.rand(self.inclusion.shape, device=self.inclusion.device)
        pieces = (chance < self.inclusion).nonzero().squeeze(1)
        return pieces, self.inclusion[pieces].log()


class SampledSoftmax:
    """Cross-entropy over the gold piece and sampled ones that the whole batch shares (Jean et al., 2015, sec. 3).

    The logit of a sampled piece is lowered by the log of its expected count; the gold piece is always there, so its
    count is one. A sampled piece that is the gold one is left out. The denominator is then an unbiased estimate of
    the full softmax's.
    """

    passes = 1

    def __init__(self, sampler: NegativeSampler) -> None:
        self.sampler = sampler

    def __call__(self, passes: Sequence[Tensor], gold: Tensor, output: nn.Linear) -> Tensor:
        """Sum the loss over N pieces: features of one pass [N, F], gold ids [N], the output layer [V, F]."""
        (features,) = passes
        return sampled_loss(features, gold, output, *self.sampler.draw())


def make(settings: TrainingSettings, counts: NDArray[np.int64], device: torch.device) -> SampledSoftmax:
    """Make the objective with the settings' sampler, for pieces that occur so often in the training targets, [V]."""
    return SampledSoftmax(make_sampler(settings.sampler, counts, samples=settings.samples, device=device))


def sampled_loss(features: Tensor, gold: Tensor, output: nn.Linear, pieces: Tensor, log_counts: Tensor) -> Tensor:
    """Sum -log of the estimated gold probability, given the sampled pieces [K] and their log expected counts [K]."""
    table = functional.embedding(torch.cat([gold, pieces]), output.weight)  # one gather, one scatter of gradients
    gold_vectors, piece_vectors = table[: len(gold)], table[len(gold) :]
    gold_logits = (features * gold_vectors).sum(dim=1).float() + output.bias[gold]  # [N]
    logits = functional.linear(features, piece_vectors).float() + (output.bias[pieces] - log_counts)  # [N, K]
    logits = logits.masked_fill(pieces == gold[:, None], -math.inf)
    denominators = torch.logsumexp(torch.cat([gold_logits[:, None], logits], dim=1), dim=1)
    loss: Tensor = (denominators - gold_logits).sum()
    return loss


def make_sampler(
    kind: SamplerKind, counts: NDArray[np.int64], *, samples: int, device: torch.device
) -> NegativeSampler:
    """Make a sampler of `samples` pieces on average.

    Args:
        kind: "log_uniform" falls with the frequency rank r like log((r + 2) / (r + 1)), "unigram" with the counts.
        counts: How often each piece occurs in the training targets, [V].
        samples: Expected size of a draw; from the vocabulary's size on, every piece is always drawn.
        device: Where to draw.
    """
    if kind == "unigram":
        weights = np.maximum(counts, 0.5)  # a piece never seen still has to be pushed down at times
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
    certain = np.arange(len(weights))  # how many pieces of the head are always drawn
    scales = (samples - certain[: samples + 1]) / rest[: samples + 1]
    first = int(np.argmax(scales * falling[: samples + 1] <= 1.0))
    return np.asarray(np.minimum(1.0, scales[first] * weights))
