"""The sampled softmax: which pieces the gold one is compared with, and what that costs."""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from nmt.config import TrainingSettings
from nmt.models.embedding import Draws
from nmt.models.kernels import ROW_MULTIPLE, linear
from nmt.models.tensors import sent


class SampledSoftmax(Draws, nn.Module):
    """Cross-entropy over the gold piece and sampled ones that the whole batch shares (Jean et al., 2015, sec. 3).

    The logit of a sampled piece is lowered by the log of its expected count; the gold piece is always there, so its
    count is one. A sampled piece that is the gold one is left out. The denominator is then an unbiased estimate of
    the full softmax's.
    """

    passes = 1

    def __init__(self, inclusion: Tensor) -> None:
        super().__init__()
        self.inclusion = inclusion
        """How likely each piece is to be drawn, [V], in (0, 1]; on the CPU, where pieces are drawn."""

    def forward(self, passes: Sequence[Tensor], gold: Tensor, output: nn.Linear) -> Tensor:
        """Sum the loss over N pieces: features of one pass [N, F], gold ids [N], the output layer [V, F]."""
        (features,) = passes
        pieces, log_counts = (sent(drawn, features.device) for drawn in self.draw())
        return sampled_loss(features, gold, output, pieces, log_counts)

    def draw(self) -> tuple[Tensor, Tensor]:
        """Draw distinct pieces, [K], and return the log of each one's expected count, [K], with them.

        Each is drawn independently of the others (Poisson sampling; Hajek, 1964): no draw is wasted on a duplicate,
        frequent pieces are always in, and the expected counts are known exactly. On a GPU one would have to wait until
        it has come so far, to know how many they are.
        """
        chance = torch.rand(self.inclusion.shape, generator=self.generator)
        pieces = (chance < self.inclusion).nonzero().squeeze(1)
        return pieces, self.inclusion[pieces].log()


def sampled(settings: TrainingSettings, counts: NDArray[np.int64]) -> SampledSoftmax:
    """Make the objective with the settings' sampler, for pieces that occur so often in the training targets, [V]."""
    inclusion = inclusion_probabilities(settings.sampler, counts, samples=settings.samples)
    return SampledSoftmax(torch.from_numpy(inclusion).float())


def sampled_loss(features: Tensor, gold: Tensor, output: nn.Linear, pieces: Tensor, log_counts: Tensor) -> Tensor:
    """Sum -log of the estimated gold probability, given the sampled pieces [K] and their log expected counts [K]."""
    missing = -len(pieces) % ROW_MULTIPLE
    pieces, log_counts = functional.pad(pieces, (0, missing)), functional.pad(log_counts, (0, missing), value=math.inf)
    table = functional.embedding(torch.cat([gold, pieces]), output.weight)  # one gather, one scatter of gradients
    gold_vectors, piece_vectors = table[: len(gold)], table[len(gold) :]
    gold_logits = (features * gold_vectors).sum(dim=1).float() + output.bias[gold]  # [N]
    logits = linear(features, piece_vectors).float() + (output.bias[pieces] - log_counts)  # [N, K]
    logits = logits.masked_fill(pieces == gold[:, None], -math.inf)
    denominators = torch.logsumexp(torch.cat([gold_logits[:, None], logits], dim=1), dim=1)
    loss: Tensor = (denominators - gold_logits).sum()
    return loss


def inclusion_probabilities(
    sampler: Literal["log_uniform", "unigram"], counts: NDArray[np.int64], *, samples: int
) -> NDArray[np.float64]:
    """Return for each piece how likely it is to be drawn, [V]: min(1, c w), so that they sum to `samples`.

    Args:
        sampler: "log_uniform": w falls with the frequency rank r like log((r + 2) / (r + 1)); "unigram": with the
            counts.
        counts: How often each piece occurs in the training targets, [V].
        samples: Expected size of a draw; from the vocabulary's size on, every piece is always drawn.
    """
    if samples >= len(counts):
        return np.ones(len(counts))
    if sampler == "unigram":
        weights = np.maximum(counts, 0.5)  # a piece never seen still has to be pushed down at times
    else:
        ranks = np.empty(len(counts))
        ranks[np.argsort(-counts, kind="stable")] = np.arange(len(counts))
        weights = np.log((ranks + 2) / (ranks + 1))
    falling = np.sort(weights)[::-1]
    rest = falling.sum() - np.concatenate([[0.0], np.cumsum(falling)[:-1]])  # the mass from each rank on
    certain = np.arange(len(weights))  # how many pieces of the head are always drawn
    scales = (samples - certain[: samples + 1]) / rest[: samples + 1]
    first = int(np.argmax(scales * falling[: samples + 1] <= 1.0))
    return np.asarray(np.minimum(1.0, scales[first] * weights))
