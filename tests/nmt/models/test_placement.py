"""Parts of a model on several devices, as far as a CPU can tell: "cpu" and "cpu:0" are two names to the code and one
place. tests/cudafake has two GPUs, which compute nothing."""

import re

import numpy as np
import pytest
import torch

from nmt.batching import Batch, source_batch, target_batch
from nmt.config import ModelSettings
from nmt.errors import ConfigError
from nmt.models.build import build_language_model, build_model
from nmt.models.parts import PARTS
from nmt.models.placement import spread
from nmt.models.seq2seq import Seq2Seq
from nmt.text.sequences import FlatSequences
from nmt.training.objectives.full import FullSoftmax
from nmt.training.translation import TrainingLoss

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


def model_of(tied: str = "none") -> Seq2Seq:
    settings = ModelSettings.model_validate({"embedding_size": 6, "hidden_size": 8, "tied_embeddings": tied})
    return build_model(settings, src_vocab_size=10, tgt_vocab_size=10, joint=True, seed=3)


def refused(placement: dict[str, str], usual: torch.device, message: str, *, tied: str = "none") -> None:
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        spread(model_of(tied), placement, usual)  # type: ignore[arg-type]


@pytest.mark.parametrize("part", PARTS)
def test_what_is_read_and_made_elsewhere_is_the_same(part: str) -> None:
    rows, sequences = np.arange(2), FlatSequences.from_lists([[4, 5, 6], [7]])
    batch = Batch(source_batch(sequences, rows, reverse_source=True), target_batch(sequences, rows))
    found = []
    for placement in ({}, {part: "cpu:0"}):
        model = model_of()
        spread(model, placement, CPU)  # type: ignore[arg-type]
        torch.manual_seed(1)
        loss = TrainingLoss(model, FullSoftmax(label_smoothing=0.1))(batch)
        loss.backward()
        with torch.no_grad():
            logits, _ = model.step(batch.tgt.inputs[:, :1], model.start(model.encode(batch.src)))
        found.append([loss.detach(), logits, *(weight.grad for weight in model.parameters())])
    torch.testing.assert_close(*found, rtol=0, atol=0)


def test_only_parts_that_are_not_beside_the_decoder_move_anything() -> None:
    for placement in ({}, {"encoder": "cpu"}, dict.fromkeys(PARTS, "cpu:0")):
        model = model_of()
        spread(model, placement, CPU)  # type: ignore[arg-type]
        assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


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


def test_parts_of_a_language_model_are_named() -> None:
    settings = ModelSettings(kind="lm", embedding_size=6, hidden_size=8)
    message = "training.placement names encoder, which a language model has not: tgt_embedding, decoder, output"
    with pytest.raises(ConfigError, match=f"^{message}$"):
        spread(build_language_model(settings, vocab_size=10, seed=3), {"encoder": "cpu"}, CPU)
