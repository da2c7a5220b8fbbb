"""What a search needs of a decoder: a pure step, and a state that can be reordered and cut."""

from typing import Protocol, Self, TypeVar

from torch import Tensor


class SearchState(Protocol):
    """Everything a next step depends on, for B sentences with K beams each; never changed in place."""

    def select(self, parents: Tensor) -> Self:
        """Return the state with K' beams whose beam k of sentence b continues `parents[b, k]`; parents [B, K']."""
        ...

    def take(self, sentences: Tensor) -> Self:
        """Return the state of `sentences` [B'] only, in this order."""
        ...


State = TypeVar("State", bound=SearchState)


class StepDecoder(Protocol[State]):
    """A decoder that makes one step for all beams of all sentences."""

    def step(self, prev_ids: Tensor, state: State) -> tuple[Tensor, State]:
        """Score every next word after `prev_ids` [B, K]: logits [B, K, V] and the next state."""
        ...
