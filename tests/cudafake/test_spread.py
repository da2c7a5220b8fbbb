"""A model on two GPUs: torch refuses to compute with tensors that are not on one device, fake ones too."""

from typing import Any

import pytest

from tests.cudafake.fixture import FakeCuda
from tests.cudafake.spread import language_model, translator

UNTIED = {"tied_embeddings": "none", "embedding_size": 32, "hidden_size": 64}


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
    assert found == {part: {placement.get(part, "cuda:0")} for part in found}
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
    assert (found["embedding"], found["output"]) == ({"cpu"}, {"cuda:1"})
    assert (found["layers"], found["scores"]) == ({"cuda:0"}, {"cuda:0"})
