"""The library's cells against their equations, in float64."""

import pytest
import torch
from torch import Tensor

from nmt.models.cells import fused
from nmt.models.cells.fused import FusedLayer
from nmt.models.cells.layer import SHUT, Recurrence, make_layer


def layer_of(cell: str) -> FusedLayer:
    torch.manual_seed(0)
    layer = make_layer(Recurrence(cell, 0.0), input_size=2, hidden_size=3)
    assert isinstance(layer, FusedLayer)
    for parameter in layer.parameters():
        parameter.data.add_(torch.randn_like(parameter), alpha=0.2)
    return layer.double()


def sums(layer: FusedLayer, x: Tensor, h: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Return what each gate has from the input and from the state."""
    input_weight, recurrent_weight, input_bias, recurrent_bias = layer.weights()
    parts = x @ input_weight.T + input_bias, h @ recurrent_weight.T + recurrent_bias
    first, second = (list(part.split(3, dim=1)) for part in parts)
    return first, second


def test_an_lstm_step_follows_the_plain_equations() -> None:
    layer = layer_of("lstm")
    x, h, c = torch.randn(4, 2).double(), torch.randn(4, 3).double(), torch.randn(4, 3).double()
    i, f, g, o = (a + b for a, b in zip(*sums(layer, x, h), strict=True))
    new_c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    new_h = torch.sigmoid(o) * torch.tanh(new_c)
    torch.testing.assert_close(layer.step(x, (h, c), weights=layer.weights()), (new_h, new_c))


def test_a_gru_step_follows_the_plain_equations() -> None:
    layer = layer_of("gru")
    x, h = torch.randn(4, 2).double(), torch.randn(4, 3).double()
    (r, z, n), (recurrent_r, recurrent_z, recurrent_n) = sums(layer, x, h)
    r, z = torch.sigmoid(r + recurrent_r), torch.sigmoid(z + recurrent_z)
    expected = z * h + (1 - z) * torch.tanh(n + r * recurrent_n)
    torch.testing.assert_close(layer.step(x, (h,), weights=layer.weights()), (expected,))


@pytest.mark.parametrize("cell", ["rnn", "rnn_relu"])
def test_a_simple_step_follows_the_plain_equation(cell: str) -> None:
    layer = layer_of(cell)
    x, h = torch.randn(4, 2).double(), torch.randn(4, 3).double()
    ([first], [second]) = sums(layer, x, h)
    squash = torch.tanh if cell == "rnn" else torch.relu
    torch.testing.assert_close(layer.step(x, (h,), weights=layer.weights()), (squash(first + second),))


def test_forget_gates_start_open() -> None:
    layer = make_layer(Recurrence("lstm", 0.0), input_size=3, hidden_size=4)
    assert isinstance(layer, FusedLayer)
    bias = layer.fused.bias_ih_l0 + layer.fused.bias_hh_l0
    assert bias.tolist() == [0.0] * 4 + [1.0] * 4 + [0.0] * 8


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_switches_shut_and_open_gates_wholly(precision: torch.dtype) -> None:
    switched = torch.full((), fused._SWITCHES * SHUT, dtype=precision) - 50
    assert torch.sigmoid(switched) == 1
    assert torch.sigmoid(-switched) == 0
