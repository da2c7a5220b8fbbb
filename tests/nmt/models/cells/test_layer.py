"""What holds for every cell."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nmt.config.model import Cell
from nmt.models.cells.layer import Recurrence, RecurrentLayer, State, make_layer

CELLS: list[Cell] = ["lstm", "gru", "rnn", "rnn_relu", "peephole_lstm", "layer_norm_lstm", "cho_gru", "ssru"]
OWN: list[Cell] = ["peephole_lstm", "layer_norm_lstm", "cho_gru", "ssru"]
WITH_RECURRENT_WEIGHTS: list[Cell] = [cell for cell in CELLS if cell != "ssru"]


def in_bf16(cell: Cell, *values: str) -> Any:
    """Only of the LSTM does torch ask the hardware for products of bf16."""
    return pytest.param(cell, *values, marks=[pytest.mark.needs("bf16")] if cell == "lstm" else [])


def layer_of(cell: Cell, *, input_size: int = 3, hidden_size: int = 4, dropout: float = 0.0) -> RecurrentLayer:
    """Make a layer with no weight at zero or one."""
    torch.manual_seed(0)
    layer = make_layer(Recurrence(cell, dropout), input_size=input_size, hidden_size=hidden_size)
    for parameter in layer.parameters():
        parameter.data.add_(torch.randn_like(parameter), alpha=0.2)
    return layer


def state_of(layer: RecurrentLayer, batch: int, dtype: torch.dtype = torch.float32) -> State:
    return tuple(torch.tanh(torch.randn(batch, layer.hidden_size, dtype=dtype)) for _ in range(layer.state_parts))


def recurrent_weight_of(layer: RecurrentLayer) -> nn.Parameter:
    names = dict(layer.named_parameters())
    return names["recurrent_weight"] if "recurrent_weight" in names else names["fused.weight_hh_l0"]


def in_steps(layer: RecurrentLayer, inputs: Tensor, state: State) -> tuple[Tensor, State]:
    outputs, weights = [], layer.weights()
    for t in range(inputs.shape[1]):
        state = layer.step(inputs[:, t], state, weights=weights)
        outputs.append(layer.output(state))
    return torch.stack(outputs, dim=1), state


@pytest.mark.parametrize("cell", CELLS)
def test_a_sequence_equals_single_steps(cell: Cell) -> None:
    layer = layer_of(cell)
    inputs, state = torch.randn(2, 5, 3), state_of(layer, 2)
    outputs, last = layer.run(inputs, state)
    expected, after = in_steps(layer, inputs, state)
    torch.testing.assert_close(outputs, expected)
    torch.testing.assert_close(last, after)
    assert torch.equal(outputs, layer(inputs, state))


@pytest.mark.parametrize("cell", CELLS)
def test_padded_sequences_that_are_read_at_once_are_read_as_step_by_step(cell: Cell) -> None:
    layer, lengths = layer_of(cell).double(), torch.tensor([2, 40, 1])
    inputs = torch.randn(3, 40, 3).double().requires_grad_()
    real = torch.arange(40) < lengths[:, None]

    def read(reading: Callable[[Tensor, Tensor], tuple[Tensor, State]]) -> list[Tensor]:
        outputs, state = reading(inputs, lengths)
        loss = outputs[real].square().sum() + sum(n * part.sum() for n, part in enumerate(state, start=1))
        return [*torch.autograd.grad(loss, [inputs, *layer.parameters()]), outputs[real], *state]

    found, expected = read(layer.read_at_once), read(partial(RecurrentLayer.read, layer))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)
    assert not found[0][~real].any()


@pytest.mark.parametrize("cell", CELLS)
def test_a_sequence_goes_on_from_its_last_state(cell: Cell) -> None:
    layer = layer_of(cell)
    inputs = torch.randn(2, 5, 3)
    whole, last = layer.run(inputs)
    first, between = layer.run(inputs[:, :2])
    second, after = layer.run(inputs[:, 2:], between)
    torch.testing.assert_close(torch.cat([first, second], dim=1), whole)
    torch.testing.assert_close(after, last)


@pytest.mark.parametrize("cell", CELLS)
def test_no_state_is_a_state_of_zeros(cell: Cell) -> None:
    layer = layer_of(cell)
    inputs = torch.randn(2, 3, 3)
    zeros = tuple(torch.zeros(2, 4) for _ in range(layer.state_parts))
    torch.testing.assert_close(layer(inputs), layer(inputs, zeros))


@pytest.mark.parametrize("cell", CELLS)
def test_gradients_are_those_of_small_differences(cell: Cell) -> None:
    layer = layer_of(cell, input_size=2, hidden_size=2).double()
    inputs, state = torch.randn(2, 3, 2).double(), state_of(layer, 2, torch.float64)
    weights = list(layer.parameters())
    asked = [tensor.requires_grad_() for tensor in (inputs, *state)] + weights

    def run(inputs: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        outputs, last = layer.run(inputs, rest[: layer.state_parts])
        return outputs, *last

    assert torch.autograd.gradcheck(run, asked, fast_mode=cell not in OWN)


@pytest.mark.parametrize("cell", CELLS)
def test_frozen_weights_change_no_gradient_of_what_is_below_them(cell: Cell) -> None:
    layer = layer_of(cell, input_size=5, hidden_size=6)
    inputs = torch.randn(3, 4, 5, requires_grad=True)
    (expected,) = torch.autograd.grad(layer(inputs).square().sum(), [inputs])
    layer.requires_grad_(False)
    (found,) = torch.autograd.grad(layer(inputs).square().sum(), [inputs])
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("cell", CELLS)
def test_inputs_and_states_may_be_parts_of_larger_tensors(cell: Cell) -> None:
    layer = layer_of(cell, input_size=5, hidden_size=6)
    inputs = torch.randn(4, 5, 3).permute(2, 0, 1)  # [B, T, I], with the batch last in memory
    state = tuple(torch.randn(3, 6 * layer.state_parts).chunk(layer.state_parts, dim=1))
    outputs, last = layer.run(inputs, state)
    expected, like = layer.run(inputs.contiguous(), tuple(part.contiguous() for part in state))
    torch.testing.assert_close(outputs, expected)
    torch.testing.assert_close(last, like)


@pytest.mark.parametrize("cell", CELLS)
def test_a_gradient_can_be_taken_twice_from_one_run(cell: Cell) -> None:
    layer = layer_of(cell)
    loss = layer(torch.randn(2, 4, 3)).square().sum()
    first = torch.autograd.grad(loss, list(layer.parameters()), retain_graph=True)
    assert all(torch.equal(a, b) for a, b in zip(first, torch.autograd.grad(loss, layer.parameters()), strict=True))


@pytest.mark.parametrize("cell", [in_bf16(cell) for cell in CELLS])
def test_bf16_products_change_little(cell: Cell) -> None:
    layer = layer_of(cell, hidden_size=8)
    inputs, state = torch.randn(3, 6, 3, requires_grad=True), state_of(layer, 3)
    asked = [inputs, *(part.requires_grad_() for part in state), *layer.parameters()]
    exact = layer(inputs, state)
    expected = torch.autograd.grad(exact.sum(), asked)
    with torch.autocast("cpu", torch.bfloat16):
        outputs = layer(inputs, state)
    torch.testing.assert_close(outputs.float(), exact, rtol=0.05, atol=0.05)
    for found, gradient in zip(torch.autograd.grad(outputs.float().sum(), asked), expected, strict=True):
        assert found.dtype == torch.float32
        assert (found - gradient).norm() < 0.1 * gradient.norm()


@pytest.mark.parametrize("cell", OWN)
def test_the_memory_stays_in_float32_where_products_do_not(cell: Cell) -> None:
    layer = layer_of(cell)
    with torch.autocast("cpu", torch.bfloat16):
        _, last = layer.run(torch.randn(2, 4, 3))
    assert last[-1].dtype == torch.float32
    assert not torch.equal(last[-1], last[-1].bfloat16().float())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("cell", CELLS)
def test_steps_leave_a_state_in_its_type(cell: Cell, dtype: torch.dtype) -> None:
    layer = layer_of(cell)
    with torch.autocast("cpu", torch.bfloat16):
        after = layer.step(torch.randn(2, 3), state_of(layer, 2, dtype), weights=layer.weights())
    assert {part.dtype for part in after} == {dtype}


@pytest.mark.parametrize("cell", CELLS)
def test_outputs_are_bounded_where_a_layer_says_so(cell: Cell) -> None:
    layer = layer_of(cell)
    for parameter in layer.parameters():
        parameter.data.mul_(10)
    state = tuple(part * 0 + 1 for part in state_of(layer, 50))
    largest = layer(torch.randn(50, 9, 3) * 10, state).abs().max().item()
    assert layer.bounded == (cell not in ("rnn_relu", "ssru"))
    assert (largest <= 1) == layer.bounded


@pytest.mark.parametrize("cell", CELLS)
def test_models_on_disk_rely_on_these_names(cell: Cell) -> None:
    names = {
        "peephole_lstm": ["input_weight", "recurrent_weight", "bias", "peepholes"],
        "layer_norm_lstm": [
            *("input_weight", "recurrent_weight", "input_gain", "recurrent_gain", "bias"),
            *("cell_gain", "cell_bias"),
        ],
        "cho_gru": ["input_weight", "recurrent_weight", "candidate_weight", "bias"],
        "ssru": ["input_weight", "bias"],
    }
    fused = [f"fused.{name}_l0" for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    assert [name for name, _ in layer_of(cell).named_parameters()] == names.get(cell, fused)


@pytest.mark.parametrize("cell", WITH_RECURRENT_WEIGHTS)
def test_recurrent_gates_start_orthogonal(cell: Cell) -> None:
    layer = make_layer(Recurrence(cell, 0.0), input_size=3, hidden_size=4)
    for gate in recurrent_weight_of(layer).split(4):
        torch.testing.assert_close(gate @ gate.T, torch.eye(4))


@pytest.mark.parametrize("cell", WITH_RECURRENT_WEIGHTS)
def test_recurrent_dropout_leaves_a_share_out_and_scales_the_rest(cell: Cell) -> None:
    layer = layer_of(cell, hidden_size=100, dropout=0.25)
    raw = recurrent_weight_of(layer).detach()
    input_weight, recurrent_weight, *_ = layer.weights()
    zero = recurrent_weight == 0
    assert abs(zero.float().mean().item() - 0.25) < 5 * (0.1875 / raw.numel()) ** 0.5
    torch.testing.assert_close(recurrent_weight[~zero], raw[~zero] * 4 / 3)
    assert input_weight is next(layer.parameters())


@pytest.mark.parametrize("cell", WITH_RECURRENT_WEIGHTS)
def test_recurrent_dropout_is_drawn_anew_for_every_batch_and_in_training_only(cell: Cell) -> None:
    layer = layer_of(cell, dropout=0.5)
    inputs = torch.randn(2, 5, 3)
    assert not torch.equal(layer.weights()[1], layer.weights()[1])
    assert not torch.equal(layer(inputs), layer(inputs))
    layer.eval()
    assert layer.weights()[1] is recurrent_weight_of(layer)
    assert torch.equal(layer(inputs), layer(inputs))


@pytest.mark.parametrize(
    ("cell", "precision"),
    [made for cell in WITH_RECURRENT_WEIGHTS for made in (pytest.param(cell, "fp32"), in_bf16(cell, "bf16"))],
)
def test_one_recurrent_mask_serves_all_steps(cell: Cell, precision: str) -> None:
    layer = layer_of(cell, hidden_size=8, dropout=0.5)
    inputs, state = torch.randn(2, 5, 3), state_of(layer, 2)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        torch.manual_seed(1)
        outputs = layer(inputs, state)
        torch.manual_seed(1)
        expected, _ = in_steps(layer, inputs, state)
    tolerance = 1e-5 if precision == "fp32" else 5e-2
    torch.testing.assert_close(outputs.float(), expected.float(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("cell", WITH_RECURRENT_WEIGHTS)
def test_autocast_finds_the_dropped_weights_in_its_own_type(cell: Cell) -> None:
    layer = layer_of(cell, dropout=0.5)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer.weights()[1].dtype == torch.bfloat16
        assert layer.eval().weights()[1].dtype == torch.float32  # autocast keeps its own copies of parameters


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(
    ("cell", "precision"),
    [made for cell in WITH_RECURRENT_WEIGHTS for made in (pytest.param(cell, "fp32"), in_bf16(cell, "bf16"))],
)
def test_recurrent_weights_learn_where_they_are_not_dropped(cell: Cell, precision: str, whole: bool) -> None:
    layer = layer_of(cell, hidden_size=8, dropout=0.5)
    inputs, state = torch.randn(4, 2, 3), state_of(layer, 4)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        torch.manual_seed(1)
        weights = layer.weights()
        torch.manual_seed(1)
        outputs = layer(inputs, state) if whole else in_steps(layer, inputs, state)[0]
    outputs.float().square().sum().backward()
    gradient = recurrent_weight_of(layer).grad
    assert gradient is not None
    learnt = gradient != 0
    assert not learnt[weights[1] == 0].any()
    if cell != "rnn_relu":  # there whole cells may be at zero
        assert learnt[weights[1] != 0].all()


@pytest.mark.needs("gpu")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("cell", CELLS)
def test_a_gpu_finds_the_same(cell: Cell, precision: str) -> None:
    layer = layer_of(cell, hidden_size=8)
    inputs, state = torch.randn(3, 6, 3), state_of(layer, 3)
    expected = layer(inputs, state)
    gradients = torch.autograd.grad(expected.sum(), list(layer.parameters()))
    layer = layer.to("cuda")
    with torch.autocast("cuda", torch.bfloat16, enabled=precision == "bf16"):
        outputs = layer(inputs.to("cuda"), tuple(part.to("cuda") for part in state))
    tolerance = 1e-2 if precision == "fp32" else 0.1  # a GPU may multiply in TF32
    torch.testing.assert_close(outputs.float().cpu(), expected, rtol=tolerance, atol=tolerance)
    found = torch.autograd.grad(outputs.float().sum(), list(layer.parameters()))
    for one, other in zip(found, gradients, strict=True):
        assert (one.cpu() - other).norm() < tolerance * max(1.0, other.norm().item())


@pytest.mark.parametrize("cell", CELLS)
def test_a_padded_sequence_ends_in_the_state_after_its_last_real_step(cell: Cell) -> None:
    layer, inputs, lengths = layer_of(cell), torch.randn(3, 5, 3), torch.tensor([3, 5, 1])
    outputs, last = layer.read(inputs, lengths)
    assert outputs.shape == (3, 5, 4)
    for row, length in enumerate(lengths.tolist()):
        alone, end = layer.run(inputs[row : row + 1, :length])
        torch.testing.assert_close(outputs[row, :length], alone[0])
        for found, expected in zip(last, end, strict=True):
            torch.testing.assert_close(found[row], expected[0])


@pytest.mark.parametrize("cell", CELLS)
def test_padding_gets_no_gradient_from_the_last_state(cell: Cell) -> None:
    layer, inputs = layer_of(cell), torch.randn(2, 4, 3, requires_grad=True)
    _, last = layer.read(inputs, torch.tensor([2, 4]))
    sum(part.square().sum() for part in last).backward()
    assert inputs.grad is not None
    assert not inputs.grad[0, 2:].any()
    assert inputs.grad[0, :2].any(dim=1).all()
