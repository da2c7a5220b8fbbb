"""Training objectives: the loss of the gold words, by the full softmax or by a sampled one."""

import math
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from nmt.batching import Batch, Segment
from nmt.config import TrainingSettings
from nmt.models.language_model import LanguageModel
from nmt.models.seq2seq import Seq2Seq
from nmt.training.carry import Carry
from nmt.training.cross_entropy import linear_cross_entropy
from nmt.training.r_drop import r_drop_cross_entropy
from nmt.training.samplers import NegativeSampler, make_sampler


class Objective(Protocol):
    """Something that turns features into a loss."""

    def __call__(self, features: Tensor, gold: Tensor, output: nn.Linear) -> Tensor:
        """Sum the loss over N words: features [N, F], gold ids [N], the output layer [V, F]."""
        ...


class FullSoftmax:
    """Cross-entropy over the whole vocabulary, with label smoothing (Szegedy et al., 2016, sec. 7)."""

    def __init__(self, *, label_smoothing: float) -> None:
        self.label_smoothing = label_smoothing

    def __call__(self, features: Tensor, gold: Tensor, output: nn.Linear) -> Tensor:
        """Sum the loss over N words: features [N, F], gold ids [N], the output layer [V, F]."""
        return linear_cross_entropy(features, gold, output, label_smoothing=self.label_smoothing)


class SampledSoftmax:
    """Cross-entropy over the gold word and sampled ones that the whole batch shares (Jean et al., 2015, sec. 3).

    The logit of a sampled word is lowered by the log of its expected count; the gold word is always there, so its
    count is one. A sampled word that is the gold word is left out. The denominator is then an unbiased estimate of
    the full softmax's.
    """

    def __init__(self, sampler: NegativeSampler) -> None:
        self.sampler = sampler

    def __call__(self, features: Tensor, gold: Tensor, output: nn.Linear) -> Tensor:
        """Sum the loss over N words: features [N, F], gold ids [N], the output layer [V, F]."""
        words, log_counts = self.sampler.draw()
        return sampled_loss(features, gold, output, words, log_counts)


def sampled_loss(features: Tensor, gold: Tensor, output: nn.Linear, words: Tensor, log_counts: Tensor) -> Tensor:
    """Sum -log of the estimated gold probability, given the sampled words [K] and their log expected counts [K]."""
    table = functional.embedding(torch.cat([gold, words]), output.weight)  # one gather, one scatter of gradients
    gold_vectors, word_vectors = table[: len(gold)], table[len(gold) :]
    gold_logits = (features * gold_vectors).sum(dim=1).float() + output.bias[gold]  # [N]
    logits = functional.linear(features, word_vectors).float() + (output.bias[words] - log_counts)  # [N, K]
    logits = logits.masked_fill(words == gold[:, None], -math.inf)
    denominators = torch.logsumexp(torch.cat([gold_logits[:, None], logits], dim=1), dim=1)
    loss: Tensor = (denominators - gold_logits).sum()
    return loss


class TrainingLoss(nn.Module):
    """A model and its objective as one module, whose output is the loss: batches in, nats out."""

    def __init__(self, model: Seq2Seq, objective: Objective) -> None:
        super().__init__()
        self.model = model
        self.objective = objective

    def forward(self, batch: Batch) -> Tensor:
        """Sum the loss over the real words of a batch."""
        features, gold = word_features(self.model, batch)
        return self.objective(features, gold, self.model.output)


class SegmentLoss(nn.Module):
    """A language model and its objective as one module: segments in, nats out; `carry` is what it remembers."""

    def __init__(self, model: LanguageModel, objective: Objective, carry: Carry) -> None:
        super().__init__()
        self.model = model
        self.objective = objective
        self.carry = carry

    def forward(self, segment: Segment) -> Tensor:
        """Sum the loss over the real pieces of a segment; no gradient goes back through the state after it."""
        features, last = self.model(segment.inputs, self.carry.before(segment))
        self.carry.after(segment, tuple(tuple(part.detach() for part in layer) for layer in last))
        gold = segment.outputs.flatten()[segment.pieces]
        return self.objective(features.flatten(0, 1)[segment.pieces], gold, self.model.output)


class RDropLoss(nn.Module):
    """Two passes with different dropout, and how far apart they are (R-Drop: Liang et al., 2021, eq. 4, halved).

    The loss is the mean cross-entropy of the two, plus `weight` / 4 times their divergence in both directions: half the
    paper's, so that it compares with the loss of one pass.
    """

    def __init__(self, model: Seq2Seq, *, weight: float, label_smoothing: float) -> None:
        super().__init__()
        self.model = model
        self.weight = weight
        self.label_smoothing = label_smoothing

    def forward(self, batch: Batch) -> Tensor:
        """Sum the loss over the real words of a batch."""
        first, gold = word_features(self.model, batch)
        second, _ = word_features(self.model, batch)
        return r_drop_cross_entropy(
            first, second, gold, self.model.output, label_smoothing=self.label_smoothing, weight=self.weight
        )


def word_features(model: Seq2Seq, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return the features [N, F] and the gold ids [N] of the real target words of a batch."""
    pieces = batch.tgt.pieces
    return model(batch).flatten(0, 1)[pieces], batch.tgt.outputs.flatten()[pieces]


def make_loss(settings: TrainingSettings, model: Seq2Seq, counts: NDArray[np.int64]) -> nn.Module:
    """Make the loss that the settings ask for, on the model's device; `counts` are those of the target pieces, [V]."""
    if settings.r_drop:
        return RDropLoss(model, weight=settings.r_drop, label_smoothing=settings.label_smoothing)
    return TrainingLoss(model, make_objective(settings, counts, device=model.device))


def make_objective(settings: TrainingSettings, counts: NDArray[np.int64], *, device: torch.device) -> Objective:
    """Make the objective that the settings ask for; `counts` are those of the target pieces, [V]."""
    if settings.objective == "full":
        return FullSoftmax(label_smoothing=settings.label_smoothing)
    return SampledSoftmax(make_sampler(settings.sampler, counts, samples=settings.samples, device=device))
