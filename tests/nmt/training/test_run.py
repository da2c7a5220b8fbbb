import json
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from nmt.config import Settings
from nmt.errors import ModelError
from nmt.prepared import PreparedData
from nmt.prepared.manifest import FileRecord
from nmt.training.loop import StepReport, ValidationReport
from nmt.training.records import read_metrics
from nmt.training.run import train


class Listener:
    def __init__(self, *, stop_at: int | None = None) -> None:
        self.stop_at, self.stop = stop_at, threading.Event()
        self.messages: list[str] = []
        self.validations: list[ValidationReport] = []

    def on_step(self, report: StepReport) -> None:
        if self.stop_at is not None and report.step >= self.stop_at:
            self.stop.set()

    def on_validation(self, report: ValidationReport) -> None:
        self.validations.append(report)

    def on_message(self, message: str) -> None:
        self.messages.append(message)


def test_the_toy_language_is_learnt(toy_model: Path) -> None:
    card = json.loads((toy_model / "model.json").read_text())
    assert card["training"]["valid_bleu"] > 95
    assert card["training"]["parameters"] > 1000
    assert (toy_model / "joint.spm.model").is_file()
    assert any((toy_model / "tensorboard").iterdir())
    kinds = [record["kind"] for record in read_metrics(toy_model / "metrics.jsonl")]
    assert kinds.count("valid") == 2
    assert kinds.count("train") == 6


def test_a_stopped_run_ends_with_the_weights_of_one_that_never_stopped(
    toy_data: PreparedData, toy_settings: Settings, toy_model: Path, tmp_path: Path
) -> None:
    first = Listener(stop_at=40)
    summary = train(toy_data, tmp_path / "m", toy_settings, observer=first, stop=first.stop)
    assert (summary.finished, summary.state.step) == (False, 50)
    second = Listener()
    summary = train(toy_data, tmp_path / "m", toy_settings, observer=second, stop=second.stop)
    assert summary.finished
    assert second.messages[0] == f"continuing {tmp_path / 'm'} at step 50"
    weights = (tmp_path / "m" / "model.safetensors").read_bytes()
    assert weights == (toy_model / "model.safetensors").read_bytes()


def test_a_finished_run_says_so(
    toy_data: PreparedData, toy_settings: Settings, toy_model: Path, tmp_path: Path
) -> None:
    shutil.copytree(toy_model, tmp_path / "m")
    listener = Listener()
    train(toy_data, tmp_path / "m", toy_settings, observer=listener, stop=listener.stop)
    assert "the run is at its last step already: 300; raise training.max_steps to go on" in listener.messages
    assert listener.validations == []


def test_padding_and_size_are_reported(toy_data: PreparedData, toy_settings: Settings, tmp_path: Path) -> None:
    listener = Listener(stop_at=50)
    summary = train(toy_data, tmp_path / "m", toy_settings, observer=listener, stop=listener.stop)
    assert 0 < summary.padding < 0.1
    assert f"{summary.parameters:,} parameters, {len(toy_data.train_src)} pairs" in listener.messages[0]
    assert f"{summary.padding:.1%} padding, cpu fp32, 1 threads" in listener.messages[0]


def test_a_run_is_not_continued_on_other_data(
    toy_data: PreparedData, toy_settings: Settings, toy_model: Path, tmp_path: Path
) -> None:
    shutil.copytree(toy_model, tmp_path / "m")
    files = {**toy_data.manifest.files, "train.arrow": FileRecord(bytes=1, sha256="other")}
    other = replace(toy_data, manifest=toy_data.manifest.model_copy(update={"files": files}))
    listener = Listener()
    with pytest.raises(ModelError, match=r"the run in .*m was begun on other data than .*; choose another folder"):
        train(other, tmp_path / "m", toy_settings, observer=listener, stop=listener.stop)


def test_a_folder_with_other_files_is_refused(toy_data: PreparedData, toy_settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    listener = Listener()
    with pytest.raises(ModelError, match="holds other files; choose a new or empty folder"):
        train(toy_data, tmp_path, toy_settings, observer=listener, stop=listener.stop)
    with pytest.raises(ModelError, match=r"thesis.txt is a file; a model needs a folder"):
        train(toy_data, tmp_path / "thesis.txt", toy_settings, observer=listener, stop=listener.stop)


def test_a_model_without_its_checkpoint_is_not_overwritten(
    toy_data: PreparedData, toy_settings: Settings, toy_model: Path, tmp_path: Path
) -> None:
    shutil.copytree(toy_model, tmp_path / "m")
    shutil.rmtree(tmp_path / "m" / "checkpoints")
    listener = Listener()
    with pytest.raises(ModelError, match="holds a model without the checkpoint to continue from"):
        train(toy_data, tmp_path / "m", toy_settings, observer=listener, stop=listener.stop)
