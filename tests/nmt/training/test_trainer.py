import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from nmt.config import Settings, change_settings
from nmt.errors import ModelError
from nmt.models.folder import load_model
from nmt.prepared import PreparedData, PreparedText
from nmt.prepared.manifest import FileRecord
from nmt.training.checkpoint import list_checkpoints
from nmt.training.distributed import Place, Ranks
from nmt.training.language_modelling import LanguageTask
from nmt.training.observers import Logbook, read_metrics
from nmt.training.trainer import rehearse, train
from nmt.training.translation import TranslationTask

from .conftest import Listener


def test_the_toy_language_is_learnt(toy_model: Path) -> None:
    card = json.loads((toy_model / "model.json").read_text())
    assert card["training"]["valid_bleu"] > 95
    assert card["training"]["parameters"] > 1000
    assert (toy_model / "joint.spm.model").is_file()
    assert any((toy_model / "tensorboard").iterdir())
    kinds = [record.kind for record in read_metrics(toy_model / "metrics.jsonl")]
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
    assert "the run is already at its last step: 300; raise training.max_steps to go on" in listener.messages
    assert listener.validations == []


def test_a_run_that_has_stopped_early_says_so_and_more_patience_goes_on(
    toy_data: PreparedData, toy_settings: Settings, tmp_path: Path
) -> None:
    changes = {"max_steps": 40, "validate_every": 1, "checkpoint_every": 50, "patience": 2, "learning_rate": 1e-9}
    settings = toy_settings.model_copy(update={"training": toy_settings.training.model_copy(update=changes)})
    first, second, third = Listener(), Listener(), Listener(stop_at=1)
    train(toy_data, tmp_path / "m", settings, observer=first, stop=first.stop)
    stopped = len(first.validations)
    assert 2 < stopped < 40
    train(toy_data, tmp_path / "m", settings, observer=second, stop=second.stop)
    assert second.messages[-1] == (
        f"the run has stopped early at step {stopped}, after 2 validations without a better score; raise "
        "training.patience to go on"
    )
    assert second.validations == []
    patient = settings.model_copy(update={"training": settings.training.model_copy(update={"patience": 3})})
    summary = train(toy_data, tmp_path / "m", patient, observer=third, stop=third.stop)
    assert summary.state.step > stopped


def test_a_model_of_a_run_that_went_on_with_other_settings_loads(
    toy_data: PreparedData, toy_settings: Settings, toy_model: Path, tmp_path: Path
) -> None:
    shutil.copytree(toy_model, tmp_path / "m")
    changes = {"max_steps": 301, "validate_every": 1000, "learning_rate": 1e-9}
    settings = toy_settings.model_copy(update={"training": toy_settings.training.model_copy(update=changes)})
    listener = Listener(stop_at=10**6)
    train(toy_data, tmp_path / "m", settings, observer=listener, stop=listener.stop)
    assert not listener.validations[-1].is_best
    load_model(tmp_path / "m", device=torch.device("cpu"))


class OneStepAhead(Ranks):
    def from_first(self, values: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(value + 1 for value in values)


def test_processes_that_hold_different_checkpoints_do_not_start(
    toy_data: PreparedData, toy_settings: Settings, toy_model: Path, tmp_path: Path
) -> None:
    shutil.copytree(toy_model, tmp_path / "m")
    listener = Listener()
    with pytest.raises(ModelError, match=r"m holds step 300 here, but step 301 for the first process"):
        train(toy_data, tmp_path / "m", toy_settings, observer=listener, stop=listener.stop, ranks=OneStepAhead())


def test_a_folder_in_use_is_refused(toy_data: PreparedData, toy_settings: Settings, tmp_path: Path) -> None:
    listener = Listener()
    with (
        Logbook(tmp_path / "m", listener),
        pytest.raises(ModelError, match=r"another process is training in .*m; stop it, or choose a new folder"),
    ):
        train(toy_data, tmp_path / "m", toy_settings, observer=listener, stop=listener.stop)


def test_a_start_that_was_killed_in_its_first_write_is_no_foreign_folder(
    toy_data: PreparedData, toy_settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "m").mkdir()
    for name in ("train.log", ".config.toml.4711.tmp"):
        (tmp_path / "m" / name).touch()
    listener = Listener(stop_at=50)
    assert train(toy_data, tmp_path / "m", toy_settings, observer=listener, stop=listener.stop).state.step == 50
    assert not (tmp_path / "m" / ".config.toml.4711.tmp").exists()


def test_a_run_writes_and_removes_nothing_through_links_in_its_folder(
    toy_data: PreparedData, toy_settings: Settings, toy_model: Path, tmp_path: Path
) -> None:
    theirs, listener = tmp_path / "theirs", Listener()
    for name in ("train.log", "checkpoints"):
        for folder in (theirs, tmp_path / "m"):
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(toy_model, folder)
        path = tmp_path / "m" / name
        path.unlink() if path.is_file() else shutil.rmtree(path)
        path.symlink_to(theirs / name)
        before = {path: path.read_bytes() for path in theirs.rglob("*") if path.is_file()}
        with pytest.raises(OSError, match="is a link"):
            train(toy_data, tmp_path / "m", toy_settings, observer=listener, stop=listener.stop)
        assert {path: path.read_bytes() for path in theirs.rglob("*") if path.is_file()} == before


def test_the_tokenizer_of_a_model_is_the_one_that_its_data_were_loaded_with(
    toy_settings: Settings, toy_data: PreparedData, tmp_path: Path
) -> None:
    shutil.copytree(toy_data.folder, tmp_path / "d")
    data, listener = PreparedData.open(tmp_path / "d"), Listener(stop_at=50)
    expected = (tmp_path / "d" / "joint.spm.model").read_bytes()
    (tmp_path / "d" / "joint.spm.model").write_bytes(b"of other data")  # as `nmt prepare --force` does meanwhile
    train(data, tmp_path / "m", toy_settings, observer=listener, stop=listener.stop)
    assert (tmp_path / "m" / "joint.spm.model").read_bytes() == expected


def test_a_stray_file_among_the_checkpoints_is_no_checkpoint(toy_model: Path, tmp_path: Path) -> None:
    shutil.copytree(toy_model, tmp_path / "m")
    (tmp_path / "m" / "checkpoints" / "step-best.safetensors").write_bytes(b"")
    assert list_checkpoints(tmp_path / "m")[-1].name == list_checkpoints(toy_model)[-1].name


def test_a_damaged_checkpoint_is_reported_and_the_run_ends_as_if_nothing_had_happened(
    toy_data: PreparedData, toy_settings: Settings, toy_model: Path, tmp_path: Path
) -> None:
    shutil.copytree(toy_model, tmp_path / "m")
    newest = list_checkpoints(tmp_path / "m")[-1]
    newest.write_bytes(newest.read_bytes()[:1000])
    listener = Listener()
    train(toy_data, tmp_path / "m", toy_settings, observer=listener, stop=listener.stop)
    assert listener.messages[0].startswith(f"checkpoint {newest} is damaged: ")
    assert listener.messages[1] == f"continuing {tmp_path / 'm'} at step 150"
    assert (tmp_path / "m" / "model.safetensors").read_bytes() == (toy_model / "model.safetensors").read_bytes()
    assert "is damaged" in (tmp_path / "m" / "train.log").read_text()


@pytest.mark.parametrize("changes", [{"subword_sampling": 0.3}, {"r_drop": 1.0, "ema_decay": 0.9}])
def test_the_quality_tools_learn_the_toy_language_too(
    toy_data: PreparedData, toy_settings: Settings, tmp_path: Path, changes: dict[str, float]
) -> None:
    settings = toy_settings.model_copy(update={"training": toy_settings.training.model_copy(update=changes)})
    listener = Listener()
    train(toy_data, tmp_path / "m", settings, observer=listener, stop=listener.stop)
    assert (listener.validations[-1].scores.bleu or 0.0) > 90


def test_passes_give_the_same_number_of_steps_before_and_after_a_stop(
    toy_data: PreparedData, toy_settings: Settings, tmp_path: Path
) -> None:
    changes = {"max_steps": 0, "max_epochs": 3, "subword_sampling": 0.2, "noise": 0.5, "accumulate": 2, "log_every": 7}
    settings = toy_settings.model_copy(update={"training": toy_settings.training.model_copy(update=changes)})
    straight, stopped, rest = Listener(), Listener(stop_at=14), Listener()
    whole = train(toy_data, tmp_path / "a", settings, observer=straight, stop=straight.stop)
    assert not train(toy_data, tmp_path / "b", settings, observer=stopped, stop=stopped.stop).finished
    other = train(toy_data, tmp_path / "b", settings, observer=rest, stop=rest.stop)
    assert other.state.step == whole.state.step > 14
    assert (tmp_path / "a" / "model.safetensors").read_bytes() == (tmp_path / "b" / "model.safetensors").read_bytes()


def test_padding_and_size_are_reported(toy_data: PreparedData, toy_settings: Settings, tmp_path: Path) -> None:
    listener = Listener(stop_at=50)
    summary = train(toy_data, tmp_path / "m", toy_settings, observer=listener, stop=listener.stop)
    assert 0 < summary.padding < 0.1
    assert f"{summary.parameters:,} parameters, {len(toy_data.train_src)} pairs" in listener.messages[0]
    assert listener.messages[0].endswith(f"{summary.padding:.1%} padding, cpu fp32, 1 thread")


@pytest.mark.parametrize(
    ("warmup_steps", "told"),
    [
        (
            9,
            [
                "warning: the run has 8 steps, fewer than training.warmup_steps = 9: the learning rate ends at 0.0016 "
                "on its way to 0.0018; lower training.warmup_steps, or train longer"
            ],
        ),
        (8, []),
    ],
)
def test_a_run_that_ends_within_its_warm_up_is_warned_about(
    toy_data: PreparedData, toy_settings: Settings, tmp_path: Path, warmup_steps: int, told: list[str]
) -> None:
    changes = {"max_steps": 8, "warmup_steps": warmup_steps, "learning_rate": 0.0018}
    settings = toy_settings.model_copy(update={"training": toy_settings.training.model_copy(update=changes)})
    listener = Listener()
    train(toy_data, tmp_path / "m", settings, observer=listener, stop=listener.stop)
    assert [message for message in listener.messages if "warmup" in message] == told


def test_the_settings_of_a_schedule_reach_the_rates(
    toy_data: PreparedData, toy_settings: Settings, tmp_path: Path
) -> None:
    decay = {"schedule": "step_decay", "decay_after_steps": 2, "decay_every_steps": 1, "decay_factor": 0.25}
    changes = {"max_steps": 4, "warmup_steps": 0, "learning_rate": 0.016, "log_every": 1, **decay}
    settings, listener = change_settings(toy_settings, "training", changes), Listener()
    train(toy_data, tmp_path / "m", settings, observer=listener, stop=listener.stop)
    assert [report.learning_rate for report in listener.steps] == [0.016, 0.016, 0.004, 0.001]


def test_a_run_is_not_continued_on_other_data(
    toy_data: PreparedData, toy_settings: Settings, toy_model: Path, tmp_path: Path
) -> None:
    shutil.copytree(toy_model, tmp_path / "m")
    files = {**toy_data.manifest.files, "train.arrow": FileRecord(bytes=1, sha256="other")}
    other = replace(toy_data, manifest=toy_data.manifest.model_copy(update={"files": files}))
    listener = Listener()
    with pytest.raises(
        ModelError, match=r"the run in .*m was begun on other data than .*; a run cannot change its data: "
    ):
        train(other, tmp_path / "m", toy_settings, observer=listener, stop=listener.stop)


def test_settings_that_no_checkpoint_of_the_run_could_hold_are_refused_before_a_model_is_made(
    toy_data: PreparedData, toy_settings: Settings, toy_model: Path, tmp_path: Path
) -> None:
    shutil.copytree(toy_model, tmp_path / "m")
    huge = toy_settings.model_copy(update={"model": toy_settings.model.model_copy(update={"hidden_size": 10**6})})
    listener = Listener()
    with pytest.raises(ModelError, match=r"step-.* bytes, but a model of 40 pieces and 2 layers, as its vocabularies"):
        train(toy_data, tmp_path / "m", huge, observer=listener, stop=listener.stop)


def test_a_folder_with_other_files_is_refused(toy_data: PreparedData, toy_settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    listener = Listener()
    with pytest.raises(ModelError, match="holds other files; choose a new or empty folder"):
        train(toy_data, tmp_path, toy_settings, observer=listener, stop=listener.stop)
    with pytest.raises(ModelError, match=r"thesis.txt is a file; a model needs a folder"):
        train(toy_data, tmp_path / "thesis.txt", toy_settings, observer=listener, stop=listener.stop)
    with pytest.raises(ModelError, match=r"thesis.txt is a file; a model needs a folder"):
        rehearse(toy_data, tmp_path / "thesis.txt" / "m", toy_settings, observer=listener)


def test_a_rehearsal_for_a_folder_that_cannot_be_written_says_so(
    toy_data: PreparedData, toy_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: path != tmp_path)
    with pytest.raises(ModelError, match=f"^{tmp_path} cannot be written to; choose another folder$"):
        rehearse(toy_data, tmp_path / "new" / "m", toy_settings, observer=Listener())


def test_a_model_without_its_checkpoint_is_not_overwritten(
    toy_data: PreparedData, toy_settings: Settings, toy_model: Path, tmp_path: Path
) -> None:
    shutil.copytree(toy_model, tmp_path / "m")
    shutil.rmtree(tmp_path / "m" / "checkpoints")
    listener = Listener()
    with pytest.raises(ModelError, match="holds a model without the checkpoint to continue from"):
        train(toy_data, tmp_path / "m", toy_settings, observer=listener, stop=listener.stop)


def test_a_run_that_validates_only_at_its_end_is_warned_about(
    toy_data: PreparedData, toy_settings: Settings, tmp_path: Path
) -> None:
    listener = Listener()
    train(
        toy_data,
        tmp_path / "m",
        change_settings(toy_settings, "training", {"max_steps": 30}),
        observer=listener,
        stop=listener.stop,
    )
    # a slow machine is told the time that is left, too
    assert [message for message in listener.messages if message.startswith("warning")] == [
        "warning: the run has 30 steps, fewer than training.validate_every = 150: it validates only once, at its end; "
        "lower training.validate_every"
    ]


def test_a_run_that_is_stopped_early_leaves_a_model_that_translates_and_ends_as_if_it_had_not_been_stopped(
    toy_data: PreparedData, toy_settings: Settings, toy_model: Path, tmp_path: Path
) -> None:
    first, rest = Listener(stop_at=50), Listener()
    assert not train(toy_data, tmp_path / "m", toy_settings, observer=first, stop=first.stop).finished
    load_model(tmp_path / "m", device=torch.device("cpu"))
    card = json.loads((tmp_path / "m" / "model.json").read_text())["training"]
    assert (card["step"], card["unfinished"]) == (50, True)
    assert card["valid_bleu_signature"].startswith("nrefs:1|")
    train(toy_data, tmp_path / "m", toy_settings, observer=rest, stop=rest.stop)
    ours, others = (read_metrics(folder / "metrics.jsonl") for folder in (tmp_path / "m", toy_model))
    assert [(one.kind, one.step) for one in ours] == [(one.kind, one.step) for one in others]
    assert (tmp_path / "m" / "model.safetensors").read_bytes() == (toy_model / "model.safetensors").read_bytes()
    assert "unfinished" not in json.loads((tmp_path / "m" / "model.json").read_text())["training"]


PLACE = Place(torch.device("cpu"), "fp32", Ranks())


def test_only_a_language_model_carries_anything_on(
    toy_data: PreparedData, toy_settings: Settings, counting_data: PreparedText, counting_settings: Settings
) -> None:
    assert TranslationTask(toy_data, toy_settings, PLACE).carry is None
    assert LanguageTask(counting_data, counting_settings, PLACE).carry.rows == 5


def test_the_size_of_a_batch_is_what_the_number_of_steps_depends_on(
    toy_data: PreparedData, toy_settings: Settings, counting_data: PreparedText, counting_settings: Settings
) -> None:
    assert TranslationTask(toy_data, toy_settings, PLACE).batch_tokens == 150
    assert LanguageTask(counting_data, counting_settings, PLACE).batch_tokens == 5 * 6
