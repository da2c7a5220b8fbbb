from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from nmt.config import ModelSettings, TrainingSettings
from nmt.errors import ModelError
from nmt.models.build import build_model
from nmt.models.seq2seq import Seq2Seq
from nmt.training.checkpoint import TrainingState, load_checkpoint, save_checkpoint
from nmt.training.optim import make_optimizer


def model_of(seed: int, *, hidden_size: int = 6) -> Seq2Seq:
    settings = ModelSettings(embedding_size=4, hidden_size=hidden_size, encoder_layers=1)
    return build_model(settings, src_vocab_size=9, tgt_vocab_size=9, joint=True, seed=seed)


def optimizer_of(model: Seq2Seq, **changes: object) -> torch.optim.Optimizer:
    return make_optimizer(TrainingSettings.model_validate(changes), model.parameters())


def one_step(model: Seq2Seq, optimizer: torch.optim.Optimizer) -> None:
    sum((parameter**2).sum() for parameter in model.parameters()).backward()  # type: ignore[union-attr]
    optimizer.step()
    optimizer.zero_grad()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    model = model_of(1)
    optimizer = optimizer_of(model)
    one_step(model, optimizer)
    file = tmp_path / "checkpoints" / "last.safetensors"
    save_checkpoint(file, model, optimizer, TrainingState(step=1, best_score=2.5))
    return file


@pytest.mark.parametrize("changes", [{}, {"optimizer": "sgd"}, {"optimizer": "sgd", "momentum": 0.9}])
def test_weights_optimiser_and_counters_come_back(tmp_path: Path, changes: dict[str, object]) -> None:
    model = model_of(1)
    optimizer = optimizer_of(model, **changes)
    one_step(model, optimizer)
    save_checkpoint(tmp_path / "c", model, optimizer, TrainingState(step=1, tokens=7, best_score=2.5))
    again = model_of(2)
    other = optimizer_of(again, **changes)
    state = load_checkpoint(tmp_path / "c", again, other)
    assert state == TrainingState(step=1, tokens=7, best_score=2.5)
    one_step(model, optimizer)
    one_step(again, other)
    for ours, theirs in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_model_of_another_shape_is_refused(path: Path) -> None:
    other = model_of(1, hidden_size=8)
    with pytest.raises(ModelError, match=r"has shape \[.*\], expected \[.*\]"):
        load_checkpoint(path, other, optimizer_of(other))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("format_version", "2", "format version 2, this program reads 1"),
        ("state", "{}", "counters .* do not fit"),
        ("state", "{", "Expecting property name"),
    ],
)
def test_another_version_and_other_counters_are_refused(path: Path, key: str, value: str, message: str) -> None:
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    save_file(load_file(path), path, {**metadata, key: value})
    model = model_of(1)
    with pytest.raises(ModelError, match=f"checkpoint .*{path.name} is damaged: {message}"):
        load_checkpoint(path, model, optimizer_of(model))


def test_a_file_that_is_cut_off_is_refused(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])
    model = model_of(1)
    with pytest.raises(ModelError, match=r"last.safetensors is damaged"):
        load_checkpoint(path, model, optimizer_of(model))
