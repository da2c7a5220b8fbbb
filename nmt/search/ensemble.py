"""Several models that translate together."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Generic

import torch
from torch import Tensor

from nmt.batching import SourceBatch
from nmt.models.tensors import Rows
from nmt.search.protocol import Memory, SearchableModel, State


@dataclass(frozen=True)
class EnsembleState(Rows, Generic[State]):
    """The states of all models, for B sentences with K beams each."""

    states: tuple[State, ...]
    attending: int
    """How many of the models have attention; that of the others is zero."""

    @property
    def attention(self) -> Tensor:
        """How much the last step read of each source position, on average, [B, K, S]."""
        first, *others = (state.attention for state in self.states)
        return sum(others, start=first) / self.attending if others else first

    @property
    def words(self) -> Tensor | None:
        """The word that each logit of a sentence scores, [B, V], the same for all models; None: all, in order."""
        return self.states[0].words

    def select(self, parents: Tensor) -> "EnsembleState[State]":
        """Reorder beams: the new beam k of sentence b continues `parents[b, k]`; parents [B, K']."""
        return replace(self, states=tuple(state.select(parents) for state in self.states))


class Ensemble(Generic[Memory, State]):
    """Models with the same vocabularies, which choose words by the mean of their probabilities.

    The mean is the arithmetic one (Sutskever et al., 2014, sec. 3.6). One model gives exactly what it gives alone.
    """

    def __init__(self, models: Sequence[SearchableModel[Memory, State]], *, attending: int | None = None) -> None:
        """Join models that are in evaluation mode, on one device.

        Args:
            models: At least one.
            attending: How many of them have attention; None: all.
        """
        if not models:
            raise ValueError("an ensemble needs at least one model")
        self._models = tuple(models)
        self._attending = len(models) if attending is None else attending

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self._models[0].device

    def encode(self, src: SourceBatch) -> tuple[Memory, ...]:
        """Encode padded sources, each model for itself."""
        return tuple(model.encode(src) for model in self._models)

    def start(self, memory: tuple[Memory, ...]) -> EnsembleState[State]:
        """Return the states before `<s>`, with one beam a sentence."""
        pairs = zip(self._models, memory, strict=True)
        return EnsembleState(tuple(model.start(encoded) for model, encoded in pairs), self._attending)

    def step(self, prev_ids: Tensor, state: EnsembleState[State]) -> tuple[Tensor, EnsembleState[State]]:
        """Score every next word after `prev_ids` [B, K]: logits [B, K, V] and the next state.

        The logits of several models are the logarithms of summed probabilities, in float32.
        """
        pairs = zip(self._models, state.states, strict=True)
        logits, states = zip(*(model.step(prev_ids, one) for model, one in pairs), strict=True)
        if len(logits) == 1:
            return logits[0], EnsembleState(states, self._attending)
        log_probs = torch.stack([part.log_softmax(dim=-1, dtype=torch.float32) for part in logits])
        return log_probs.logsumexp(dim=0), EnsembleState(states, self._attending)
