"""The encoder, and the encoder-decoder: ids in, features or logits out."""

from collections.abc import Sequence
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from nmt.batching import Batch, SourceBatch
from nmt.models.attention import Memory
from nmt.models.cells.layer import Recurrence, RecurrentLayer, State, make_layer
from nmt.models.decoder import DecoderState, RecurrentDecoder
from nmt.models.embedding import Dropout, WordEmbedding
from nmt.models.streams import side_by_side


class RecurrentEncoder(nn.Module):
    """Stacked recurrent layers, the first `bidirectional_layers` in both directions (Schuster & Paliwal, 1997).

    All of them are bidirectional, or none, or the lowest one (GNMT: Wu et al., 2016, sec. 3.2): each direction then has
    half of the cells of a layer.

    Padding is always after the real positions: each direction is a layer of its own, and the backward one reads rows
    that are mirrored within their own length. So no padding is ever read before a real piece, and the fused
    whole-sequence kernels serve without packing.

    `dropouts` work on the input of every layer but the first: they are one fewer than layers.
    """

    def __init__(
        self,
        *,
        recurrence: Recurrence,
        embedding_size: int,
        hidden_size: int,
        bidirectional_layers: int,
        residual: int,
        dropouts: Sequence[Dropout],
    ) -> None:
        super().__init__()
        inputs = [embedding_size] + [hidden_size] * len(dropouts)
        halves = [hidden_size // 2] * bidirectional_layers
        sizes = halves + [hidden_size] * (len(inputs) - bidirectional_layers)
        self.forward_layers = nn.ModuleList(
            make_layer(recurrence, input_size=i, hidden_size=size) for i, size in zip(inputs, sizes, strict=True)
        )
        self.backward_layers = nn.ModuleList(
            make_layer(recurrence, input_size=i, hidden_size=half) for i, half in zip(inputs, halves, strict=False)
        )
        self.residual = residual
        """The number of the lowest layer, counted from 1, that adds its input to its output; 0: there is none."""
        self.dropouts = nn.ModuleList(dropouts)

    def forward(self, embedded: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encode padded sources, embedded [B, S, E], of `lengths` [B] real positions.

        Returns:
            The outputs, [B, S, H] (meaningless after `lengths`), and what the decoder starts from, [B, N]: the last
            outputs of each direction side by side, N = H.
        """
        position = torch.arange(embedded.shape[1], device=lengths.device)
        mirror = lengths[:, None] - 1 - position
        mirror = torch.where(mirror >= 0, mirror, position)  # [B, S], within the real part; padding stays where it is
        x, ends = embedded, list[State]()
        for i, layer in enumerate(self.forward_layers):
            source = self.dropouts[i - 1](x) if i else x
            read = partial(self._read, cast(RecurrentLayer, layer), source, lengths)
            if i < len(self.backward_layers):
                back = partial(self._read_back, cast(RecurrentLayer, self.backward_layers[i]), source, lengths, mirror)
                (y, end), (z, other) = side_by_side(read, back, shared=(source, lengths, mirror))
                y = torch.cat([y, z], dim=2)  # [B, S, H]
                end = tuple(torch.cat(parts, dim=1) for parts in zip(end, other, strict=True))
            else:
                y, end = read()
            x = x + y if 0 < self.residual <= i + 1 and x.shape == y.shape else y
            ends.append(end)
        return x, self._summary(ends)

    def _read(self, layer: RecurrentLayer, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, State]:
        """Run a layer over [B, S, I]; return its outputs and what is needed of its last state, parts [B, *]."""
        outputs = layer(inputs)
        return outputs, (gather_positions(outputs, (lengths - 1)[:, None]).squeeze(1),)

    def _read_back(
        self, layer: RecurrentLayer, inputs: Tensor, lengths: Tensor, mirror: Tensor
    ) -> tuple[Tensor, State]:
        """Do the same from the last real position to the first; `mirror` [B, S] says what stands where then."""
        outputs, end = self._read(layer, gather_positions(inputs, mirror), lengths)
        return gather_positions(outputs, mirror), end

    def _summary(self, ends: Sequence[State]) -> Tensor:
        return ends[-1][0]


class StateEncoder(RecurrentEncoder):
    """The encoder that hands on its whole last state: every part of it, of every layer, side by side [B, L * P * H]."""

    def _read(self, layer: RecurrentLayer, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, State]:
        return layer.read(inputs, lengths)

    def _summary(self, ends: Sequence[State]) -> Tensor:
        return torch.cat([part for state in ends for part in state], dim=1)


def gather_positions(x: Tensor, positions: Tensor) -> Tensor:
    """Pick `positions` [B, P] from rows of `x` [B, S, H]: [B, P, H]."""
    batch, size, width = x.shape
    start = torch.arange(batch, device=x.device)[:, None] * size
    picked = x.reshape(batch * size, width).index_select(0, (start + positions).flatten())
    return picked.view(batch, positions.shape[1], width)


class Seq2Seq(nn.Module):
    """A recurrent encoder-decoder."""

    def __init__(
        self,
        *,
        src_embedding: WordEmbedding,
        tgt_embedding: WordEmbedding,
        encoder: RecurrentEncoder,
        decoder: RecurrentDecoder,
        output: nn.Linear,
    ) -> None:
        super().__init__()
        self.src_embedding = src_embedding
        self.tgt_embedding = tgt_embedding
        self.encoder = encoder
        self.decoder = decoder
        self.output = output

    @property
    def device(self) -> torch.device:
        """Where the weights are; those of the decoder beside its layers, where parts are on several devices."""
        readout = self.decoder.readout.parameters()  # prepacked, it has none
        return next(readout, self.src_embedding.table.weight).device

    def forward(self, batch: Batch) -> Tensor:
        """Run with teacher forcing; return the features of every target position, [B, T, F]."""
        memory = self.encode(batch.src)
        return self.decoder(self.tgt_embedding(batch.tgt.inputs), memory)  # type: ignore[no-any-return]

    def attend(self, batch: Batch) -> Tensor:
        """Run with teacher forcing; return how much every target position reads of each source position, [B, T, S]."""
        memory = self.encode(batch.src)
        return self.decoder.read(self.tgt_embedding(batch.tgt.inputs), memory)[1]

    def encode(self, src: SourceBatch) -> Memory:
        """Encode padded sources."""
        outputs, summary = self.encoder(self.src_embedding(src.ids), src.lengths)
        values = self.decoder.attention.values(outputs)
        position = torch.arange(src.ids.shape[1], device=src.ids.device)
        mask = position < src.lengths[:, None]  # [B, S]
        return Memory(values, self.decoder.attention.keys(values), mask, summary)

    def start(self, memory: Memory) -> DecoderState:
        """Return the decoder's state before `<s>`, with one beam a sentence."""
        return self.decoder.start(memory.padded())

    def step(self, prev_ids: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Score every next piece after `prev_ids` [B, K]: logits [B, K, V] and the next state."""
        features, state = self.features(prev_ids, state)
        return self.output(features), state

    def features(self, prev_ids: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Return what the output layer reads after `prev_ids` [B, K], [B, K, F], and the next state."""
        return self.decoder.step(self.tgt_embedding(prev_ids), state)
