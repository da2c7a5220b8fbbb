"""Recurrent layers in prepacked form, for inference on a CPU (docs/decisions/0010)."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Final

import torch
from torch import Tensor, nn

from nmt.models.cells import SSRU, ChoGRU, FusedLayer, LayerNormLSTM, PeepholeLSTM, RecurrentLayer, State, Weights
from nmt.models.cells.fused import FusedCell
from nmt.models.cells.layer import kept_until
from nmt.models.cells.layer_norm import normalised_gates, normalised_memory
from nmt.models.devices import SearchPrecision
from nmt.models.prepacked import LINEAR, ROW_MULTIPLE, PrepackedLinear, filled_up


def prepack_layer(layer: RecurrentLayer, precision: SearchPrecision) -> "PrepackedLayer":
    """Copy a layer in prepacked form."""
    if isinstance(layer, PeepholeLSTM):
        return _PrepackedPeepholeLSTM(layer, precision)
    if isinstance(layer, LayerNormLSTM):
        return _PrepackedLayerNormLSTM(layer, precision)
    if isinstance(layer, ChoGRU):
        return _PrepackedChoGRU(layer, precision)
    if isinstance(layer, SSRU):
        return _PrepackedSSRU(layer, precision)
    if not isinstance(layer, FusedLayer):
        raise TypeError(f"no prepacked form of {type(layer).__name__}")
    return _FUSED[layer.cell](layer, precision)


class PrepackedLayer(nn.Module, ABC):
    """What a recurrent layer does in evaluation mode, step by step: the inputs of all steps are multiplied at once."""

    def __init__(self, layer: RecurrentLayer) -> None:
        super().__init__()
        self.hidden_size = layer.hidden_size
        self.state_parts = layer.state_parts
        self.bounded = layer.bounded
        self.aligned = self.hidden_size % ROW_MULTIPLE == 0
        """Whether any number of rows makes a multiple of 32 cells: vectors of them leave no rest, which scalar code
        would compute, and round otherwise."""

    @abstractmethod
    def project(self, inputs: Tensor) -> Tensor:
        """Make of inputs [*, R, I] what no state is needed for, [*, R, G * H]."""

    @abstractmethod
    def advance(self, projected: Tensor, state: State) -> State:
        """Make one step from projected inputs [R, G * H] and state parts [R, H], a multiple of 32 cells."""

    def forward(self, inputs: Tensor, state: State | None = None) -> Tensor:
        """Run over whole sequences [B, T, I] from a state, parts [B, H], or from zeros: [B, T, H]."""
        return self.run(inputs, state)[0]

    def run(self, inputs: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Run over whole sequences [B, T, I]; return the outputs, [B, T, H], and the last state, parts [B, H]."""
        outputs, last = list[Tensor](), state
        for last in self._steps(inputs, state):
            outputs.append(self.output(last))
        batch = len(inputs)
        return torch.stack(outputs, dim=1)[:batch], tuple(part[:batch] for part in last or ())

    def read(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, State]:
        """Run over padded sequences [B, T, I] with `lengths` [B] real positions from zeros, and read no padding."""
        batch, outputs, last = len(inputs), list[Tensor](), State()
        for t, after in enumerate(self._steps(inputs, None)):
            outputs.append(self.output(after))
            state = tuple(part[:batch] for part in after)
            last = kept_until(lengths, t, state, last or state)
        return torch.stack(outputs, dim=1)[:batch], last

    def weights(self) -> Weights:
        """Return nothing: they are prepacked."""
        return ()

    def step(self, inputs: Tensor, state: State, *, weights: Weights) -> State:
        """Make one step: inputs [B, I], state parts [B, H]."""
        batch = len(inputs)
        projected = self.project(self._filled_up(inputs))
        new = self.advance(projected, tuple(self._filled_up(part) for part in state))
        return tuple(part[:batch] for part in new)

    def output(self, state: State) -> Tensor:
        """Return the output that goes with a state, [B, H]."""
        return state[0]

    def _steps(self, inputs: Tensor, state: State | None) -> Iterator[State]:
        """Yield the state after every step over [B, T, I], parts [R, H]: the rows are filled up."""
        length = inputs.shape[1]
        rows = self._filled_up(inputs.flatten(1)).view(-1, length, inputs.shape[2])  # [R, T, I]
        projected = self.project(rows.transpose(0, 1))  # [T, R, G * H]
        if state is None:
            state = (inputs.new_zeros(len(rows), self.hidden_size),) * self.state_parts
        state = tuple(self._filled_up(part) for part in state)
        for t in range(length):
            state = self.advance(projected[t], state)
            yield state

    def _filled_up(self, rows: Tensor) -> Tensor:
        return rows if self.aligned else filled_up(rows)


class _PrepackedFused(PrepackedLayer):
    """A cell of the library."""

    def __init__(self, layer: FusedLayer, precision: SearchPrecision) -> None:
        super().__init__(layer)
        input_weight, recurrent_weight, input_bias, recurrent_bias = (
            self.arranged(weight.detach()) for weight in layer.weights()
        )
        make = LINEAR[precision]
        self.input: PrepackedLinear = make(input_weight, input_bias)
        self.recurrent: PrepackedLinear = make(recurrent_weight, recurrent_bias, bounded=self.bounded)

    def arranged(self, weight: Tensor) -> Tensor:
        """Give the gates of a weight or bias the order and the scale in which `advance` wants them."""
        return weight

    def project(self, inputs: Tensor) -> Tensor:
        """Multiply inputs [*, R, I]."""
        return self.input(inputs)  # type: ignore[no-any-return]


class _PrepackedLSTM(_PrepackedFused):
    """LSTM. Its gates stand in the order input, forget, output, cell, and one logistic function serves all of them."""

    def arranged(self, weight: Tensor) -> Tensor:
        """Put the cell's gate last and double it, for tanh(x) = 2 sigmoid(2 x) - 1; doubling is exact."""
        i, f, g, o = weight.chunk(4)
        return torch.cat([i, f, o, 2 * g])

    def advance(self, projected: Tensor, state: State) -> State:
        """Make one step."""
        h, c = state
        gates = self.recurrent(h).add_(projected).sigmoid_()  # [R, 4 * H]
        i, f, o, g = gates.chunk(4, dim=1)
        c = (f * c).add_(i * g.mul_(2).sub_(1))
        return o * _tanh(c), c


class _PrepackedGRU(_PrepackedFused):
    """GRU."""

    def advance(self, projected: Tensor, state: State) -> State:
        """Make one step."""
        (h,) = state
        size = self.hidden_size
        recurrent = self.recurrent(h)  # [R, 3 * H]
        gates = (recurrent[:, : 2 * size] + projected[:, : 2 * size]).sigmoid_()
        r, z = gates.split(size, dim=1)
        n = _tanh(projected[:, 2 * size :] + r * recurrent[:, 2 * size :])
        return (((h - n) * z).add_(n),)


class _PrepackedRNN(_PrepackedFused):
    """Simple RNN with tanh."""

    def advance(self, projected: Tensor, state: State) -> State:
        """Make one step."""
        return (_tanh(self.recurrent(state[0]).add_(projected)),)


class _PrepackedReluRNN(_PrepackedFused):
    """Simple RNN with max(0, x)."""

    def advance(self, projected: Tensor, state: State) -> State:
        """Make one step."""
        return (self.recurrent(state[0]).add_(projected).relu_(),)


_FUSED: Final[dict[FusedCell, Callable[[FusedLayer, SearchPrecision], PrepackedLayer]]] = {
    "lstm": _PrepackedLSTM,
    "gru": _PrepackedGRU,
    "rnn": _PrepackedRNN,
    "rnn_relu": _PrepackedReluRNN,
}


class _PrepackedPeepholeLSTM(PrepackedLayer):
    """LSTM with peepholes; its gates stand in the order input, forget, cell, output."""

    def __init__(self, layer: PeepholeLSTM, precision: SearchPrecision) -> None:
        super().__init__(layer)
        input_weight, recurrent_weight, bias, peepholes = (weight.detach() for weight in layer.weights())
        self.input: PrepackedLinear = LINEAR[precision](input_weight, bias)
        self.recurrent: PrepackedLinear = LINEAR[precision](recurrent_weight, None, bounded=True)
        self.peepholes = peepholes.clone()

    def project(self, inputs: Tensor) -> Tensor:
        """Multiply inputs [*, R, I]."""
        return self.input(inputs)  # type: ignore[no-any-return]

    def advance(self, projected: Tensor, state: State) -> State:
        """Make one step."""
        h, c = state
        size = self.hidden_size
        sums = self.recurrent(h).add_(projected)  # [R, 4 * H]
        seen = c.repeat(1, 2).mul_(self.peepholes[:2].flatten())
        i, f = seen.add_(sums[:, : 2 * size]).sigmoid_().chunk(2, dim=1)
        c = (f * c).add_(i * _tanh(sums[:, 2 * size : 3 * size]))
        o = (c * self.peepholes[2]).add_(sums[:, 3 * size :]).sigmoid_()
        return o * _tanh(c), c


class _PrepackedLayerNormLSTM(PrepackedLayer):
    """LSTM with layer normalisation: of each row by itself, as everything here."""

    def __init__(self, layer: LayerNormLSTM, precision: SearchPrecision) -> None:
        super().__init__(layer)
        input_weight, recurrent_weight, *_ = layer.weights()
        self.input: PrepackedLinear = LINEAR[precision](input_weight, None)
        self.recurrent: PrepackedLinear = LINEAR[precision](recurrent_weight, None, bounded=True)
        self.input_gain, self.recurrent_gain = layer.input_gain.detach().clone(), layer.recurrent_gain.detach().clone()
        self.bias = layer.bias.detach().clone()
        self.cell_gain, self.cell_bias = layer.cell_gain.detach().clone(), layer.cell_bias.detach().clone()

    def project(self, inputs: Tensor) -> Tensor:
        """Multiply inputs [*, R, I] and normalise them."""
        return normalised_gates(self.input(inputs), self.input_gain, self.bias)

    def advance(self, projected: Tensor, state: State) -> State:
        """Make one step."""
        h, c = state
        gates = normalised_gates(self.recurrent(h), self.recurrent_gain, None).add_(projected)  # [R, 4 * H]
        i, f, g, o = gates.chunk(4, dim=1)
        c = (f.sigmoid() * c).add_(i.sigmoid() * _tanh(g))
        return o.sigmoid() * _tanh(normalised_memory(c, self.cell_gain, self.cell_bias)), c


class _PrepackedChoGRU(PrepackedLayer):
    """GRU whose reset gate comes before the product; its gates stand in the order reset, update, candidate."""

    def __init__(self, layer: ChoGRU, precision: SearchPrecision) -> None:
        super().__init__(layer)
        input_weight, recurrent_weight, candidate_weight, bias = (weight.detach() for weight in layer.weights())
        self.input: PrepackedLinear = LINEAR[precision](input_weight, bias)
        self.recurrent: PrepackedLinear = LINEAR[precision](recurrent_weight, None, bounded=True)
        self.candidate: PrepackedLinear = LINEAR[precision](candidate_weight, None, bounded=True)

    def project(self, inputs: Tensor) -> Tensor:
        """Multiply inputs [*, R, I]."""
        return self.input(inputs)  # type: ignore[no-any-return]

    def advance(self, projected: Tensor, state: State) -> State:
        """Make one step."""
        (h,) = state
        size = self.hidden_size
        r, z = self.recurrent(h).add_(projected[:, : 2 * size]).sigmoid_().chunk(2, dim=1)
        n = _tanh(self.candidate(r * h).add_(projected[:, 2 * size :]))
        return (((h - n) * z).add_(n),)


class _PrepackedSSRU(PrepackedLayer):
    """SSRU."""

    def __init__(self, layer: SSRU, precision: SearchPrecision) -> None:
        super().__init__(layer)
        weight, bias = (part.detach() for part in layer.weights())
        self.input: PrepackedLinear = LINEAR[precision](weight, torch.cat([bias, torch.zeros_like(bias)]))

    def project(self, inputs: Tensor) -> Tensor:
        """Multiply inputs [*, R, I]."""
        return self.input(inputs)  # type: ignore[no-any-return]

    def advance(self, projected: Tensor, state: State) -> State:
        """Make one step."""
        forget, candidates = projected.chunk(2, dim=1)
        return (((state[0] - candidates) * forget.sigmoid()).add_(candidates),)

    def output(self, state: State) -> Tensor:
        """Return the output that goes with a state, [B, H]."""
        return torch.relu(state[0])


def _tanh(x: Tensor) -> Tensor:
    """Return tanh(x), four times as fast as the library's and as exact as an absolute error of 1e-7 asks."""
    return (2 * x).sigmoid_().mul_(2).sub_(1)
