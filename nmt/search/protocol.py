"""What a search needs of a model: an encoder, a pure step, and a state that can be reordered, cut and joined."""

from typing import Protocol, Self, TypeVar

import torch
from torch import Tensor

from nmt.batching import SourceBatch
from nmt.models.tensors import Takable


class SearchState(Takable, Protocol):
    """Everything a next step depends on, for B sentences with K beams each; never changed in place."""

    @property
    def attention(self) -> Tensor:
        """How much the last step read of each source position, [B, K, S], zero on padding."""
        ...

    @property
    def words(self) -> Tensor | None:
        """The word that each logit of a sentence scores, [B, V], ascending, special ids first; None: all, in order."""
        ...

    def select(self, parents: Tensor) -> Self:
        """Return the state with K' beams whose beam k of sentence b continues `parents[b, k]`; parents [B, K']."""
        ...


State = TypeVar("State", bound=SearchState)
Memory = TypeVar("Memory")


class StepDecoder(Protocol[State]):
    """A decoder that makes one step for all beams of all sentences."""

    def step(self, prev_ids: Tensor, state: State) -> tuple[Tensor, State]:
        """Score every next word after `prev_ids` [B, K]: logits [B, K, V] and the next state."""
        ...


class SearchableModel(StepDecoder[State], Protocol[Memory, State]):
    """A model that encodes sources and decodes step by step."""

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        ...

    def encode(self, src: SourceBatch) -> Memory:
        """Encode padded sources."""
        ...

    def start(self, memory: Memory) -> State:
        """Return the decoder's state before `<s>`, with one beam a sentence."""
        ...
