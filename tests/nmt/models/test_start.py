"""How weights start where the settings ask for another start."""

import math
from typing import get_args

import pytest
import torch
from torch import Tensor, nn

from nmt.config import ModelSettings
from nmt.config.model import Cell
from nmt.models.build import build_language_model, build_model
from nmt.models.cells.layer import RecurrentLayer
from nmt.models.seq2seq import Seq2Seq

CELLS: tuple[Cell, ...] = get_args(Cell)


def model_of(**changes: object) -> Seq2Seq:
    small = {"embedding_size": 6, "hidden_size": 8, "encoder_layers": 1, "attention": "additive"}
    settings = ModelSettings.model_validate({**small, **changes})
    return build_model(settings, src_vocab_size=11, tgt_vocab_size=9, joint=False, seed=1)


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach() for name, parameter in model.named_parameters()}


def forget_biases_of(model: nn.Module) -> list[Tensor]:
    layers = [layer for layer in model.modules() if isinstance(layer, RecurrentLayer)]
    return [bias.detach() for layer in layers if (bias := layer.forget_bias()) is not None]


def gates_of(model: nn.Module) -> list[Tensor]:
    """Return the matrices of the recurrent layers, one for each gate."""
    layers = [layer for layer in model.modules() if isinstance(layer, RecurrentLayer)]
    matrices = [
        (layer.hidden_size, weight)
        for layer in layers
        for name, weight in weights_of(layer).items()
        if "weight" in name
    ]
    return [gate for size, matrix in matrices for gate in torch.split(matrix, size)]


@pytest.mark.parametrize("cell", CELLS)
def test_the_defaults_by_their_names_start_as_the_defaults_do(cell: Cell) -> None:
    plain = weights_of(model_of(cell=cell))
    named = weights_of(model_of(cell=cell, init="orthogonal", forget_bias=1.0))
    assert all(torch.equal(weight, named[name]) for name, weight in plain.items())
    ranged = weights_of(model_of(cell=cell, init_range=0.1))
    named = weights_of(model_of(cell=cell, init="uniform", init_range=0.1, forget_bias=0.0))
    assert all(torch.equal(weight, named[name]) for name, weight in ranged.items())


@pytest.mark.parametrize("cell", CELLS)
def test_xavier_keeps_every_gate_within_its_own_bound(cell: Cell) -> None:
    model = model_of(cell=cell, init="xavier", hidden_size=32, embedding_size=20)
    linears = [model.decoder.readout.weight.detach(), model.decoder.attention.key_projection.weight.detach()]
    for matrix in gates_of(model) + linears:
        bound = math.sqrt(6 / sum(matrix.shape))
        assert 0.9 * bound < matrix.abs().max() <= bound


@pytest.mark.parametrize("cell", CELLS)
def test_he_draws_with_a_variance_of_two_over_the_inputs(cell: Cell) -> None:
    model = model_of(cell=cell, init="he", hidden_size=64, embedding_size=40)
    for matrix in [*gates_of(model), model.decoder.readout.weight.detach()]:
        deviation = matrix.std() / math.sqrt(2 / matrix.shape[1])
        assert abs(deviation - 1) < 5 / math.sqrt(2 * matrix.numel())


@pytest.mark.parametrize("init", ["xavier", "he"])
def test_tables_start_as_ever_and_biases_of_linear_layers_at_zero(init: str) -> None:
    plain, other = model_of(), model_of(init=init)
    for table in ("src_embedding", "tgt_embedding"):
        assert torch.equal(getattr(other, table).table.weight, getattr(plain, table).table.weight)
    assert other.output.weight is other.tgt_embedding.table.weight
    linears = [module for module in other.modules() if isinstance(module, nn.Linear) and module.bias is not None]
    assert len(linears) == 4  # keys, bridge, readout, output
    assert not any(linear.bias.any() for linear in linears)


@pytest.mark.parametrize("init", ["orthogonal", "xavier", "he"])
@pytest.mark.parametrize("cell", ["lstm", "peephole_lstm", "layer_norm_lstm", "ssru"])
def test_forget_gates_start_where_they_are_asked_to(cell: Cell, init: str) -> None:
    biases = forget_biases_of(model_of(cell=cell, init=init, forget_bias=-0.5))
    assert len(biases) == 3  # both directions of the encoder, and the decoder
    assert all(bias.tolist() == [-0.5] * len(bias) for bias in biases)
    assert all(bias.tolist() == [1.0] * len(bias) for bias in forget_biases_of(model_of(cell=cell, init=init)))


@pytest.mark.parametrize("cell", ["lstm", "peephole_lstm", "layer_norm_lstm", "ssru"])
def test_uniform_forget_gates_lie_around_their_bias(cell: Cell) -> None:
    for bias in forget_biases_of(model_of(cell=cell, init="uniform", init_range=0.1, forget_bias=2.0)):
        assert bool(((bias - 2).abs() <= 0.1).all())
        assert len(bias.unique()) == len(bias)


@pytest.mark.parametrize("cell", ["gru", "cho_gru", "rnn", "rnn_relu"])
def test_a_cell_without_a_forget_gate_has_no_bias_of_one(cell: Cell) -> None:
    assert forget_biases_of(model_of(cell=cell, forget_bias=3.0)) == []


def test_a_language_model_starts_as_it_is_asked_to() -> None:
    settings = ModelSettings(kind="lm", embedding_size=6, hidden_size=8, init="xavier", forget_bias=0.0)
    model = build_language_model(settings, vocab_size=9, seed=1)
    assert not any(bias.any() for bias in forget_biases_of(model))
    assert all(gate.abs().max() <= math.sqrt(6 / sum(gate.shape)) for gate in gates_of(model))
