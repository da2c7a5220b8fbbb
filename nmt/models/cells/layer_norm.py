"""The LSTM whose sums are normalised."""

from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from nmt.models.cells.layer import MemoryLayer, PrepackedLayer, State, Weights, cell, initialise_gates, kept_after
from nmt.models.kernels import fast_tanh, normalised, prepacked_product, through_norm, widened, without_autocast
from nmt.models.prepacked import LINEAR, SearchPrecision
from nmt.models.recording import loop

EPSILON: Final = 1e-5
"""Added to the variances."""


class _PrepackedLayerNormLSTM(PrepackedLayer):
    """LSTM with layer normalisation: of each row by itself, as everything here."""

    def __init__(self, layer: "LayerNormLSTM", precision: SearchPrecision) -> None:
        super().__init__(layer, precision)
        input_weight, recurrent_weight, *norms = layer.weights()
        self.projection = LINEAR[precision](input_weight, None)
        self.recurrent = LINEAR[precision](recurrent_weight, None, bounded=True)
        self.input_gain, self.recurrent_gain, self.bias, *cell_norm = (part.detach().clone() for part in norms)
        self.cell_gain, self.cell_bias = cell_norm

    def project(self, inputs: Tensor) -> Tensor:
        """Multiply inputs [*, R, I] and normalise them."""
        return normalised_gates(self.projection(inputs), self.input_gain, self.bias)

    def advance(self, projected: Tensor, state: State) -> State:
        h, c = state
        gates = normalised_gates(self.recurrent(h), self.recurrent_gain, None).add_(projected)  # [R, 4 * H]
        i, f, g, o = gates.chunk(4, dim=1)
        c = (f.sigmoid() * c).add_(i.sigmoid() * fast_tanh(g))
        normal = functional.layer_norm(c, self.cell_gain.shape, self.cell_gain, self.cell_bias, EPSILON)
        return o.sigmoid() * fast_tanh(normal), c


@cell("layer_norm_lstm")
class LayerNormLSTM(MemoryLayer):
    """LSTM with layer normalisation (Ba et al., 2016, supplementary material), each gate normalised over its own cells.

    a_k = LN(W_k x) * u_k + LN(U_k h) * v_k + b_k for each gate k of i, f, g, o;
    c' = sigmoid(a_f) * c + sigmoid(a_i) * tanh(a_g); h' = sigmoid(a_o) * tanh(LN(c') * s + z).
    LN takes the mean away and divides by the standard deviation over the H cells of one row. Gains start at one, the
    bias of the forget gate at one, the other biases at zero.
    """

    wide = ("input_gain", "recurrent_gain", "bias", "cell_gain", "cell_bias")
    form = _PrepackedLayerNormLSTM

    def __init__(self, *, input_size: int, hidden_size: int, recurrent_dropout: float) -> None:
        super().__init__(hidden_size=hidden_size, recurrent_dropout=recurrent_dropout)
        self.input_weight = nn.Parameter(torch.empty(4 * hidden_size, input_size))
        self.recurrent_weight = nn.Parameter(torch.empty(4 * hidden_size, hidden_size))
        self.input_gain = nn.Parameter(torch.ones(4, hidden_size))
        self.recurrent_gain = nn.Parameter(torch.ones(4, hidden_size))
        self.bias = nn.Parameter(torch.zeros(4, hidden_size))
        """Of the gates in the order input, forget, cell, output, as in the weights."""
        self.cell_gain = nn.Parameter(torch.ones(hidden_size))
        self.cell_bias = nn.Parameter(torch.zeros(hidden_size))
        with torch.no_grad():
            initialise_gates(input_weight=self.input_weight, recurrent_weight=self.recurrent_weight)
            self.forget_bias().fill_(1.0)

    def _run(self, inputs: Tensor, state: State, lengths: Tensor | None) -> tuple[Tensor, State]:
        h, c = state
        products = functional.linear(inputs.transpose(0, 1), self.input_weight)  # [T, B, 4 * H]
        projected = normalised_gates(products, self.input_gain, self.bias)
        if lengths is not None:
            projected = kept_after(projected, lengths)
        weight, gain = self.thinned(self.recurrent_weight), self.recurrent_gain
        arguments = (projected, h.to(products.dtype), c, weight, gain, self.cell_gain, self.cell_bias)
        outputs, c = loop(_Recurrence, *arguments, results=2)
        return outputs.transpose(0, 1), (outputs[-1], c)

    def weights(self) -> Weights:
        """Return input and recurrent weights, [4 * H, *], their gains and the bias, [4, H], gain and bias of c, [H]."""
        recurrent_weight = self.thinned_for_steps(self.recurrent_weight)
        gains = (self.input_gain, self.recurrent_gain, self.bias, self.cell_gain, self.cell_bias)
        return self.input_weight, recurrent_weight, *gains

    def forget_bias(self) -> Tensor:
        """Return the bias of the forget gate, [H]."""
        return self.bias[1]

    def step(self, inputs: Tensor, state: State, *, weights: Weights) -> State:
        """Make one step: inputs [B, I], state parts [B, H]."""
        h, c = state
        input_weight, recurrent_weight, input_gain, recurrent_gain, bias, cell_gain, cell_bias = weights
        gates = normalised_gates(functional.linear(inputs, input_weight), input_gain, bias)
        gates = gates + normalised_gates(functional.linear(h, recurrent_weight), recurrent_gain, None)
        i, f, g, o = gates.chunk(4, dim=1)
        new = torch.sigmoid(f) * widened(c) + torch.sigmoid(i) * torch.tanh(g)
        squashed = torch.tanh(functional.layer_norm(new, cell_gain.shape, cell_gain, cell_bias, EPSILON))
        return (torch.sigmoid(o) * squashed).to(h.dtype), new.to(c.dtype)


def normalised_gates(products: Tensor, gain: Tensor, bias: Tensor | None) -> Tensor:
    """Normalise each gate of products [*, 4 * H] by itself; gain and bias [4, H]."""
    gates = widened(products).view(*products.shape[:-1], *gain.shape)
    normalised = functional.layer_norm(gates, gain.shape[1:], eps=EPSILON) * gain
    return (normalised if bias is None else normalised + bias).flatten(-2)


class _Recurrence(torch.autograd.Function):
    """The steps over a sequence, in float32; products are in the type in which h comes."""

    @staticmethod
    def forward(
        ctx: Any,
        projected: Tensor,
        h: Tensor,
        c: Tensor,
        weight: Tensor,
        gain: Tensor,
        cell_gain: Tensor,
        cell_bias: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Run from normalised projections [T, B, 4 * H]; return all h, [T, B, H], and the last c, [B, H]."""
        size, shape = h.shape[1], (*projected.shape[:2], h.shape[1])
        gates, products = projected.clone(), torch.empty_like(projected)
        cells, squashed, outputs = gates.new_empty(shape), gates.new_empty(shape), h.new_empty(shape)
        first, moments, cell_moments = (h, widened(c)), [], []
        with without_autocast(projected):
            times = prepacked_product(weight.to(h.dtype))
            h, c = first
            for t in range(len(gates)):
                gate = gates[t]
                product = products[t].copy_(times(h)).view(-1, 4, size)  # [B, 4, H]
                normal, found = normalised(product, None, None, epsilon=EPSILON)
                moments.append(found)
                gate.view(-1, 4, size).addcmul_(normal, gain)
                i, f, g, o = gate.chunk(4, dim=1)
                g.mul_(2)  # tanh(x) = 2 sigmoid(2 x) - 1, four times as fast as the library's
                gate.sigmoid_()
                g.mul_(2).sub_(1)
                c = torch.mul(f, c, out=cells[t]).addcmul_(i, g)
                normal, found = normalised(c, cell_gain, cell_bias, epsilon=EPSILON)
                cell_moments.append(found)
                tanh = torch.mul(normal, 2, out=squashed[t]).sigmoid_().mul_(2).sub_(1)
                h = outputs[t].copy_(o * tanh)
        # means and inverse deviations, step by step
        found_moments = [torch.stack(found) for each in (moments, cell_moments) for found in zip(*each, strict=True)]
        kept = (gates, products, cells, squashed, outputs, *first, weight, gain, *found_moments, cell_gain, cell_bias)
        ctx.save_for_backward(*kept)
        return outputs, c.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_outputs: Tensor, d_c: Tensor) -> tuple[Tensor, ...]:
        """Go back through the steps; what belongs to the weights is multiplied for all of them at once."""
        gates, products, cells, squashed, outputs, first_h, first_c, weight, gain, *rest = ctx.saved_tensors
        mean, inverse, cell_mean, cell_inverse, *cell_norm = rest
        size = outputs.shape[2]
        i, f, g, o = gates.chunk(4, dim=2)
        before = torch.cat([first_c[None], cells[:-1]])  # [T, B, H]
        # what a gate's input changes in c (input, forget, cell) or in h (output); then what the loss says of it
        d_gates = torch.cat([g * i * (1 - i), before * f * (1 - f), i * (1 - g * g), squashed * o * (1 - o)], dim=2)
        d_normal = o * (1 - squashed * squashed)
        d_products = torch.empty_like(products, dtype=outputs.dtype)
        with without_autocast(outputs):
            times = prepacked_product(weight.to(outputs.dtype).t())
            d_h, d_c = torch.zeros_like(first_c), d_c.clone()
            for t in range(len(outputs) - 1, -1, -1):
                d_gate = d_gates[t]
                d_h = widened(d_h) + d_outputs[t]
                d_gate[:, 3 * size :].mul_(d_h)
                d_c.add_(through_norm(d_normal[t].mul_(d_h), cells[t], (cell_mean[t], cell_inverse[t]), *cell_norm))
                d_gate[:, : 3 * size].view(-1, 3, size).mul_(d_c[:, None])
                d_c.mul_(f[t])
                d_scaled, product = d_gate.view(-1, 4, size) * gain, products[t].view(-1, 4, size)
                d_product = through_norm(d_scaled, product, (mean[t], inverse[t]), None, None)
                d_h = times(d_products[t].copy_(d_product.flatten(1)))
            hs = torch.cat([first_h[None], outputs[:-1]]).flatten(0, 1)
            d_weight = d_products.flatten(0, 1).t() @ hs
        normal = functional.layer_norm(products.view(*outputs.shape[:2], 4, size), (size,), eps=EPSILON)
        d_gain = (d_gates.view(*outputs.shape[:2], 4, size) * normal).sum((0, 1))
        d_cell_gain = (d_normal * functional.layer_norm(cells, (size,), eps=EPSILON)).sum((0, 1))
        return d_gates, d_h, d_c, d_weight, d_gain, d_cell_gain, d_normal.sum((0, 1))
