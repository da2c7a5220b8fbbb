"""Training objectives: what a model's features cost it; each that `training.objective` names is a file of that name."""

from collections.abc import Sequence
from importlib import import_module
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nmt.batching import Batch, Segment
from nmt.config import TrainingSettings
from nmt.models.language_model import LanguageModel
from nmt.models.seq2seq import Seq2Seq
from nmt.training.state import Carry


class Objective(Protocol):
    """Something that turns features into a loss."""

    @property
    def passes(self) -> int:
        """How often each batch is read, each time with its own dropout."""
        ...

    def __call__(self, passes: Sequence[Tensor], gold: Tensor, output: nn.Linear) -> Tensor:
        """Sum the loss over N pieces: features of each pass [N, F], gold ids [N], the output layer [V, F]."""
        ...


class TrainingLoss(nn.Module):
    """A model and its objective as one module, whose output is the loss: batches in, nats out."""

    def __init__(self, model: Seq2Seq, objective: Objective) -> None:
        super().__init__()
        self.model = model
        self.objective = objective

    def forward(self, batch: Batch) -> Tensor:
        """Sum the loss over the real pieces of a batch."""
        passes, gold = zip(*(word_features(self.model, batch) for _ in range(self.objective.passes)), strict=True)
        return self.objective(passes, gold[0], self.model.output)


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
        return self.objective([features.flatten(0, 1)[segment.pieces]], gold, self.model.output)


def word_features(model: Seq2Seq, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return the features [N, F] and the gold ids [N] of the real target pieces of a batch."""
    pieces = batch.tgt.pieces
    return model(batch).flatten(0, 1)[pieces], batch.tgt.outputs.flatten()[pieces]


def make_objective(settings: TrainingSettings, counts: NDArray[np.int64], *, device: torch.device) -> Objective:
    """Make the objective that the settings ask for; `counts` are those of the target pieces, [V]."""
    name = "r_drop" if settings.r_drop else settings.objective
    objective: Objective = import_module(f"nmt.training.objectives.{name}").make(settings, counts, device)
    return objective
