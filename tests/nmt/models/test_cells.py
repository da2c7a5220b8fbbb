import math

import pytest
import torch

from nmt.models.cells import Cell, RecurrentLayer

CELLS: list[Cell] = ["lstm", "gru", "rnn"]


def layer_of(cell: Cell, input_size: int = 3, hidden_size: int = 4) -> RecurrentLayer:
    torch.manual_seed(0)
    return RecurrentLayer(cell=cell, input_size=input_size, hidden_size=hidden_size)


@pytest.mark.parametrize("cell", CELLS)
def test_the_fused_sequence_equals_single_steps(cell: Cell) -> None:
    layer = layer_of(cell)
    inputs = torch.randn(2, 5, 3)
    state = tuple(torch.randn(2, 4) for _ in range(layer.state_parts))
    outputs = layer(inputs, state)
    for t in range(5):
        state = layer.step(inputs[:, t], state)
        torch.testing.assert_close(outputs[:, t], state[0])


def test_an_lstm_step_follows_the_plain_equations() -> None:
    layer = layer_of("lstm", input_size=1, hidden_size=1)
    for parameter, values in zip(
        (layer.fused.weight_ih_l0, layer.fused.weight_hh_l0, layer.fused.bias_ih_l0),
        ([1.0, 2.0, 3.0, 4.0], [0.5, 0.25, -0.5, 1.0], [0.0, 1.0, 0.0, -1.0]),
        strict=True,
    ):
        parameter.data.copy_(torch.tensor(values).view_as(parameter))
    x, h, c = 0.1, 0.2, 0.3

    def sigmoid(a: float) -> float:
        return 1 / (1 + math.exp(-a))

    i, f = sigmoid(1 * x + 0.5 * h), sigmoid(2 * x + 0.25 * h + 1)
    g, o = math.tanh(3 * x - 0.5 * h), sigmoid(4 * x + h - 1)
    new_c = f * c + i * g
    got_h, got_c = layer.step(torch.tensor([[x]]), (torch.tensor([[h]]), torch.tensor([[c]])))
    assert got_c.item() == pytest.approx(new_c)
    assert got_h.item() == pytest.approx(o * math.tanh(new_c))


def test_forget_gates_start_open_and_recurrent_gates_orthogonal() -> None:
    layer = layer_of("lstm")
    bias = layer.fused.bias_ih_l0 + layer.fused.bias_hh_l0
    assert bias.tolist() == [0.0] * 4 + [1.0] * 4 + [0.0] * 8
    for gate in layer.fused.weight_hh_l0.chunk(4):
        torch.testing.assert_close(gate @ gate.T, torch.eye(4))


@pytest.mark.parametrize("cell", CELLS)
def test_no_state_is_a_state_of_zeros(cell: Cell) -> None:
    layer = layer_of(cell)
    inputs = torch.randn(2, 3, 3)
    zeros = tuple(torch.zeros(2, 4) for _ in range(layer.state_parts))
    torch.testing.assert_close(layer(inputs), layer(inputs, zeros))
