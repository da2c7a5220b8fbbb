"""The LSTM whose gates see its memory."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from nmt.models.cells.layer import MemoryLayer, PrepackedLayer, State, Weights, cell, initialise_gates, kept_after
from nmt.models.kernels import fast_tanh, prepacked_product, widened, without_autocast
from nmt.models.prepacked import LINEAR, SearchPrecision
from nmt.models.recording import loop


class _PrepackedPeepholeLSTM(PrepackedLayer):
    """LSTM with peepholes; its gates stand in the order input, forget, cell, output."""

    def __init__(self, layer: "PeepholeLSTM", precision: SearchPrecision) -> None:
        super().__init__(layer, precision)
        input_weight, recurrent_weight, bias, peepholes = (weight.detach() for weight in layer.weights())
        self.projection = LINEAR[precision](input_weight, bias)
        self.recurrent = LINEAR[precision](recurrent_weight, None, bounded=True)
        self.peepholes = peepholes.clone()

    def advance(self, projected: Tensor, state: State) -> State:
        h, c = state
        size = self.hidden_size
        sums = self.recurrent(h).add_(projected)  # [R, 4 * H]
        seen = c.repeat(1, 2).mul_(self.peepholes[:2].flatten())
        i, f = seen.add_(sums[:, : 2 * size]).sigmoid_().chunk(2, dim=1)
        c = (f * c).add_(i * fast_tanh(sums[:, 2 * size : 3 * size]))
        o = (c * self.peepholes[2]).add_(sums[:, 3 * size :]).sigmoid_()
        return o * fast_tanh(c), c


@cell("peephole_lstm")
class PeepholeLSTM(MemoryLayer):
    """LSTM with peepholes: its gates also read the memory c, each cell its own (Gers & Schmidhuber, 2000).

    i = sigmoid(W_i x + U_i h + p_i * c + b_i), f likewise; g = tanh(W_g x + U_g h + b_g); c' = f * c + i * g;
    o = sigmoid(W_o x + U_o h + p_o * c' + b_o); h' = o * tanh(c').
    Peepholes start at zero, the bias of the forget gate at one, the other biases at zero.
    """

    wide = ("peepholes",)
    form = _PrepackedPeepholeLSTM

    def __init__(self, *, input_size: int, hidden_size: int, recurrent_dropout: float) -> None:
        super().__init__(hidden_size=hidden_size, recurrent_dropout=recurrent_dropout)
        self.input_weight = nn.Parameter(torch.empty(4 * hidden_size, input_size))
        self.recurrent_weight = nn.Parameter(torch.empty(4 * hidden_size, hidden_size))
        self.bias = nn.Parameter(torch.zeros(4 * hidden_size))
        """Of the gates in the order input, forget, cell, output, as in the weights."""
        self.peepholes = nn.Parameter(torch.zeros(3, hidden_size))
        """From the memory to input, forget and output gate."""
        with torch.no_grad():
            initialise_gates(input_weight=self.input_weight, recurrent_weight=self.recurrent_weight)
            self.forget_bias().fill_(1.0)

    def _run(self, inputs: Tensor, state: State, lengths: Tensor | None) -> tuple[Tensor, State]:
        h, c = state
        projected = functional.linear(inputs.transpose(0, 1), self.input_weight, self.bias)  # [T, B, 4 * H]
        if lengths is not None:
            projected = kept_after(projected, lengths)
        recurrent_weight = self.thinned(self.recurrent_weight)
        outputs, c = loop(_Recurrence, projected, h, c, recurrent_weight, self.peepholes, results=2)
        return outputs.transpose(0, 1), (outputs[-1], c)

    def weights(self) -> Weights:
        """Return input weights [4 * H, I], recurrent weights [4 * H, H], bias [4 * H] and peepholes [3, H]."""
        return self.input_weight, self.thinned_for_steps(self.recurrent_weight), self.bias, self.peepholes

    def forget_bias(self) -> Tensor:
        """Return the bias of the forget gate, [H]."""
        return self.bias[self.hidden_size : 2 * self.hidden_size]

    def step(self, inputs: Tensor, state: State, *, weights: Weights) -> State:
        """Make one step: inputs [B, I], state parts [B, H]."""
        h, c = state
        input_weight, recurrent_weight, bias, peepholes = weights
        gates = functional.linear(inputs, input_weight, bias) + functional.linear(h, recurrent_weight)
        i, f, g, o = widened(gates).chunk(4, dim=1)
        old = widened(c)
        i, f = torch.sigmoid(i + peepholes[0] * old), torch.sigmoid(f + peepholes[1] * old)
        new = f * old + i * torch.tanh(g)
        o = torch.sigmoid(o + peepholes[2] * new)
        return (o * torch.tanh(new)).to(h.dtype), new.to(c.dtype)


class _Recurrence(torch.autograd.Function):
    """The steps over a sequence. Gates and memory are kept in float32, products are in the type of the projections."""

    @staticmethod
    def forward(
        ctx: Any, projected: Tensor, h: Tensor, c: Tensor, weight: Tensor, peepholes: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Run from projected inputs [T, B, 4 * H]; return all h, [T, B, H], and the last c, [B, H]."""
        length, batch, _ = projected.shape
        size = h.shape[1]
        first_h, first_c, holes = h.to(projected.dtype), widened(c), widened(peepholes)
        gates = projected.to(first_c.dtype, copy=True)
        cells, squashed = gates.new_empty(length, batch, size), gates.new_empty(length, batch, size)
        outputs = projected.new_empty(length, batch, size)
        with without_autocast(projected):
            times = prepacked_product(weight.to(projected.dtype))
            h, c = first_h, first_c
            for t in range(length):
                gate = gates[t].add_(times(h))
                i, f, g, o = gate.chunk(4, dim=1)
                gate[:, : 2 * size].view(-1, 2, size).addcmul_(c[:, None], holes[:2])
                g.mul_(2)  # tanh(x) = 2 sigmoid(2 x) - 1, four times as fast as the library's
                gate[:, : 3 * size].sigmoid_()
                g.mul_(2).sub_(1)
                c = torch.mul(f, c, out=cells[t]).addcmul_(i, g)
                o.addcmul_(c, holes[2]).sigmoid_()
                tanh = torch.mul(c, 2, out=squashed[t]).sigmoid_().mul_(2).sub_(1)
                h = outputs[t].copy_(o * tanh)
        ctx.save_for_backward(gates, cells, squashed, outputs, first_h, first_c, weight, holes)
        return outputs, c.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_outputs: Tensor, d_c: Tensor) -> tuple[Tensor, ...]:
        """Go back through the steps; what belongs to the weights is multiplied for all of them at once."""
        gates, cells, squashed, outputs, first_h, first_c, weight, holes = ctx.saved_tensors
        size, kind = outputs.shape[2], outputs.dtype
        i, f, g, o = gates.chunk(4, dim=2)
        before = torch.cat([first_c[None], cells[:-1]])  # [T, B, H]
        # what a gate's input changes in c (input, forget, cell) or in h (output); then what the loss says of it
        d_gates = torch.cat([g * i * (1 - i), before * f * (1 - f), i * (1 - g * g), squashed * o * (1 - o)], dim=2)
        through = o * (1 - squashed * squashed)
        d_narrow = d_gates if kind == d_gates.dtype else torch.empty_like(d_gates, dtype=kind)
        with without_autocast(outputs):
            times = prepacked_product(weight.to(kind).t())
            d_h, d_c = torch.zeros_like(first_c), widened(d_c).clone()
            for t in range(len(outputs) - 1, -1, -1):
                d_gate = d_gates[t]
                d_h = widened(d_h) + d_outputs[t]
                d_o = d_gate[:, 3 * size :].mul_(d_h)
                d_c.addcmul_(d_h, through[t]).addcmul_(d_o, holes[2])
                d_gate[:, : 3 * size].view(-1, 3, size).mul_(d_c[:, None])
                d_i, d_f, _, _ = d_gate.chunk(4, dim=1)
                d_c.mul_(f[t]).addcmul_(d_i, holes[0]).addcmul_(d_f, holes[1])
                d_h = times(d_narrow[t].copy_(d_gate) if kind != d_gates.dtype else d_gate)
            hs = torch.cat([first_h[None], outputs[:-1]]).flatten(0, 1)
            d_weight = d_narrow.flatten(0, 1).t() @ hs
        d_i, d_f, _, d_o = d_gates.chunk(4, dim=2)
        d_holes = torch.stack([(d_i * before).sum((0, 1)), (d_f * before).sum((0, 1)), (d_o * cells).sum((0, 1))])
        return d_narrow, d_h, d_c, d_weight, d_holes
