"""A trained model made ready for search: on a CPU the same rooms, with their products in packed form."""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nmt.batching import SourceBatch
from nmt.models.cells import RecurrentLayer, State, Weights
from nmt.models.decoder import DecoderState
from nmt.models.devices import autocast
from nmt.models.memory import Memory
from nmt.models.packed import LINEAR, ROW_MULTIPLE, PackedLinear, Precision, filled_up
from nmt.models.seq2seq import Seq2Seq


def for_search(model: Seq2Seq, precision: Precision, *, device: torch.device) -> "Seq2Seq | AutocastModel":
    """Make a model ready for search on the device it is on: packed on a CPU; on a GPU in the library's own layers."""
    if device.type == "cpu":
        return for_inference(model, precision)
    return AutocastModel(model.eval()) if precision == "bf16" else model.eval()


@dataclass(frozen=True)
class AutocastModel:
    """A model whose matrix products run in bf16 on a GPU."""

    model: Seq2Seq

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.model.device

    def encode(self, src: SourceBatch) -> Memory:
        """Encode padded sources."""
        with autocast(self.device, "bf16"):
            return self.model.encode(src)

    def start(self, memory: Memory) -> DecoderState:
        """Return the decoder's state before `<s>`, with one beam a sentence."""
        with autocast(self.device, "bf16"):
            return self.model.start(memory)

    def step(self, prev_ids: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Score every next word after `prev_ids` [B, K]: logits [B, K, V] and the next state."""
        with autocast(self.device, "bf16"):
            return self.model.step(prev_ids, state)


def for_inference(model: Seq2Seq, precision: Precision) -> Seq2Seq:
    """Copy a model, with every linear and recurrent layer replaced by its packed form.

    Whatever else the model does stays as it is, so the result encodes and steps as `model` does in evaluation mode, up
    to rounding; it cannot be trained. On a CPU, and with one thread, what it computes for a sentence does not depend on
    the batch, to the last bit (docs/decisions/0010).
    """
    # what is replaced is left out of the copy
    bounded = {model.output} if model.decoder.residual else {model.output, model.decoder.readout}
    replaced = {
        id(module): _packed(module, precision, bounded=module in bounded)
        for module in model.modules()
        if isinstance(module, nn.Linear | RecurrentLayer)
    }
    return copy.deepcopy(model, memo=dict[int, object](replaced)).eval().requires_grad_(False)


def _packed(module: nn.Linear | RecurrentLayer, precision: Precision, *, bounded: bool) -> nn.Module:
    if isinstance(module, nn.Linear):
        return LINEAR[precision](module.weight, module.bias, bounded=bounded)
    return _RECURRENT[module.cell](module, precision)


class _PackedRecurrentLayer(nn.Module):
    """What RecurrentLayer does in evaluation mode, step by step: the inputs of all steps are multiplied at once."""

    state_parts = 1

    def __init__(self, layer: RecurrentLayer, precision: Precision) -> None:
        super().__init__()
        self.hidden_size = layer.fused.hidden_size
        self.aligned = self.hidden_size % ROW_MULTIPLE == 0
        """Whether any number of rows makes a multiple of 32 cells: vectors of them leave no rest, which scalar code
        would compute, and round otherwise."""
        input_weight, recurrent_weight, input_bias, recurrent_bias = (
            self.arranged(weight.detach()) for weight in layer.weights()
        )
        make = LINEAR[precision]
        self.input: PackedLinear = make(input_weight, input_bias)
        self.recurrent: PackedLinear = make(recurrent_weight, recurrent_bias, bounded=True)

    def arranged(self, weight: Tensor) -> Tensor:
        """Give the gates of a weight or bias the order and the scale in which `advance` wants them."""
        return weight

    def advance(self, projected: Tensor, state: State) -> State:
        """Make one step from projected inputs [R, G * H] and state parts [R, H], a multiple of 32 cells."""
        raise NotImplementedError

    def forward(self, inputs: Tensor, state: State | None = None) -> Tensor:
        """Run over whole sequences [B, T, I] from a state, parts [B, H], or from zeros: [B, T, H]."""
        batch, length, _ = inputs.shape
        rows = self._filled_up(inputs.flatten(1)).view(-1, length, inputs.shape[2])  # [R, T, I]
        projected = self.input(rows.transpose(0, 1))  # [T, R, G * H]
        if state is None:
            state = (inputs.new_zeros(len(rows), self.hidden_size),) * self.state_parts
        state = tuple(self._filled_up(part) for part in state)
        outputs = []
        for t in range(length):
            state = self.advance(projected[t], state)
            outputs.append(state[0])
        return torch.stack(outputs, dim=1)[:batch]

    def weights(self) -> Weights:
        """Return nothing: they are packed."""
        return ()

    def step(self, inputs: Tensor, state: State, *, weights: Weights) -> State:
        """Make one step: inputs [B, I], state parts [B, H]; the first part of the new state is the output."""
        batch = len(inputs)
        projected = self.input(self._filled_up(inputs))
        new = self.advance(projected, tuple(self._filled_up(part) for part in state))
        return tuple(part[:batch] for part in new)

    def _filled_up(self, rows: Tensor) -> Tensor:
        return rows if self.aligned else filled_up(rows)


class _PackedLSTM(_PackedRecurrentLayer):
    """LSTM. Its gates stand in the order input, forget, output, cell, and one logistic function serves all of them."""

    state_parts = 2

    def arranged(self, weight: Tensor) -> Tensor:
        """Put the cell's gate last and double it, for tanh(x) = 2 sigmoid(2 x) - 1; doubling is exact."""
        i, f, g, o = weight.chunk(4)
        return torch.cat([i, f, o, 2 * g])

    def advance(self, projected: Tensor, state: State) -> State:
        """Make one step."""
        h, c = state
        size = self.hidden_size
        gates = self.recurrent(h).add_(projected).sigmoid_()  # [R, 4 * H]
        i, f, o, g = gates.split(size, dim=1)
        c = (f * c).add_(i * g.mul_(2).sub_(1))
        return o * _tanh(c), c


class _PackedGRU(_PackedRecurrentLayer):
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


class _PackedRNN(_PackedRecurrentLayer):
    """Simple RNN."""

    def advance(self, projected: Tensor, state: State) -> State:
        """Make one step."""
        return (_tanh(self.recurrent(state[0]).add_(projected)),)


_RECURRENT = {"lstm": _PackedLSTM, "gru": _PackedGRU, "rnn": _PackedRNN}


def _tanh(x: Tensor) -> Tensor:
    """Return tanh(x), four times as fast as the library's and as exact as an absolute error of 1e-7 asks."""
    return (2 * x).sigmoid_().mul_(2).sub_(1)
