"""The recurrent language model: the text so far in, features or logits of the next piece out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import cast

import torch
from torch import Tensor, nn

from nmt.models.cells.layer import Recurrence, RecurrentLayer, State, Weights, make_layer
from nmt.models.embedding import Dropout, WordEmbedding
from nmt.models.tensors import Rows, mapped, picker

TextState = tuple[State, ...]
"""The recurrent state of each layer, parts [B, H]: all that a language model knows of the text before."""


@dataclass(frozen=True)
class LanguageModelState(Rows):
    """Everything a next step depends on: B sentences with K beams each."""

    common = frozenset({"weights"})
    layers: tuple[State, ...]
    """The recurrent state of each layer, parts [B, K, H]."""
    weights: tuple[Weights, ...]
    """The weights of each layer, the same at all steps."""

    def select(self, parents: Tensor) -> "LanguageModelState":
        """Reorder beams: the new beam k of sentence b continues `parents[b, k]`; parents [B, K']."""
        pick = picker(parents, self.layers[0][0].shape[1])
        return replace(self, layers=mapped(pick, self.layers))


class LanguageModel(nn.Module):
    """Stacked recurrent layers over a text (Mikolov et al., 2010; Zaremba et al., 2015).

    `dropouts` work on the input of every layer but the first: they are one fewer than layers. A text is its sentences
    end to end, `</s>` after each; before its first sentence, too, a model reads `</s>`.
    """

    def __init__(
        self,
        *,
        recurrence: Recurrence,
        embedding: WordEmbedding,
        hidden_size: int,
        residual: int,
        dropouts: Sequence[Dropout],
        readout: nn.Module,
        readout_dropout: Dropout,
        output: nn.Linear,
    ) -> None:
        super().__init__()
        self.embedding = embedding
        inputs = [embedding.table.embedding_dim] + [hidden_size] * len(dropouts)
        self.layers = nn.ModuleList(make_layer(recurrence, input_size=size, hidden_size=hidden_size) for size in inputs)
        self.residual = residual
        """The number of the lowest layer, counted from 1, that adds its input to its output; 0: there is none."""
        self.dropouts = nn.ModuleList(dropouts)
        self.readout = readout
        """From the last layer, [.., H], to what the output layer scores, [.., F]."""
        self.readout_dropout = readout_dropout
        self.output = output

    @property
    def device(self) -> torch.device:
        """Where the weights are; of those on several devices the readout's, or without one the last layer's."""
        *_, last = chain([self.embedding.table.weight], self.layers.parameters(), self.readout.parameters())
        return last.device  # that of the table where all else is prepacked

    def forward(self, ids: Tensor, state: TextState | None = None) -> tuple[Tensor, TextState]:
        """Read on in B texts, from the state that their beginnings left, or from none: the next pieces `ids` [B, T].

        Returns:
            The features of every next piece, [B, T, F], and the state after the last piece.
        """
        x, last = self.embedding(ids), list[State]()
        for i, layer in enumerate(self._layers()):
            below = self.dropouts[i - 1](x) if i else x
            y, after = layer.run(below, None if state is None else state[i])
            x = x + y if 0 < self.residual <= i + 1 and x.shape == y.shape else y
            last.append(after)
        return self.readout(self.readout_dropout(x)), tuple(last)

    def start(self, batch: int) -> LanguageModelState:
        """Return the state before the first piece of `batch` texts, with one beam each; that piece is `</s>`."""
        zeros = torch.zeros(batch, 1, self._layers()[0].hidden_size, device=self.device)
        layers = tuple((zeros,) * layer.state_parts for layer in self._layers())
        return LanguageModelState(layers, tuple(layer.weights() for layer in self._layers()))

    def step(self, prev_ids: Tensor, state: LanguageModelState) -> tuple[Tensor, LanguageModelState]:
        """Score every next piece after `prev_ids` [B, K]: logits [B, K, V] and the next state."""
        batch, beams = prev_ids.shape
        x, layers = self.embedding(prev_ids).flatten(0, 1), list[State]()  # [B * K, E]
        for i, layer in enumerate(self._layers()):
            below = self.dropouts[i - 1](x) if i else x
            rows = tuple(part.flatten(0, 1) for part in state.layers[i])
            after = layer.step(below, rows, weights=state.weights[i])
            y = layer.output(after)
            x = x + y if 0 < self.residual <= i + 1 and x.shape == y.shape else y
            layers.append(tuple(part.view(batch, beams, -1) for part in after))
        logits = self.output(self.readout(self.readout_dropout(x)))  # [B * K, V]
        return logits.view(batch, beams, -1), LanguageModelState(tuple(layers), state.weights)

    def _layers(self) -> list[RecurrentLayer]:
        return [cast(RecurrentLayer, layer) for layer in self.layers]
