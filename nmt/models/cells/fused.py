"""Cells that the library computes over whole sequences in one fused call."""

from typing import Final, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from nmt.models.cells.layer import RecurrentLayer, State, Weights, initialise_gates
from nmt.models.kernels import Fused, fused_layer, fused_step

FusedCell = Literal["lstm", "gru", "rnn", "rnn_relu"]

_KERNELS: Final[dict[FusedCell, Fused]] = {"lstm": "lstm", "gru": "gru", "rnn": "rnn_tanh", "rnn_relu": "rnn_relu"}


class FusedLayer(RecurrentLayer):
    """LSTM (Hochreiter & Schmidhuber, 1997; Gers et al., 2000), GRU (Cho et al., 2014) or simple RNN (Elman, 1990).

    Computed by the library's fused layer (cuDNN, oneDNN). Biases start at zero but for an LSTM's forget gate, which
    starts at one (Jozefowicz et al., 2015). The GRU's reset gate comes after the product (`ChoGRU`: before it). The
    simple RNN squashes by tanh or, as "rnn_relu", by max(0, x).
    """

    def __init__(self, cell: FusedCell, *, input_size: int, hidden_size: int, recurrent_dropout: float) -> None:
        super().__init__(hidden_size=hidden_size, recurrent_dropout=recurrent_dropout)
        self.cell = cell
        self.state_parts = 2 if cell == "lstm" else 1
        self.bounded = cell != "rnn_relu"
        self.fused = _make(cell, input_size, hidden_size)
        self._reset()

    def run(self, inputs: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Run over whole sequences [B, T, I] from a state, or from zeros."""
        input_weight, recurrent_weight, *biases = self.fused.all_weights[0]
        weights = (input_weight, self.thinned(recurrent_weight), *biases)
        first = state or self.zeros(inputs)
        outputs, *last = fused_layer(_KERNELS[self.cell], inputs, first, weights, training=self.training)
        return outputs, tuple(last)

    def read(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, State]:
        """Run over padded sequences [B, T, I] with `lengths` [B] real positions from zeros, and read no padding."""
        if self.cell != "lstm":  # outputs are states
            outputs = self(inputs)
            return outputs, (outputs[torch.arange(len(inputs), device=inputs.device), lengths - 1],)
        packed = pack_padded_sequence(inputs, lengths.cpu(), batch_first=True, enforce_sorted=False)
        input_weight, recurrent_weight, *biases = self.fused.all_weights[0]
        weights = (input_weight, self.thinned(recurrent_weight), *biases)
        data, *last = fused_layer(
            "lstm", packed.data, self.zeros(inputs), weights, training=self.training, batch_sizes=packed.batch_sizes
        )
        outputs, _ = pad_packed_sequence(packed._replace(data=data), batch_first=True, total_length=inputs.shape[1])
        return outputs, tuple(part[packed.unsorted_indices] for part in last)

    def weights(self) -> Weights:
        """Return input weights [G * H, I], recurrent weights [G * H, H], and the bias of each, [G * H]."""
        input_weight, recurrent_weight, input_bias, recurrent_bias = self.fused.all_weights[0]
        return input_weight, self.thinned_for_steps(recurrent_weight), input_bias, recurrent_bias

    def step(self, inputs: Tensor, state: State, *, weights: Weights) -> State:
        """Make one step: inputs [B, I], state parts [B, H]."""
        new = fused_step(_KERNELS[self.cell], inputs, state, weights)
        return tuple(part.to(old.dtype) for part, old in zip(new, state, strict=True))

    def forget_bias(self) -> Tensor | None:
        """Return the bias of an LSTM's forget gate, [H], in the order of the library: input, forget, cell, output."""
        return self.fused.all_weights[0][2].chunk(4)[1] if self.cell == "lstm" else None

    def _reset(self) -> None:
        input_weight, recurrent_weight, input_bias, recurrent_bias = self.fused.all_weights[0]
        initialise_gates(input_weight=input_weight, recurrent_weight=recurrent_weight)
        nn.init.zeros_(input_bias)
        nn.init.zeros_(recurrent_bias)
        forget_bias = self.forget_bias()
        if forget_bias is not None:
            nn.init.ones_(forget_bias)


def _make(cell: FusedCell, input_size: int, hidden_size: int) -> nn.RNNBase:
    if cell == "lstm":
        return nn.LSTM(input_size, hidden_size, batch_first=True)
    if cell == "gru":
        return nn.GRU(input_size, hidden_size, batch_first=True)
    return nn.RNN(input_size, hidden_size, batch_first=True, nonlinearity="tanh" if cell == "rnn" else "relu")
