"""A model on several GPUs: torch refuses to compute with tensors that are not on one device, fake ones too."""

from typing import Any, get_args

import pytest

from nmt.config.model import CELLS, Cell
from tests.cudafake.fixture import FakeCuda
from tests.cudafake.spread import language_model, translator

UNTIED = {"tied_embeddings": "none", "embedding_size": 32, "hidden_size": 64}


def device_of(name: str, placement: dict[str, str]) -> str:
    return placement.get(name, placement.get(name.rpartition("_")[0], "cuda:0"))


@pytest.mark.parametrize(
    "placement",
    [
        {"src_embedding": "cpu", "decoder": "cuda:1"},
        {"encoder": "cuda:1"},
        {"tgt_embedding": "cpu", "output": "cuda:1"},
        {"output": "cpu", "encoder": "cpu"},
    ],
    ids=str,
)
@pytest.mark.parametrize("training", [{}, {"objective": "sampled", "label_smoothing": 0.0}, {"r_drop": 1.0}], ids=str)
def test_parts_compute_where_they_are_placed(
    fake_cuda: FakeCuda, placement: dict[str, str], training: dict[str, Any]
) -> None:
    found = fake_cuda(translator, placement=placement, model=UNTIED, training=training)
    assert found.pop("scores") == {placement.get("decoder", "cuda:0")}
    assert found == {name: {device_of(name, placement)} for name in found}
    assert placement.keys() <= found.keys()


@pytest.mark.parametrize("cell", ["gru", "peephole_lstm", "layer_norm_lstm", "ssru"])
def test_other_cells_do_so_too(fake_cuda: FakeCuda, cell: str) -> None:
    model = {**UNTIED, "cell": cell, "decoder_init": "copy", "bidirectional": False, "encoder_layers": 1}
    found = fake_cuda(translator, placement={"encoder": "cuda:1"}, model=model)
    assert (found["encoder"], found["scores"]) == ({"cuda:1"}, {"cuda:0"})


@pytest.mark.parametrize("cell", ["lstm", "layer_norm_lstm"])
@pytest.mark.parametrize("training", [{}, {"objective": "sampled"}], ids=str)
def test_tables_of_a_language_model_are_where_they_are_placed(
    fake_cuda: FakeCuda, cell: str, training: dict[str, Any]
) -> None:
    placement, model = {"tgt_embedding": "cpu", "output": "cuda:1"}, {**UNTIED, "cell": cell}
    found = fake_cuda(language_model, placement=placement, model=model, training=training)
    assert (found["tgt_embedding"], found["output"]) == ({"cpu"}, {"cuda:1"})
    assert (found["decoder"], found["scores"]) == ({"cuda:0"}, {"cuda:0"})


LAYERS = {"encoder_2": "cuda:1", "decoder_1": "cuda:2", "decoder_2": "cuda:3"}
STACKS = {**UNTIED, "encoder_layers": 2, "decoder_layers": 2, "residual": True}


@pytest.mark.parametrize("cell", get_args(Cell))
def test_layers_of_every_cell_compute_where_they_are_placed(fake_cuda: FakeCuda, cell: str) -> None:
    model = {**STACKS, "cell": cell, "bidirectional": False}
    model["recurrent_dropout"] = 0.1 * CELLS[cell].recurrent_weights
    check_layers(fake_cuda(translator, placement=LAYERS, model=model), LAYERS)


@pytest.mark.parametrize(
    ("settings", "others"),
    [
        ({"input_feeding": True, "variational_dropout": True}, {"encoder": "cuda:2"}),
        ({"input_feeding": True}, {"decoder_2": "cpu"}),
        ({"decoder_init": "copy"}, {"encoder": "cuda:3", "decoder": "cuda:1"}),
        ({"decoder_init": "copy", "cell": "gru"}, {"encoder_1": "cpu", "decoder_1": "cpu"}),
        ({"decoder_init": "copy", "cell": "layer_norm_lstm", "bidirectional": False}, {}),
        ({"decoder_init": "zeros", "bidirectional": "first"}, {"encoder_1": "cuda:2"}),
        ({"attention": "none"}, {"encoder": "cpu"}),
    ],
    ids=str,
)
def test_layers_do_so_in_models_of_other_shapes_and_beside_other_parts(
    fake_cuda: FakeCuda, settings: dict[str, Any], others: dict[str, str]
) -> None:
    placement = {**LAYERS, **others}
    check_layers(fake_cuda(translator, placement=placement, model={**STACKS, **settings}), placement)


@pytest.mark.parametrize("settings", [{"input_feeding": True}, {"cell": "peephole_lstm"}], ids=str)
def test_only_what_one_device_computes_is_recorded(fake_cuda: FakeCuda, settings: dict[str, Any]) -> None:
    model = {**STACKS, **settings, "encoder_layers": 1}  # shapes come again in the third update
    check_layers(
        fake_cuda(translator, placement={"decoder_1": "cuda:1"}, model=model, updates=4), {"decoder_1": "cuda:1"}
    )


def test_eight_layers_are_on_four_gpus(fake_cuda: FakeCuda) -> None:
    placement = {f"decoder_{n + 1}": f"cuda:{n // 2}" for n in range(8)}
    model = {**UNTIED, "cell": "rnn", "decoder_layers": 8}
    check_layers(fake_cuda(language_model, placement=placement, model=model), placement, home="cuda:3")


@pytest.mark.parametrize("cell", get_args(Cell))
def test_layers_of_a_language_model_compute_where_they_are_placed(fake_cuda: FakeCuda, cell: str) -> None:
    placement = {"tgt_embedding": "cpu", "decoder_1": "cuda:1", "decoder_2": "cuda:2", "output": "cuda:3"}
    model = {**UNTIED, "cell": cell, "decoder_layers": 2, "residual": True}
    check_layers(fake_cuda(language_model, placement=placement, model=model), placement, home="cuda:2")


@pytest.mark.parametrize(("tied", "home"), [("all", "cuda:0"), ("none", "cuda:2")])
def test_a_language_model_is_where_its_readout_or_its_last_layer_is(fake_cuda: FakeCuda, tied: str, home: str) -> None:
    placement = {"decoder_1": "cuda:1", "decoder_2": "cuda:2"}
    model = {**UNTIED, "decoder_layers": 2, "tied_embeddings": tied}
    check_layers(fake_cuda(language_model, placement=placement, model=model), placement, home=home)


def check_layers(found: dict[str, set[str]], placement: dict[str, str], *, home: str | None = None) -> None:
    """Look for each layer on its device, and for scores on that of the decoder."""
    layers = {name: devices for name, devices in found.items() if name[-1].isdigit()}
    assert layers == {name: {device_of(name, placement)} for name in layers}
    assert placement.keys() <= found.keys()
    assert found["scores"] == {home or placement.get("decoder", "cuda:0")}
