"""Parts and layers of a model on several devices, as far as a CPU can tell: "cpu" and "cpu:0" are two names to the code
and one place. tests/cudafake has several GPUs, which compute nothing."""

import copy
import re
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from nmt.batching import Batch, source_batch, target_batch
from nmt.config import ModelSettings
from nmt.config.model import Cell
from nmt.errors import ConfigError
from nmt.models.build import build_language_model, build_model
from nmt.models.language_model import LanguageModel
from nmt.models.parts import PARTS
from nmt.models.placement import spread
from nmt.models.seq2seq import Seq2Seq
from nmt.text.sequences import FlatSequences
from nmt.training.objectives.full import FullSoftmax
from nmt.training.translation import TrainingLoss

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


SIZES = {"embedding_size": 6, "hidden_size": 8, "encoder_layers": 2, "decoder_layers": 2, "residual": True}


def model_of(tied: str = "none", **changes: Any) -> Seq2Seq:
    settings = ModelSettings.model_validate({**SIZES, "tied_embeddings": tied, **changes})
    return build_model(settings, src_vocab_size=10, tgt_vocab_size=10, joint=True, seed=3)


def text_model_of(**changes: Any) -> LanguageModel:
    settings = ModelSettings.model_validate({**SIZES, "kind": "lm", "tied_embeddings": "none", **changes})
    return build_language_model(settings, vocab_size=10, seed=3)


def made_by(model: Seq2Seq) -> list[Tensor | None]:
    """Return a loss, its gradients, and the scores of two steps."""
    rows, sequences = np.arange(2), FlatSequences.from_lists([[4, 5, 6], [7]])
    batch = Batch(source_batch(sequences, rows, reverse_source=True), target_batch(sequences, rows))
    torch.manual_seed(1)
    loss = TrainingLoss(model, FullSoftmax(label_smoothing=0.1))(batch)
    loss.backward()
    with torch.no_grad():
        first, state = model.step(batch.tgt.inputs[:, :1], model.start(model.encode(batch.src)))
        second, _ = model.step(batch.tgt.inputs[:, 1:2], state)
    return [loss.detach(), first, second, *(weight.grad for weight in model.parameters())]


def refused(placement: dict[str, str], usual: torch.device, message: str, *, tied: str = "none") -> None:
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        spread(model_of(tied), placement, usual)


@pytest.mark.parametrize("part", PARTS)
def test_what_is_read_and_made_elsewhere_is_the_same(part: str) -> None:
    model = model_of()
    spread(model, {part: "cpu:0"}, CPU)
    torch.testing.assert_close(made_by(model), made_by(model_of()), rtol=0, atol=0)


LAYERS = {"encoder_1": "cpu:0", "encoder_2": "cpu:0", "decoder_1": "cpu:0", "decoder_2": "cpu:0"}
SHAPES: list[dict[str, Any]] = [
    {"input_feeding": True, "variational_dropout": True},
    {"decoder_init": "copy"},
    {"decoder_init": "copy", "bidirectional": False},
    {"decoder_init": "zeros", "bidirectional": "first"},
    {"attention": "none"},
]


@pytest.mark.parametrize("shape", SHAPES + [{"cell": cell} for cell in get_args(Cell)], ids=str)
def test_layers_elsewhere_read_and_make_the_same(shape: dict[str, Any]) -> None:
    model = model_of(**shape)
    spread(model, LAYERS, CPU)
    torch.testing.assert_close(made_by(model), made_by(model_of(**shape)), rtol=0, atol=0)


@pytest.mark.parametrize("cell", ["ssru", "layer_norm_lstm"])
def test_steps_of_an_encoder_elsewhere_differ_by_rounding_alone(cell: str) -> None:
    model = model_of(cell=cell, decoder_init="copy")  # copied positions lie otherwise in memory
    spread(model, LAYERS, CPU)
    torch.testing.assert_close(made_by(model), made_by(model_of(cell=cell, decoder_init="copy")))


@pytest.mark.parametrize("cell", get_args(Cell))
@pytest.mark.parametrize("placement", [{"decoder_1": "cpu:0"}, {"tgt_embedding": "cpu:0", "decoder_2": "cpu:0"}])
def test_those_of_a_language_model_do_so_too(placement: dict[str, str], cell: str) -> None:
    ids, found = torch.tensor([[4, 5, 6], [7, 8, 9]]), []
    for placed in (placement, {}):
        model = text_model_of(cell=cell)
        spread(model, placed, CPU)
        torch.manual_seed(1)
        _, carried = model(ids)
        features, carried = model(ids, carried)
        features.sum().backward()
        with torch.no_grad():
            scores, _ = model.step(ids[:, :1], model.start(2))
        found.append([features.detach(), scores, *carried, *(weight.grad for weight in model.parameters())])
    torch.testing.assert_close(*found, rtol=0, atol=0)


def test_a_layer_that_is_named_has_its_place_for_all_directions_and_the_others_stay() -> None:
    model = model_of()
    spread(model, {"encoder_1": "meta", "decoder_2": "meta"}, CPU)
    there = {name for name, weight in model.named_parameters() if weight.is_meta}
    firsts = ("encoder.forward_layers.0.", "encoder.backward_layers.0.", "decoder.upper.0.")
    assert there == {name for name, _ in model.named_parameters() if name.startswith(firsts)}


def test_a_copy_of_a_model_computes_with_weights_of_its_own() -> None:
    model = model_of()
    spread(model, {"encoder": "cpu:0", **LAYERS}, CPU)
    copied, expected = copy.deepcopy(model), made_by(model_of())
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
    torch.testing.assert_close(made_by(copied), expected, rtol=0, atol=0)


def test_only_what_is_elsewhere_than_what_it_reads_is_moved_to() -> None:
    for placement, moved in [
        ({}, set()),
        ({"encoder": "cpu", "decoder_1": "cpu"}, set()),
        (dict.fromkeys([*PARTS, *LAYERS], "meta"), set()),
        ({"encoder": "meta", "encoder_1": "meta"}, {"encoder"}),
        ({"encoder_1": "meta"}, {"encoder.forward_layers.0", "encoder.backward_layers.0"}),
    ]:
        model = model_of()
        spread(model, placement, CPU)
        found = {name for name, module in model.named_modules() if {"forward", "run"} & vars(module).keys()}
        assert found == moved


def test_a_gpu_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    refused({"decoder": "cuda:1"}, GPU, "training.placement puts decoder on cuda:1, but torch finds 1 GPU")


def test_a_run_on_the_cpu_places_nothing_on_a_gpu() -> None:
    message = (
        'training.placement puts encoder on cuda:0, but training.device is the CPU: set it to "cuda", and place on '
    )
    refused({"encoder": "cuda:0"}, CPU, f'{message}"cpu" what stays there')


@pytest.mark.parametrize("tied", ["all", "target"])
def test_parts_that_share_a_table_stay_together(tied: str) -> None:
    table = 'table: place them together, or set model.tied_embeddings = "none"'
    message = f"training.placement puts tgt_embedding on cpu and output on cpu:0, but they share a {table}"
    refused({"output": "cpu:0"}, CPU, message.replace("tgt_", "src_") if tied == "all" else message, tied=tied)


def test_parts_and_layers_that_there_are_are_named() -> None:
    names = (
        "training.placement names decoder_3, which this model has not: it has src_embedding, tgt_embedding, encoder,"
    )
    refused({"encoder": "cpu", "decoder_3": "cpu"}, CPU, f"{names} decoder, output, {', '.join(LAYERS)}")
    message = "training.placement names encoder_1, which this model has not: it has tgt_embedding, decoder, output, "
    with pytest.raises(ConfigError, match=f"^{message}decoder_1, decoder_2$"):
        spread(text_model_of(), {"encoder_1": "cpu"}, CPU)
