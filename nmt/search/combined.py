"""Models combined at every step: an ensemble, or a translation model and a language model (shallow fusion)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor

from nmt.batching import SourceBatch
from nmt.models.tensors import Rows
from nmt.search.protocol import BeamState, Memory, SearchableModel, State
from nmt.text.vocab import BOS, EOS


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
    def pieces(self) -> Tensor | None:
        """The piece that each logit of a sentence scores, [B, V], the same for all models; None: all, in order."""
        return self.states[0].pieces

    def select(self, parents: Tensor) -> "EnsembleState[State]":
        """Reorder beams: the new beam k of sentence b continues `parents[b, k]`; parents [B, K']."""
        return replace(self, states=tuple(state.select(parents) for state in self.states))


class Ensemble(Generic[Memory, State]):
    """Models with the same vocabularies, averaged in probability at every step.

    The mean is the arithmetic one (Sutskever et al., 2014, sec. 3.6). One model gives exactly what it gives alone.
    """

    def __init__(self, models: Sequence[SearchableModel[Memory, State]], *, attending: int | None = None) -> None:
        """Join models that are in evaluation mode, on one device; `attending` of them have attention, None: all."""
        self._models = tuple(models)
        self._attending = len(models) if attending is None else attending

    def changed(self, change: Callable[[SearchableModel[Any, Any]], SearchableModel[Any, Any]]) -> "Ensemble[Any, Any]":
        """Return an ensemble of what `change` makes of each model."""
        return Ensemble([change(model) for model in self._models], attending=self._attending)

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
        """Score every next piece after `prev_ids` [B, K]: logits [B, K, V] and the next state.

        The logits of several models are the logarithms of summed probabilities, in float32.
        """
        pairs = zip(self._models, state.states, strict=True)
        logits, states = zip(*(model.step(prev_ids, one) for model, one in pairs), strict=True)
        if len(logits) == 1:
            return logits[0], EnsembleState(states, self._attending)
        log_probs = torch.stack([part.log_softmax(dim=-1, dtype=torch.float32) for part in logits])
        return log_probs.logsumexp(dim=0), EnsembleState(states, self._attending)


Text = TypeVar("Text", bound=BeamState)


class TextModel(Protocol[Text]):
    """A language model that is stepped piece by piece."""

    def start(self, batch: int) -> Text:
        """Return the state before the first piece of `batch` texts, with one beam each; the first piece is `</s>`."""

    def step(self, prev_ids: Tensor, state: Text) -> tuple[Tensor, Text]:
        """Score every next piece after `prev_ids` [B, K]: logits [B, K, V] and the next state."""


@dataclass(frozen=True)
class FusedState(Rows, Generic[State, Text]):
    """The states of both models, for B sentences with K beams each."""

    translation: State
    text: Text

    @property
    def attention(self) -> Tensor:
        """How much the last step read of each source position, [B, K, S]."""
        return self.translation.attention

    @property
    def pieces(self) -> Tensor | None:
        """The piece that each score of a sentence is for, [B, V], as the translation model has it; None: all."""
        return self.translation.pieces

    def select(self, parents: Tensor) -> "FusedState[State, Text]":
        """Reorder beams: the new beam k of sentence b continues `parents[b, k]`; parents [B, K']."""
        return FusedState(self.translation.select(parents), self.text.select(parents))


class FusedModel(Generic[Memory, State, Text]):
    """Shallow fusion (Gulcehre et al., 2015, sec. 4.1): log p(y | x) + weight * log p(y) is what pieces are chosen by.

    What it gives are such sums and no logits: a search has to leave them as they are (`Kind.weighed`). None is above 0.
    """

    def __init__(self, model: SearchableModel[Memory, State], text_model: TextModel[Text], *, weight: float) -> None:
        """Join models of the same target vocabulary, in evaluation mode, on one device."""
        self._model = model
        self._text_model = text_model
        self._weight = weight

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self._model.device

    def encode(self, src: SourceBatch) -> Memory:
        """Encode padded sources."""
        return self._model.encode(src)

    def start(self, memory: Memory) -> FusedState[State, Text]:
        """Return the states before `<s>`, with one beam a sentence."""
        state = self._model.start(memory)
        return FusedState(state, self._text_model.start(len(state.attention)))

    def step(self, prev_ids: Tensor, state: FusedState[State, Text]) -> tuple[Tensor, FusedState[State, Text]]:
        """Score every next piece after `prev_ids` [B, K]: sums of log-probabilities, [B, K, V], and the next state.

        Where the translation model scores a shortlist, its probabilities are those among the list, the language
        model's those among all pieces.
        """
        logits, translation = self._model.step(prev_ids, state.translation)
        # where a decoder begins with <s>, a language model reads the end of the sentence before
        text_logits, text = self._text_model.step(prev_ids.masked_fill(prev_ids == BOS, EOS), state.text)
        text_log_probs = text_logits.log_softmax(dim=-1, dtype=torch.float32)
        pieces = translation.pieces
        if pieces is not None:
            text_log_probs = text_log_probs.gather(2, pieces[:, None].expand(-1, prev_ids.shape[1], -1))
        # two operations: a fused one may round otherwise at the end of a tensor (docs/decisions/0010)
        scores = logits.log_softmax(dim=-1, dtype=torch.float32).add_(text_log_probs.mul_(self._weight))
        return scores, FusedState(translation, text)
