"""A recurrence without recurrent products, which runs over a sequence as fast as its inputs are multiplied."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from nmt.models.cells.layer import PrepackedLayer, RecurrentLayer, State, Weights, cell, last_of
from nmt.models.kernels import widened
from nmt.models.prepacked import LINEAR, SearchPrecision
from nmt.models.recording import loop


class _PrepackedSSRU(PrepackedLayer):
    """SSRU."""

    def __init__(self, layer: "SSRU", precision: SearchPrecision) -> None:
        super().__init__(layer, precision)
        weight, bias = (part.detach() for part in layer.weights())
        self.projection = LINEAR[precision](weight, torch.cat([bias, torch.zeros_like(bias)]))

    def advance(self, projected: Tensor, state: State) -> State:
        forget, candidates = projected.chunk(2, dim=1)
        return (((state[0] - candidates) * forget.sigmoid()).add_(candidates),)

    def output(self, state: State) -> Tensor:
        """Return the output that goes with a state, [B, H]."""
        return torch.relu(state[0])


@cell("ssru")
class SSRU(RecurrentLayer):
    """Simpler simple recurrent unit (Kim et al., 2019).

    f = sigmoid(W_f x + b_f); c' = f * c + (1 - f) * W x; its output is max(0, c'), so it is not bounded.
    The forget gate's bias starts at one. Its state is c alone; it has no recurrent weights that could be dropped.
    """

    wide = ("bias",)
    form = _PrepackedSSRU

    def __init__(self, *, input_size: int, hidden_size: int, recurrent_dropout: float) -> None:
        super().__init__(hidden_size=hidden_size, recurrent_dropout=recurrent_dropout)
        self.input_weight = nn.Parameter(torch.empty(2 * hidden_size, input_size))
        """Of the forget gate and of what is remembered."""
        self.bias = nn.Parameter(torch.ones(hidden_size))
        for gate in self.input_weight.chunk(2):
            nn.init.xavier_uniform_(gate)

    def run(self, inputs: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Run over whole sequences [B, T, I] from a state, or from zeros."""
        outputs, cells = self._run(inputs, state or self.zeros(inputs))
        return outputs, (cells[-1],)

    def read_at_once(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, State]:
        """Run over padded sequences [B, T, I] with `lengths` [B] real positions from zeros, and read no padding."""
        outputs, cells = self._run(inputs, self.zeros(inputs))
        return outputs, (last_of(cells.transpose(0, 1), lengths),)

    def _run(self, inputs: Tensor, state: State) -> tuple[Tensor, Tensor]:
        """Run over [B, T, I]; return the outputs, [B, T, H], and c after every step, [T, B, H]."""
        (c,) = state
        projected = functional.linear(inputs.transpose(0, 1), self.input_weight)  # [T, B, 2 * H]
        forget, candidates = projected.chunk(2, dim=2)
        cells = loop(_Scan, torch.sigmoid(widened(forget) + self.bias), widened(candidates), widened(c))
        return torch.relu(cells).to(projected.dtype).transpose(0, 1), cells

    def weights(self) -> Weights:
        """Return input weights [2 * H, I] and the forget gate's bias [H]."""
        return self.input_weight, self.bias

    def step(self, inputs: Tensor, state: State, *, weights: Weights) -> State:
        """Make one step: inputs [B, I], the state [B, H], which keeps its type."""
        input_weight, bias = weights
        forget, candidates = widened(functional.linear(inputs, input_weight)).chunk(2, dim=1)
        new = torch.lerp(candidates, widened(state[0]), torch.sigmoid(forget + bias))
        return (new.to(state[0].dtype),)

    def forget_bias(self) -> Tensor:
        """Return the bias of the forget gate, [H]: all of them."""
        return self.bias

    def output(self, state: State) -> Tensor:
        """Return the output that goes with a state, [B, H]."""
        return torch.relu(state[0])


class _Scan(torch.autograd.Function):
    """c' = f * c + (1 - f) * x along the first dimension: one cheap operation a step, forwards and backwards."""

    @staticmethod
    def forward(ctx: Any, forget: Tensor, candidates: Tensor, first: Tensor) -> Tensor:
        """Run from gates and candidates [T, B, H] and the first c, [B, H]; return all c, [T, B, H]."""
        cells, c = torch.empty_like(forget), first
        for t in range(len(cells)):
            c = torch.lerp(candidates[t], c, forget[t], out=cells[t])
        ctx.save_for_backward(forget, candidates, cells, first)
        return cells

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_outputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        forget, candidates, cells, first = ctx.saved_tensors
        d_cells, last = d_outputs.clone(), len(cells) - 1
        for t in range(last, 0, -1):
            d_cells[t - 1].addcmul_(d_cells[t], forget[t])
        before = torch.cat([first[None], cells[:-1]])
        d_forget = before.sub_(candidates).mul_(d_cells)
        d_first = d_cells[0] * forget[0]
        return d_forget, torch.addcmul(d_cells, d_cells, forget, value=-1), d_first
