"""The decoders: over whole target sequences for training, one pure step at a time for search."""

from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor, nn

from nmt.models.attention import Attention
from nmt.models.cells import Cell, RecurrentLayer, State
from nmt.models.memory import Memory


@dataclass(frozen=True)
class DecoderState:
    """Everything a next step depends on: B sentences with K beams each."""

    memory: Memory
    """The sources, one row a sentence: beams share it."""
    layers: tuple[State, ...]
    """The recurrent state of each layer, parts [B, K, H]."""
    feed: Tensor
    """The last attentional vector, [B, K, F]; read only with input feeding."""

    def select(self, parents: Tensor) -> "DecoderState":
        """Reorder beams: the new beam k of sentence b continues `parents[b, k]`; parents [B, K']."""

        def pick(part: Tensor) -> Tensor:
            return part.gather(1, parents[:, :, None].expand(-1, -1, part.shape[2]))

        layers = tuple(tuple(pick(part) for part in state) for state in self.layers)
        return replace(self, layers=layers, feed=pick(self.feed))

    def take(self, sentences: Tensor) -> "DecoderState":
        """Keep `sentences` [B'], in this order."""
        layers = tuple(tuple(part[sentences] for part in state) for state in self.layers)
        return DecoderState(self.memory.take(sentences), layers, self.feed[sentences])


class RecurrentDecoder(nn.Module):
    """The default decoder, without input feeding (the shape of GNMT: Wu et al., 2016, sec. 3).

    The first layer runs over the whole shifted target; its outputs query the attention for all steps at once; the
    context joins the input of every further layer and of the readout, tanh(W [h; context]).
    """

    def __init__(
        self,
        *,
        cell: Cell,
        embedding_size: int,
        hidden_size: int,
        feature_size: int,
        num_layers: int,
        attention: Attention,
        residual: bool,
        dropout: float,
    ) -> None:
        super().__init__()
        self.feature_size = feature_size
        self.residual = residual
        self.attention = attention
        self.first = RecurrentLayer(cell=cell, input_size=self._first_input(embedding_size), hidden_size=hidden_size)
        self.upper = nn.ModuleList(
            RecurrentLayer(cell=cell, input_size=2 * hidden_size, hidden_size=hidden_size)
            for _ in range(num_layers - 1)
        )
        parts = self.first.state_parts
        self.bridges = nn.ModuleList(nn.Linear(hidden_size, parts * hidden_size) for _ in range(num_layers))
        self.readout = nn.Linear(2 * hidden_size, feature_size)
        self.dropout = nn.Dropout(dropout)

    def forward(self, embedded: Tensor, memory: Memory) -> Tensor:
        """Run over whole targets [B, T, E]; return the features that the output layer scores, [B, T, F]."""
        first, *upper = self._initial(memory)
        h = self.first(embedded, first)  # [B, T, H]
        context, _ = self.attention(h, memory)  # [B, T, H]
        for layer, state in zip(self.upper, upper, strict=True):
            y = layer(torch.cat([self.dropout(h), context], dim=2), state)
            h = h + y if self.residual else y
        return self._features(h, context)

    def start(self, memory: Memory) -> DecoderState:
        """Return the state before the first step, with one beam a sentence."""
        layers = tuple(tuple(part[:, None] for part in state) for state in self._initial(memory))
        feed = memory.summary.new_zeros(memory.summary.shape[0], 1, self.feature_size)
        return DecoderState(memory, layers, feed)

    def step(self, embedded: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Make one step for K beams a sentence: embedded [B, K, E]; return features [B, K, F] and the next state."""
        first, *upper = state.layers
        layers = [_step(self.first, self._step_input(embedded, state), first)]
        h = layers[0][0]  # [B, K, H]
        context, _ = self.attention(h, state.memory)  # [B, K, H]
        for layer, before in zip(self.upper, upper, strict=True):
            layers.append(_step(cast(RecurrentLayer, layer), torch.cat([self.dropout(h), context], dim=2), before))
            h = h + layers[-1][0] if self.residual else layers[-1][0]
        features = self._features(h, context)
        return features, DecoderState(state.memory, tuple(layers), features)

    def _first_input(self, embedding_size: int) -> int:
        return embedding_size

    def _step_input(self, embedded: Tensor, state: DecoderState) -> Tensor:
        return embedded

    def _initial(self, memory: Memory) -> list[State]:
        """Make each layer's first state, parts [B, H], from the encoder's last (Bahdanau et al., 2015, sec. A.2.2)."""
        parts = self.first.state_parts
        return [torch.tanh(bridge(memory.summary)).chunk(parts, dim=1) for bridge in self.bridges]

    def _features(self, h: Tensor, context: Tensor) -> Tensor:
        return torch.tanh(self.readout(self.dropout(torch.cat([h, context], dim=2))))


class InputFeedingDecoder(RecurrentDecoder):
    """The decoder that also reads its last attentional vector (Luong et al., 2015, sec. 3.3): one step at a time."""

    def forward(self, embedded: Tensor, memory: Memory) -> Tensor:
        """Run over whole targets [B, T, E], step by step; return the features, [B, T, F]."""
        state, features = self.start(memory), []
        for t in range(embedded.shape[1]):
            feature, state = self.step(embedded[:, t : t + 1], state)
            features.append(feature)
        return torch.cat(features, dim=1)

    def _first_input(self, embedding_size: int) -> int:
        return embedding_size + self.feature_size

    def _step_input(self, embedded: Tensor, state: DecoderState) -> Tensor:
        return torch.cat([embedded, state.feed], dim=2)


def _step(layer: RecurrentLayer, inputs: Tensor, state: State) -> State:
    """Step all beams of all sentences as rows of one matrix: inputs [B, K, I], state parts [B, K, H]."""
    batch, beams, _ = inputs.shape
    rows = layer.step(inputs.flatten(0, 1), tuple(part.flatten(0, 1) for part in state))
    return tuple(part.view(batch, beams, -1) for part in rows)
