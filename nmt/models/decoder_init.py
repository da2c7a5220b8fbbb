"""What the decoder starts from."""

from typing import Literal

import torch
from torch import Tensor, nn

from nmt.models.cells import State

DecoderInit = Literal["bridge", "copy", "zeros"]


class Bridges(nn.ModuleList):
    """A layer of its own for each of the decoder's, over the encoder's last outputs (Bahdanau et al., 2015, A.2.2)."""

    def __init__(self, *, memory_size: int, hidden_size: int, state_parts: int, layers: int) -> None:
        super().__init__(nn.Linear(memory_size, state_parts * hidden_size) for _ in range(layers))
        self.state_parts = state_parts

    def forward(self, summary: Tensor) -> list[State]:
        """Make each layer's first state, parts [B, H], from the last outputs, [B, M]."""
        return [torch.tanh(bridge(summary)).chunk(self.state_parts, dim=1) for bridge in self]


class CopiedState(nn.Module):
    """The encoder's last state itself, each layer's for the layer of its height (Sutskever et al., 2014)."""

    def __init__(self, *, state_parts: int, layers: int) -> None:
        super().__init__()
        self.state_parts = state_parts
        self.layers = layers

    def forward(self, summary: Tensor) -> list[State]:
        """Cut the last state of every layer, side by side [B, L * parts * H], into each layer's parts [B, H]."""
        return [layer.chunk(self.state_parts, dim=1) for layer in summary.chunk(self.layers, dim=1)]


class Zeros(nn.Module):
    """Nothing: what is known of the source has to be read by attention."""

    def __init__(self, *, hidden_size: int, state_parts: int, layers: int) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.state_parts = state_parts
        self.layers = layers

    def forward(self, summary: Tensor) -> list[State]:
        """Make zeros for as many sentences as `summary` [B, N] has."""
        zeros = summary.new_zeros(len(summary), self.hidden_size)
        return [(zeros,) * self.state_parts for _ in range(self.layers)]


def make_init(kind: DecoderInit, *, memory_size: int, hidden_size: int, state_parts: int, layers: int) -> nn.Module:
    """Make what a decoder of so many layers starts from, after an encoder whose outputs have `memory_size` cells."""
    if kind == "bridge":
        return Bridges(memory_size=memory_size, hidden_size=hidden_size, state_parts=state_parts, layers=layers)
    if kind == "copy":
        return CopiedState(state_parts=state_parts, layers=layers)
    return Zeros(hidden_size=hidden_size, state_parts=state_parts, layers=layers)
