"""Packed layers compute what the layers compute."""

from typing import get_args

import pytest
import torch
from torch import nn

from nmt.config.model import Cell
from nmt.models.cells.layer import Recurrence, RecurrentLayer, State, make_layer
from nmt.models.prepacked import SearchPrecision

pytestmark = pytest.mark.usefixtures("without_gradients")
CELLS = get_args(Cell)
TOLERANCES = {"fp32": 1e-5, "bf16": 0.05, "int8": 0.05}
"""Of the root mean square of errors: a few are larger in 8 bits, where rows are normalised."""


def layer_of(cell: Cell, *, hidden_size: int) -> RecurrentLayer:
    torch.manual_seed(0)
    layer = make_layer(Recurrence(cell, dropout=0.5), input_size=24, hidden_size=hidden_size).eval()
    for parameter in layer.parameters():
        parameter.add_(torch.randn_like(parameter), alpha=0.05)
    return layer


def state_of(layer: RecurrentLayer, batch: int) -> State:
    return tuple(torch.tanh(torch.randn(batch, layer.hidden_size)) for _ in range(layer.state_parts))


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("hidden_size", [32, 7])
def test_a_prepacked_layer_computes_what_the_layer_computes(
    cell: Cell, hidden_size: int, precision: SearchPrecision
) -> None:
    layer = layer_of(cell, hidden_size=hidden_size)
    prepacked = layer.prepacked(precision)
    inputs, state = torch.randn(5, 6, 24), state_of(layer, 5)
    (whole, last), (expected, after) = (each.run(inputs, state) for each in (prepacked, layer))
    pairs = [(prepacked(inputs), layer(inputs)), (whole, expected), *zip(last, after, strict=True)]
    assert max((found - exact).square().mean().sqrt() for found, exact in pairs) < TOLERANCES[precision]
    if precision == "fp32":
        assert max((found - exact).abs().max() for found, exact in pairs) < TOLERANCES[precision]
    for t in range(6):
        state = prepacked.step(inputs[:, t], state, weights=prepacked.weights())
        torch.testing.assert_close(prepacked.output(state), whole[:, t], rtol=0, atol=1e-6)
    torch.testing.assert_close(state, last, rtol=0, atol=1e-6)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("hidden_size", [32, 7, 50])
def test_a_row_does_not_depend_on_the_others(cell: Cell, hidden_size: int, precision: SearchPrecision) -> None:
    layer = layer_of(cell, hidden_size=hidden_size)
    prepacked = layer.prepacked(precision)
    inputs, state = torch.randn(100, 3, 24), state_of(layer, 100)
    whole, last = prepacked.run(inputs, state)
    after = prepacked.step(inputs[:, 0], state, weights=())
    for rows in (torch.tensor([0]), torch.tensor([99, 5]), torch.randperm(100)[:33], torch.arange(99, -1, -1)):
        some = tuple(part[rows] for part in state)
        outputs, end = prepacked.run(inputs[rows], some)
        assert torch.equal(outputs, whole[rows])
        stepped = prepacked.step(inputs[rows, 0], some, weights=())
        for found, expected in zip((*end, *stepped), (*last, *after), strict=True):
            assert torch.equal(found, expected[rows])


@pytest.mark.parametrize("cell", ["lstm", "peephole_lstm", "layer_norm_lstm"])
def test_saturated_cells_stay_within_their_bounds(cell: Cell) -> None:
    layer = make_layer(Recurrence(cell, dropout=0.0), input_size=32, hidden_size=32)
    for name, weight in layer.named_parameters():
        if name not in ("recurrent_gain", "cell_gain"):
            weight.fill_(9.0)
    found = layer.prepacked("fp32")(torch.ones(1, 400, 32))
    assert found.abs().max() <= 1.0
    torch.testing.assert_close(found[0, -1], torch.ones(32), rtol=0, atol=1e-3)


def test_a_copy_is_independent_of_the_layer() -> None:
    for cell in CELLS:
        layer = layer_of(cell, hidden_size=32)
        prepacked, inputs = layer.prepacked("fp32"), torch.randn(2, 3, 24)
        before = prepacked(inputs)
        for parameter in layer.parameters():
            nn.init.zeros_(parameter)
        assert torch.equal(prepacked(inputs), before)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("hidden_size", [32, 7])
def test_a_prepacked_layer_reads_no_padding(cell: Cell, hidden_size: int, precision: SearchPrecision) -> None:
    prepacked = layer_of(cell, hidden_size=hidden_size).prepacked(precision)
    inputs, lengths = torch.randn(4, 6, 24), torch.tensor([6, 1, 4, 5])
    outputs, last = prepacked.read(inputs, lengths)
    for row, length in enumerate(lengths.tolist()):
        alone, end = prepacked.run(inputs[row : row + 1, :length])
        assert torch.equal(outputs[row, :length], alone[0])
        for found, expected in zip(last, end, strict=True):
            assert torch.equal(found[row], expected[0])
