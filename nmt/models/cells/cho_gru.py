"""The GRU as it was first written down: its reset gate comes before the product."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from nmt.models.cells.layer import PrepackedLayer, RecurrentLayer, State, Weights, cell, initialise_gates
from nmt.models.kernels import fast_tanh, prepacked_product, widened, without_autocast
from nmt.models.prepacked import LINEAR, SearchPrecision
from nmt.models.recording import loop


class _PrepackedChoGRU(PrepackedLayer):
    """GRU whose reset gate comes before the product; its gates stand in the order reset, update, candidate."""

    def __init__(self, layer: "ChoGRU", precision: SearchPrecision) -> None:
        super().__init__(layer, precision)
        input_weight, recurrent_weight, candidate_weight, bias = (weight.detach() for weight in layer.weights())
        self.projection = LINEAR[precision](input_weight, bias)
        self.recurrent = LINEAR[precision](recurrent_weight, None, bounded=True)
        self.candidate = LINEAR[precision](candidate_weight, None, bounded=True)

    def advance(self, projected: Tensor, state: State) -> State:
        (h,) = state
        size = self.hidden_size
        r, z = self.recurrent(h).add_(projected[:, : 2 * size]).sigmoid_().chunk(2, dim=1)
        n = fast_tanh(self.candidate(r * h).add_(projected[:, 2 * size :]))
        return (((h - n) * z).add_(n),)


@cell("cho_gru")
class ChoGRU(RecurrentLayer):
    """GRU whose candidate multiplies what the reset gate has left of the state (Cho et al., 2014, eq. 5 to 8).

    r = sigmoid(W_r x + U_r h + b_r), z likewise; n = tanh(W_n x + U_n (r * h) + b_n); h' = z * h + (1 - z) * n.
    The library's GRU has r * (U_n h + c_n) in the place of U_n (r * h). Biases start at zero.
    """

    form = _PrepackedChoGRU

    def __init__(self, *, input_size: int, hidden_size: int, recurrent_dropout: float) -> None:
        super().__init__(hidden_size=hidden_size, recurrent_dropout=recurrent_dropout)
        self.input_weight = nn.Parameter(torch.empty(3 * hidden_size, input_size))
        """Of the gates in the order reset, update, candidate, as in the bias."""
        self.recurrent_weight = nn.Parameter(torch.empty(2 * hidden_size, hidden_size))
        """Of the reset and the update gate."""
        self.candidate_weight = nn.Parameter(torch.empty(hidden_size, hidden_size))
        """U_n."""
        self.bias = nn.Parameter(torch.zeros(3 * hidden_size))
        with torch.no_grad():
            initialise_gates(input_weight=self.input_weight, recurrent_weight=self.recurrent_weight)
            nn.init.orthogonal_(self.candidate_weight)

    def run(self, inputs: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Run over whole sequences [B, T, I] from a state, or from zeros."""
        (h,) = state or self.zeros(inputs)
        projected = functional.linear(inputs.transpose(0, 1), self.input_weight, self.bias)  # [T, B, 3 * H]
        gates, candidates = torch.split(projected, [2 * self.hidden_size, self.hidden_size], dim=2)
        weights = (self.thinned(self.recurrent_weight), self.thinned(self.candidate_weight))
        states = loop(_Recurrence, gates, candidates, widened(h), *weights)
        return states.to(projected.dtype).transpose(0, 1), (states[-1],)

    def weights(self) -> Weights:
        """Return input weights [3 * H, I], recurrent weights [2 * H, H] and [H, H], and the bias [3 * H]."""
        recurrent = (self.thinned_for_steps(self.recurrent_weight), self.thinned_for_steps(self.candidate_weight))
        return self.input_weight, *recurrent, self.bias

    def step(self, inputs: Tensor, state: State, *, weights: Weights) -> State:
        """Make one step: inputs [B, I], the state [B, H], which keeps its type."""
        (h,) = state
        input_weight, recurrent_weight, candidate_weight, bias = weights
        projected = widened(functional.linear(inputs, input_weight, bias))
        gates, candidates = torch.split(projected, [2 * self.hidden_size, self.hidden_size], dim=1)
        r, z = torch.sigmoid(gates + functional.linear(h, recurrent_weight)).chunk(2, dim=1)
        n = torch.tanh(candidates + functional.linear((r * h).to(h.dtype), candidate_weight))
        return (torch.lerp(n, widened(h), z).to(h.dtype),)


class _Recurrence(torch.autograd.Function):
    """The steps over a sequence. Gates and states are kept in float32, products are in the type of the projections."""

    @staticmethod
    def forward(
        ctx: Any, projected: Tensor, candidates: Tensor, first: Tensor, weight: Tensor, candidate_weight: Tensor
    ) -> Tensor:
        """Run from projected inputs of the gates, [T, B, 2 * H], and of the candidate, [T, B, H]: all h, [T, B, H]."""
        kind = projected.dtype
        gates, candidates = (part.to(first.dtype, copy=True) for part in (projected, candidates))
        states = torch.empty_like(candidates)
        with without_autocast(first):
            times, candidate_times = (prepacked_product(each.to(kind)) for each in (weight, candidate_weight))
            h = first
            for t in range(len(gates)):
                r, z = gates[t].add_(times(h.to(kind))).sigmoid_().chunk(2, dim=1)
                # tanh(x) = 2 sigmoid(2 x) - 1, four times as fast as the library's
                n = candidates[t].add_(candidate_times((r * h).to(kind))).mul_(2).sigmoid_().mul_(2).sub_(1)
                h = torch.lerp(n, h, z, out=states[t])
        typed = projected.new_empty(0)  # the type of products
        ctx.save_for_backward(gates, candidates, states, first, weight, candidate_weight, typed)
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_states: Tensor) -> tuple[Tensor, ...]:
        """Go back through the steps; what belongs to the weights is multiplied for all of them at once."""
        gates, candidates, states, first, weight, candidate_weight, typed = ctx.saved_tensors
        kind, size = typed.dtype, first.shape[1]
        r, z = gates.chunk(2, dim=2)
        before = torch.cat([first[None], states[:-1]])  # [T, B, H]
        reset = r * before
        # what an input changes: of the reset gate in `reset`, the others in h; then what the loss says of it
        d_gates = torch.cat([reset * (1 - r), (before - candidates) * z * (1 - z)], dim=2)
        d_candidates = (1 - z) * (1 - candidates * candidates)
        narrow = [d if kind == d.dtype else torch.empty_like(d, dtype=kind) for d in (d_gates, d_candidates)]
        with without_autocast(first):
            times, candidate_times = (prepacked_product(each.to(kind).t()) for each in (weight, candidate_weight))
            d_h = torch.zeros_like(first)
            for t in range(len(states) - 1, -1, -1):
                d_h = d_h + d_states[t]
                d_reset = widened(candidate_times(narrow[1][t].copy_(d_candidates[t].mul_(d_h))))
                d_gates[t, :, :size].mul_(d_reset)
                d_gates[t, :, size:].mul_(d_h)
                d_h.mul_(z[t]).addcmul_(d_reset, r[t]).add_(times(narrow[0][t].copy_(d_gates[t])))
            d_weight, d_candidate_weight = (
                d.flatten(0, 1).t() @ read.to(kind).flatten(0, 1)
                for d, read in zip(narrow, (before, reset), strict=True)
            )
        return *narrow, d_h, d_weight, d_candidate_weight
