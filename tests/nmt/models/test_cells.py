import math

import pytest
import torch

from nmt.models.cells import Cell, Recurrence, RecurrentLayer

CELLS: list[Cell] = ["lstm", "gru", "rnn"]


def layer_of(cell: Cell, *, input_size: int = 3, hidden_size: int = 4, dropout: float = 0.0) -> RecurrentLayer:
    torch.manual_seed(0)
    return RecurrentLayer(Recurrence(cell, dropout), input_size=input_size, hidden_size=hidden_size)


@pytest.mark.parametrize("cell", CELLS)
def test_the_fused_sequence_equals_single_steps(cell: Cell) -> None:
    layer = layer_of(cell)
    inputs = torch.randn(2, 5, 3)
    state = tuple(torch.randn(2, 4) for _ in range(layer.state_parts))
    outputs = layer(inputs, state)
    for t in range(5):
        state = layer.step(inputs[:, t], state, weights=layer.weights())
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
    got_h, got_c = layer.step(torch.tensor([[x]]), (torch.tensor([[h]]), torch.tensor([[c]])), weights=layer.weights())
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


def test_recurrent_dropout_leaves_a_share_out_and_scales_the_rest() -> None:
    layer = layer_of("lstm", hidden_size=100, dropout=0.25)
    raw = layer.fused.weight_hh_l0.detach()
    input_weight, recurrent_weight, *_ = layer.weights()
    zero = recurrent_weight == 0
    assert abs(zero.float().mean().item() - 0.25) < 5 * (0.1875 / 40_000) ** 0.5
    torch.testing.assert_close(recurrent_weight[~zero], raw[~zero] * 4 / 3)
    assert input_weight is layer.fused.weight_ih_l0


def test_recurrent_dropout_is_drawn_anew_for_every_batch_and_in_training_only() -> None:
    layer = layer_of("lstm", dropout=0.5)
    inputs = torch.randn(2, 5, 3)
    assert not torch.equal(layer.weights()[1], layer.weights()[1])
    assert not torch.equal(layer(inputs), layer(inputs))
    layer.eval()
    assert layer.weights()[1] is layer.fused.weight_hh_l0
    assert torch.equal(layer(inputs), layer(inputs))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("cell", CELLS)
def test_one_recurrent_mask_serves_all_steps(cell: Cell, precision: str) -> None:
    layer = layer_of(cell, hidden_size=8, dropout=0.5)
    inputs = torch.randn(2, 5, 3)
    state = tuple(torch.randn(2, 8) for _ in range(layer.state_parts))
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        torch.manual_seed(1)
        outputs = layer(inputs, state)
        torch.manual_seed(1)
        weights = layer.weights()
        for t in range(5):
            state = layer.step(inputs[:, t], state, weights=weights)
            tolerance = 1e-6 if precision == "fp32" else 2e-2
            torch.testing.assert_close(outputs[:, t].float(), state[0].float(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("cell", CELLS)
def test_autocast_finds_the_dropped_weights_in_its_own_type(cell: Cell) -> None:
    layer = layer_of(cell, dropout=0.5)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer.weights()[1].dtype == torch.bfloat16
        assert layer.eval().weights()[1].dtype == torch.float32  # autocast keeps its own copies of parameters


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("cell", CELLS)
def test_recurrent_weights_learn_where_they_are_not_dropped(cell: Cell, precision: str, whole: bool) -> None:
    layer = layer_of(cell, hidden_size=8, dropout=0.5)
    inputs, state = torch.randn(4, 2, 3), tuple(torch.randn(4, 8) for _ in range(layer.state_parts))
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        torch.manual_seed(1)
        weights = layer.weights()
        if whole:
            torch.manual_seed(1)
            layer(inputs, state).float().square().sum().backward()
        else:
            state = layer.step(inputs[:, 0], state, weights=weights)
            layer.step(inputs[:, 1], state, weights=weights)[0].float().square().sum().backward()
    gradient = layer.fused.weight_hh_l0.grad
    assert gradient is not None
    assert torch.equal(gradient != 0, weights[1] != 0)
