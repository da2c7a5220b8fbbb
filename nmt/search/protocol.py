"""What a search is given and returns, and what it needs of a model: an encoder, a pure step, and a state that can be
reordered, cut and joined."""

from dataclasses import dataclass, field
from typing import Protocol, Self, TypeVar

import torch
from torch import Tensor

from nmt.batching import SourceBatch
from nmt.models.tensors import Takable


@dataclass(frozen=True)
class Sentence:
    """A source to translate."""

    ids: tuple[int, ...]
    """Its pieces, without `</s>`."""
    number: int = 0
    """Tells it from the others of a search; random numbers depend on it."""
    prefix: tuple[int, ...] = ()
    """The pieces that its translation has to begin with."""
    required: tuple[tuple[int, ...], ...] = ()
    """Sequences of pieces that have to appear in its translation."""


@dataclass(frozen=True)
class Hypothesis:
    """A finished hypothesis."""

    ids: tuple[int, ...]
    """The pieces, without `</s>`."""
    log_probability: float
    """Natural logarithm of the probability of the pieces and of `</s>`, where the hypothesis got to one; with a
    language model, that of the translation model plus the weighted one of the language model; with a memory, that of
    the mixture."""
    score: float
    """The log-probability over the length penalty, and the coverage penalty: what hypotheses are ranked by."""
    attention: Tensor | None = field(default=None, compare=False)
    """How much each piece read of each source position, [T, S] float32, where it was asked for."""


class BeamState(Takable, Protocol):
    """Everything a next step depends on, for B sentences with K beams each; never changed in place."""

    def select(self, parents: Tensor) -> Self:
        """Return the state with K' beams whose beam k of sentence b continues `parents[b, k]`; parents [B, K']."""


class SearchState(BeamState, Protocol):
    """The state of a model that translates."""

    @property
    def attention(self) -> Tensor:
        """How much the last step read of each source position, [B, K, S], zero on padding."""

    @property
    def pieces(self) -> Tensor | None:
        """The id of the piece that each logit scores, [B, V], ascending, special ids first; None: all, in order."""


State = TypeVar("State", bound=SearchState)
Memory = TypeVar("Memory")


class SearchableModel(Protocol[Memory, State]):
    """A model that encodes sources and decodes step by step."""

    @property
    def device(self) -> torch.device:
        """Where the weights are."""

    def encode(self, src: SourceBatch) -> Memory:
        """Encode padded sources."""

    def start(self, memory: Memory) -> State:
        """Return the decoder's state before `<s>`, with one beam a sentence."""

    def step(self, prev_ids: Tensor, state: State) -> tuple[Tensor, State]:
        """Score every next piece after `prev_ids` [B, K]: logits [B, K, V] and the next state."""
