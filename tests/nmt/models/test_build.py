import math
from typing import Any, get_args

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from nmt.batching import Batch, source_batch, target_batch
from nmt.config import ModelSettings
from nmt.config.model import Cell
from nmt.errors import ConfigError
from nmt.models.build import Undrawn, build_language_model, build_model, count_parameters
from nmt.models.cells.fused import FusedLayer
from nmt.models.cells.layer import Recurrence, RecurrentLayer, make_layer
from nmt.models.decoder import InputFeedingDecoder
from nmt.models.embedding import Dropout, VariationalDropout
from nmt.models.seq2seq import Seq2Seq
from nmt.text.sequences import FlatSequences

CELLS = get_args(Cell)


def settings_of(**changes: object) -> ModelSettings:
    small = {"embedding_size": 4, "hidden_size": 6, "encoder_layers": 1, "dropout": 0.0}
    return ModelSettings.model_validate({**small, **changes})


def model_of(settings: ModelSettings, *, joint: bool = True, seed: int = 1) -> Seq2Seq:
    return build_model(settings, src_vocab_size=11, tgt_vocab_size=11 if joint else 9, joint=joint, seed=seed)


def test_embeddings_are_tied_as_the_settings_say() -> None:
    everything = model_of(settings_of())
    assert everything.src_embedding.table.weight is everything.tgt_embedding.table.weight is everything.output.weight
    target = model_of(settings_of(tied_embeddings="target"))
    assert target.tgt_embedding.table.weight is target.output.weight
    assert target.src_embedding.table.weight is not target.output.weight
    none = model_of(settings_of(tied_embeddings="none"))
    assert none.tgt_embedding.table.weight is not none.output.weight
    assert none.output.weight.shape == (11, 6)  # a free output layer scores vectors of the decoder's size


def test_two_vocabularies_tie_the_target_side_only() -> None:
    model = model_of(settings_of(), joint=False)
    assert model.src_embedding.table.weight.shape == (11, 4)
    assert model.output.weight.shape == (9, 4)
    assert model.tgt_embedding.table.weight is model.output.weight


def test_tying_all_with_two_vocabularies_is_refused() -> None:
    with pytest.raises(ConfigError, match="needs one joint vocabulary"):
        model_of(settings_of(tied_embeddings="all"), joint=False)


class DrawingSeen(TorchDispatchMode):
    """Notes which operations draw numbers, or make orthogonal matrices of them."""

    def __init__(self) -> None:
        super().__init__()
        self.names = set[str]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        self.names |= {name} & {"normal_", "uniform_", "linalg_qr"}
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("start", [{"init": "orthogonal"}, {"init": "xavier"}, {"init": "he"}, {"init_range": 0.1}])
def test_what_is_about_to_be_read_is_not_drawn(cell: str, start: dict[str, object]) -> None:
    settings = settings_of(cell=cell, **start)
    with DrawingSeen() as otherwise:
        model_of(settings)
    with DrawingSeen() as seen, Undrawn():
        undrawn = model_of(settings)
    assert otherwise.names
    assert seen.names == set()
    assert count_parameters(undrawn) == count_parameters(model_of(settings))


def test_parameters_are_counted_by_hand() -> None:
    # table 11 x 4, output bias 11; encoder 2 directions of 4 gates x 3 x (4 + 3 + 2 biases);
    # decoder 4 x 6 x (4 + 6 + 2); keys 6 -> 6; bridge 6 -> 12; readout 12 -> 4
    expected = 44 + 11 + 2 * 4 * 3 * 9 + 4 * 6 * 12 + 36 + (6 * 12 + 12) + (12 * 4 + 4)
    assert count_parameters(model_of(settings_of())) == expected


def test_the_seed_fixes_the_weights_and_leaves_the_generator_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, again, other = (model_of(settings_of(), seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first.output.weight, again.output.weight)
    assert not torch.equal(first.output.weight, other.output.weight)


def test_input_feeding_is_another_decoder() -> None:
    assert isinstance(model_of(settings_of(input_feeding=True)).decoder, InputFeedingDecoder)


@pytest.mark.parametrize("attention", ["dot", "scaled_dot", "general", "additive"])
@pytest.mark.parametrize("cell", CELLS)
def test_every_weight_learns(attention: str, cell: str) -> None:
    settings = settings_of(attention=attention, cell=cell, encoder_layers=2, decoder_layers=2, tied_embeddings="none")
    model = model_of(settings)
    src, tgt = FlatSequences.from_lists([[4, 5], [6]]), FlatSequences.from_lists([[7], [8, 9]])
    rows = torch.arange(2).numpy()
    batch = Batch(source_batch(src, rows, reverse_source=True), target_batch(tgt, rows))
    model.output(model(batch)).log_softmax(2)[:, :, 7].sum().backward()
    dead = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert dead == []


def test_dropout_of_words_zeroes_whole_vectors_in_training_only() -> None:
    model = model_of(settings_of(word_dropout=0.5))
    ids = torch.full((1, 1000), 5)
    torch.manual_seed(0)
    zeroed = (model.src_embedding(ids) == 0).all(dim=2).float().mean().item()
    assert 0.4 < zeroed < 0.6
    assert torch.equal(model.eval().src_embedding(ids)[0, 0], model.src_embedding.table.weight[5])


def rates_of(model: Seq2Seq) -> tuple[list[float], list[float], list[float]]:
    """Return the rates of the embeddings, between encoder layers, between decoder layers and before the readout."""
    embeddings = [model.src_embedding.dropout.p, model.tgt_embedding.dropout.p]
    decoder = [dropout.p for dropout in model.decoder.dropouts] + [model.decoder.readout_dropout.p]
    return embeddings, [dropout.p for dropout in model.encoder.dropouts], decoder


def test_one_rate_stands_for_all_that_are_not_set() -> None:
    layers = {"encoder_layers": 3, "decoder_layers": 2}
    assert rates_of(model_of(settings_of(**layers, dropout=0.2))) == ([0.2, 0.2], [0.2, 0.2], [0.2, 0.2])
    own = {"embedding_dropout": 0.0, "encoder_dropout": 0.3, "decoder_dropout": 0.4, "readout_dropout": 0.5}
    assert rates_of(model_of(settings_of(**layers, **own, dropout=0.2))) == ([0.0, 0.0], [0.3, 0.3], [0.4, 0.5])
    listed = {"encoder_dropout": [0.3, 0.1], "decoder_dropout": [0.0]}
    assert rates_of(model_of(settings_of(**layers, **listed, dropout=0.2))) == ([0.2, 0.2], [0.3, 0.1], [0.0, 0.2])


def test_variational_dropout_is_everywhere_or_nowhere() -> None:
    for variational, kind in ((False, Dropout), (True, VariationalDropout)):
        model = model_of(settings_of(encoder_layers=2, decoder_layers=2, variational_dropout=variational))
        between = [*model.encoder.dropouts, *model.decoder.dropouts]
        assert len(between) == 2
        for dropout in (*between, model.src_embedding.dropout, model.tgt_embedding.dropout):
            assert type(dropout) is kind
        assert type(model.decoder.readout_dropout) is kind


def test_recurrent_dropout_reaches_every_layer() -> None:
    model = model_of(settings_of(encoder_layers=2, decoder_layers=2, recurrent_dropout=0.3))
    layers = [layer for layer in model.modules() if isinstance(layer, RecurrentLayer)]
    assert [layer.recurrent_dropout for layer in layers] == [0.3] * 6


def test_no_dropout_changes_a_weight_or_its_name() -> None:
    plain = model_of(settings_of(decoder_layers=2))
    rates = {"encoder_dropout": 0.1, "decoder_dropout": [0.2], "variational_dropout": True, "recurrent_dropout": 0.5}
    noisy = model_of(settings_of(decoder_layers=2, **rates))
    for (name, weight), (other_name, other) in zip(plain.named_parameters(), noisy.named_parameters(), strict=True):
        assert name == other_name
        assert torch.equal(weight, other)


def test_models_on_disk_rely_on_these_names() -> None:
    fused = ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"]
    layers = ["encoder.forward_layers.0", "encoder.backward_layers.0", "decoder.first", "decoder.upper.0"]
    names = [f"{layer}.fused.{weight}" for layer in layers for weight in fused]
    names += ["src_embedding.table.weight", "output.bias", "decoder.attention.key_projection.weight"]
    linears = ["decoder.bridges.0", "decoder.bridges.1", "decoder.readout"]
    names += [f"{linear}.{part}" for linear in linears for part in ("weight", "bias")]
    assert {name for name, _ in model_of(settings_of(decoder_layers=2)).named_parameters()} == set(names)


def test_weights_start_within_their_range_and_gains_at_one() -> None:
    model = model_of(settings_of(cell="layer_norm_lstm", init_range=0.05))
    for name, weight in model.named_parameters():
        assert bool((weight == 1).all()) if name.endswith("gain") else weight.abs().max() <= 0.05


def layers_of(**changes: object) -> dict[str, tuple[str, int]]:
    """Return cell and size of every recurrent layer by its name."""
    model = model_of(settings_of(**changes))
    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, RecurrentLayer)}
    cells = {name: layer.kernel if isinstance(layer, FusedLayer) else "ssru" for name, layer in layers.items()}
    return {name: (cells[name], layer.hidden_size) for name, layer in layers.items()}


def test_encoder_and_decoder_have_cells_and_sizes_of_their_own_or_those_of_both() -> None:
    assert layers_of(encoder_cell="gru", decoder_size=10) == {
        "encoder.forward_layers.0": ("gru", 3),
        "encoder.backward_layers.0": ("gru", 3),
        "decoder.first": ("lstm", 10),
    }
    assert layers_of(decoder_cell="ssru", encoder_size=12, encoder_layers=2, bidirectional="first") == {
        "encoder.forward_layers.0": ("lstm", 6),
        "encoder.forward_layers.1": ("lstm", 12),
        "encoder.backward_layers.0": ("lstm", 6),
        "decoder.first": ("ssru", 6),
    }


def test_a_language_model_has_the_cell_and_the_size_of_a_decoder() -> None:
    settings = settings_of(kind="lm", decoder_cell="gru", decoder_size=10, decoder_layers=2)
    model = build_language_model(settings, vocab_size=11, seed=1)
    assert [(layer.kernel, layer.hidden_size) for layer in model.layers] == [("gru", 10), ("gru", 10)]


def test_sizes_set_for_both_sides_build_what_the_common_one_builds() -> None:
    plain, named = model_of(settings_of()), model_of(settings_of(hidden_size=8, encoder_size=6, decoder_size=6))
    for (name, weight), (other_name, other) in zip(plain.named_parameters(), named.named_parameters(), strict=True):
        assert name == other_name
        assert torch.equal(weight, other)


@pytest.mark.parametrize("encoder_cell", CELLS)
@pytest.mark.parametrize("decoder_cell", CELLS)
def test_states_are_copied_between_cells_whose_states_have_the_same_parts_and_bounds(
    encoder_cell: Cell, decoder_cell: Cell
) -> None:
    def kind_of(cell: Cell) -> tuple[int, bool, bool]:
        layer = make_layer(Recurrence(cell, 0.0), input_size=2, hidden_size=3)
        return layer.state_parts, layer.bounded, cell == "ssru"  # whose state is a memory

    changes = {"encoder_cell": encoder_cell, "decoder_cell": decoder_cell, "decoder_init": "copy"}
    if kind_of(encoder_cell) == kind_of(decoder_cell):
        model_of(settings_of(**changes))
    else:
        with pytest.raises(ValidationError, match="expected cells whose states have the same parts and bounds"):
            settings_of(**changes)


def additive_model_of(**changes: object) -> Seq2Seq:
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
    plain = weights_of(additive_model_of(cell=cell))
    named = weights_of(additive_model_of(cell=cell, init="orthogonal", forget_bias=1.0))
    assert all(torch.equal(weight, named[name]) for name, weight in plain.items())
    ranged = weights_of(additive_model_of(cell=cell, init_range=0.1))
    named = weights_of(additive_model_of(cell=cell, init="uniform", init_range=0.1, forget_bias=0.0))
    assert all(torch.equal(weight, named[name]) for name, weight in ranged.items())


@pytest.mark.parametrize("cell", CELLS)
def test_xavier_keeps_every_gate_within_its_own_bound(cell: Cell) -> None:
    model = additive_model_of(cell=cell, init="xavier", hidden_size=32, embedding_size=20)
    linears = [model.decoder.readout.weight.detach(), model.decoder.attention.key_projection.weight.detach()]
    for matrix in gates_of(model) + linears:
        bound = math.sqrt(6 / sum(matrix.shape))
        assert 0.9 * bound < matrix.abs().max() <= bound


@pytest.mark.parametrize("cell", CELLS)
def test_he_draws_with_a_variance_of_two_over_the_inputs(cell: Cell) -> None:
    model = additive_model_of(cell=cell, init="he", hidden_size=64, embedding_size=40)
    for matrix in [*gates_of(model), model.decoder.readout.weight.detach()]:
        deviation = matrix.std() / math.sqrt(2 / matrix.shape[1])
        assert abs(deviation - 1) < 5 / math.sqrt(2 * matrix.numel())


@pytest.mark.parametrize("init", ["xavier", "he"])
def test_tables_start_as_ever_and_biases_of_linear_layers_at_zero(init: str) -> None:
    plain, other = additive_model_of(), additive_model_of(init=init)
    for table in ("src_embedding", "tgt_embedding"):
        assert torch.equal(getattr(other, table).table.weight, getattr(plain, table).table.weight)
    assert other.output.weight is other.tgt_embedding.table.weight
    linears = [module for module in other.modules() if isinstance(module, nn.Linear) and module.bias is not None]
    assert len(linears) == 4  # keys, bridge, readout, output
    assert not any(linear.bias.any() for linear in linears)


@pytest.mark.parametrize("init", ["orthogonal", "xavier", "he"])
@pytest.mark.parametrize("cell", ["lstm", "peephole_lstm", "layer_norm_lstm", "ssru"])
def test_forget_gates_start_where_they_are_asked_to(cell: Cell, init: str) -> None:
    biases = forget_biases_of(additive_model_of(cell=cell, init=init, forget_bias=-0.5))
    assert len(biases) == 3  # both directions of the encoder, and the decoder
    assert all(bias.tolist() == [-0.5] * len(bias) for bias in biases)
    assert all(bias.tolist() == [1.0] * len(bias) for bias in forget_biases_of(additive_model_of(cell=cell, init=init)))


@pytest.mark.parametrize("cell", ["lstm", "peephole_lstm", "layer_norm_lstm", "ssru"])
def test_uniform_forget_gates_lie_around_their_bias(cell: Cell) -> None:
    for bias in forget_biases_of(additive_model_of(cell=cell, init="uniform", init_range=0.1, forget_bias=2.0)):
        assert bool(((bias - 2).abs() <= 0.1).all())
        assert len(bias.unique()) == len(bias)


@pytest.mark.parametrize("cell", ["gru", "cho_gru", "rnn", "rnn_relu"])
def test_a_cell_without_a_forget_gate_has_no_bias_of_one(cell: Cell) -> None:
    assert forget_biases_of(additive_model_of(cell=cell, forget_bias=3.0)) == []


def test_a_language_model_starts_as_it_is_asked_to() -> None:
    settings = ModelSettings(kind="lm", embedding_size=6, hidden_size=8, init="xavier", forget_bias=0.0)
    model = build_language_model(settings, vocab_size=9, seed=1)
    assert not any(bias.any() for bias in forget_biases_of(model))
    assert all(gate.abs().max() <= math.sqrt(6 / sum(gate.shape)) for gate in gates_of(model))
