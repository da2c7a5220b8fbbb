"""Cells that the library computes over whole sequences in one fused call."""

from collections.abc import Callable
from functools import partial
from typing import ClassVar, Final

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from nmt.models.cells.layer import SHUT, PrepackedLayer, RecurrentLayer, State, Weights, cell, initialise_gates, last_of
from nmt.models.fused_layers import CUDNN, Fused, fused_layer, fused_step
from nmt.models.kernels import doubled_less_one, fast_tanh
from nmt.models.prepacked import LINEAR, SearchPrecision

_SWITCHES: Final = 8
"""Cells of the input that switch gates: rows stay as long as tensor cores want them."""


class FusedLayer(RecurrentLayer):
    """A cell of the library, computed by its fused layer (cuDNN, oneDNN). Biases start at zero."""

    kernel: ClassVar[Fused]
    library: ClassVar[Callable[..., nn.RNNBase]]
    """What holds the weights."""

    def __init__(self, *, input_size: int, hidden_size: int, recurrent_dropout: float) -> None:
        super().__init__(hidden_size=hidden_size, recurrent_dropout=recurrent_dropout)
        self.fused = self.library(input_size, hidden_size, batch_first=True)
        input_weight, recurrent_weight, input_bias, recurrent_bias = self.fused.all_weights[0]
        initialise_gates(input_weight=input_weight, recurrent_weight=recurrent_weight)
        nn.init.zeros_(input_bias)
        nn.init.zeros_(recurrent_bias)

    def run(self, inputs: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Run over whole sequences [B, T, I] from a state, or from zeros."""
        input_weight, recurrent_weight, *biases = self.fused.all_weights[0]
        weights = (input_weight, self.thinned(recurrent_weight), *biases)
        first = state or self.zeros(inputs)
        outputs, *last = fused_layer(self.kernel, inputs, first, weights, training=self.training)
        return outputs, tuple(last)

    def read(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, State]:
        """Run over padded sequences [B, T, I] with `lengths` [B] real positions from zeros, and read no padding."""
        return self.read_at_once(inputs, lengths)

    def weights(self) -> Weights:
        """Return input weights [G * H, I], recurrent weights [G * H, H], and the bias of each, [G * H]."""
        input_weight, recurrent_weight, input_bias, recurrent_bias = self.fused.all_weights[0]
        return input_weight, self.thinned_for_steps(recurrent_weight), input_bias, recurrent_bias

    def step(self, inputs: Tensor, state: State, *, weights: Weights) -> State:
        """Make one step: inputs [B, I], state parts [B, H]."""
        new = fused_step(self.kernel, inputs, state, weights)
        return tuple(part.to(old.dtype) for part, old in zip(new, state, strict=True))


class _PrepackedFused(PrepackedLayer):
    def __init__(self, layer: FusedLayer, precision: SearchPrecision) -> None:
        super().__init__(layer, precision)
        input_weight, recurrent_weight, input_bias, recurrent_bias = (
            self.arranged(weight.detach()) for weight in layer.weights()
        )
        self.projection = LINEAR[precision](input_weight, input_bias)
        self.recurrent = LINEAR[precision](recurrent_weight, recurrent_bias, bounded=self.bounded)

    def arranged(self, weight: Tensor) -> Tensor:
        """Give the gates of a weight or bias the order and the scale in which `advance` wants them."""
        return weight


class _PrepackedLSTM(_PrepackedFused):
    """LSTM. Its gates stand in the order input, forget, output, cell, and one logistic function serves all of them."""

    def arranged(self, weight: Tensor) -> Tensor:
        """Put the cell's gate last and double it, for tanh(x) = 2 sigmoid(2 x) - 1; doubling is exact."""
        i, f, g, o = weight.chunk(4)
        return torch.cat([i, f, o, 2 * g])

    def advance(self, projected: Tensor, state: State) -> State:
        h, c = state
        gates = self.recurrent(h).add_(projected).sigmoid_()  # [R, 4 * H]
        i, f, o, g = gates.chunk(4, dim=1)
        c = (f * c).add_(i * doubled_less_one(g))
        return o * fast_tanh(c), c


@cell("lstm")
class LSTM(FusedLayer):
    """LSTM (Hochreiter & Schmidhuber, 1997; Gers et al., 2000), whose forget gate starts with a bias of one (Jozefowicz
    et al., 2015)."""

    kernel = "lstm"
    library = nn.LSTM
    form = _PrepackedLSTM

    def __init__(self, *, input_size: int, hidden_size: int, recurrent_dropout: float) -> None:
        super().__init__(input_size=input_size, hidden_size=hidden_size, recurrent_dropout=recurrent_dropout)
        nn.init.ones_(self.forget_bias())

    def read(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, State]:
        """Run over padded sequences [B, T, I] with `lengths` [B] real positions from zeros, and read no padding."""
        if inputs.device.type == CUDNN:
            return self.read_at_once(inputs, lengths)
        packed = pack_padded_sequence(inputs, lengths.cpu(), batch_first=True, enforce_sorted=False)
        input_weight, recurrent_weight, *biases = self.fused.all_weights[0]
        weights = (input_weight, self.thinned(recurrent_weight), *biases)
        data, *last = fused_layer(
            "lstm", packed.data, self.zeros(inputs), weights, training=self.training, batch_sizes=packed.batch_sizes
        )
        outputs, _ = pad_packed_sequence(packed._replace(data=data), batch_first=True, total_length=inputs.shape[1])
        return outputs, tuple(part[packed.unsorted_indices] for part in last)

    def read_at_once(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, State]:
        """Do so without the lengths on the host, for which it would wait: more cells of the input, which are zero up to
        the last real position, shut the input gate after it and open the forget gate, so that c stays as it is."""
        input_weight, recurrent_weight, *biases = self.fused.all_weights[0]
        gates = input_weight.new_zeros(4, self.hidden_size, _SWITCHES)
        gates[0].fill_(-SHUT)
        gates[1].fill_(SHUT)
        over = torch.arange(inputs.shape[1], device=inputs.device) >= lengths[:, None]
        switches = over[:, :, None].expand(-1, -1, _SWITCHES)
        switched = torch.cat([inputs, switches.to(inputs.dtype)], dim=2)
        weights = (torch.cat([input_weight, gates.flatten(0, 1)], dim=1), self.thinned(recurrent_weight), *biases)
        outputs, _, c = fused_layer("lstm", switched, self.zeros(inputs), weights, training=self.training)
        return outputs, (last_of(outputs, lengths), c)

    def forget_bias(self) -> Tensor:
        """Return the bias of the forget gate, [H], in the order of the library: input, forget, cell, output."""
        bias: Tensor = self.fused.all_weights[0][2].chunk(4)[1]
        return bias


class _PrepackedGRU(_PrepackedFused):
    def advance(self, projected: Tensor, state: State) -> State:
        (h,) = state
        size = self.hidden_size
        recurrent = self.recurrent(h)  # [R, 3 * H]
        gates = (recurrent[:, : 2 * size] + projected[:, : 2 * size]).sigmoid_()
        r, z = gates.split(size, dim=1)
        n = fast_tanh(projected[:, 2 * size :] + r * recurrent[:, 2 * size :])
        return (((h - n) * z).add_(n),)


@cell("gru")
class GRU(FusedLayer):
    """GRU (Cho et al., 2014). Its reset gate comes after the product (`ChoGRU`: before it)."""

    kernel = "gru"
    library = nn.GRU
    form = _PrepackedGRU


class _PrepackedRNN(_PrepackedFused):
    def advance(self, projected: Tensor, state: State) -> State:
        return (fast_tanh(self.recurrent(state[0]).add_(projected)),)


@cell("rnn")
class RNN(FusedLayer):
    """Simple RNN, squashed by tanh (Elman, 1990)."""

    kernel = "rnn_tanh"
    library = nn.RNN
    form = _PrepackedRNN


class _PrepackedReluRNN(_PrepackedFused):
    def advance(self, projected: Tensor, state: State) -> State:
        return (self.recurrent(state[0]).add_(projected).relu_(),)


@cell("rnn_relu")
class ReluRNN(FusedLayer):
    """Simple RNN, squashed by max(0, x)."""

    kernel = "rnn_relu"
    library = staticmethod(partial(nn.RNN, nonlinearity="relu"))
    form = _PrepackedReluRNN
