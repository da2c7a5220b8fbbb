import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from nmt.errors import TrainingError
from nmt.models import fused_layers
from nmt.training.checkpoint import checkpoint_step, list_checkpoints
from nmt.training.distributed import Ranks
from nmt.training.observers import StopRequest, read_metrics
from nmt.training.state import TrainingState

MakeRun = Callable[..., Any]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"objective": "sampled", "samples": 4},
        {"optimizer": "sgd", "momentum": 0.5},
        {"optimizer": "adamw", "weight_decay": 0.1, "ema_decay": 0.9},
        {"accumulate": 3, "r_drop": 1.0},
        {"schedule": "plateau", "plateau_patience": 1, "scores": [5, 4, 3, 2, 1, 0]},
    ],
    ids=str,
)
def test_a_stopped_and_continued_run_gives_the_same_weights_to_the_bit(
    make_run: MakeRun, tmp_path: Path, changes: dict[str, Any]
) -> None:
    scores = changes.pop("scores", [1, 2, 3])
    straight = make_run(tmp_path / "straight", scores=scores, **changes)
    straight.folder.mkdir()
    assert straight.go()
    (tmp_path / "stopped").mkdir()
    finished, runs = False, 0
    while not finished:
        validated = newest_step(tmp_path / "stopped") // 4
        part = make_run(tmp_path / "stopped", scores=scores[validated:], **changes)
        assert isinstance(part.stop, threading.Event)
        part.watcher.stop = part.stop
        finished, runs = part.go(), runs + 1
    assert runs > 3
    assert part.weights() == straight.weights()
    assert comparable(part.state) == comparable(straight.state)
    assert read_losses(tmp_path / "stopped") == read_losses(tmp_path / "straight")


@pytest.fixture
def fp16_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused_layers, "find", lambda name: None)  # oneDNN trains no LSTM in it


@pytest.mark.usefixtures("fp16_on_a_cpu")
def test_a_continued_run_in_fp16_keeps_the_scale_of_its_loss(make_run: MakeRun, tmp_path: Path) -> None:
    test_a_stopped_and_continued_run_gives_the_same_weights_to_the_bit(make_run, tmp_path, {"precision": "fp16"})
    (newest,) = list_checkpoints(tmp_path / "stopped")
    assert load_file(newest)["loss_scale"].tolist() == [65536, 12, 0, 0]  # no update of the 12 was skipped


@pytest.mark.usefixtures("fp16_on_a_cpu")
def test_updates_that_overflow_are_skipped_and_counted_in_the_log(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(tmp_path, precision="fp16")
    run.scale.restore(torch.tensor([2.0**20, 0, 0, 0]))
    assert run.go()
    told = [message for message in run.watcher.messages if "skipped" in message]
    assert told[0] == "2 updates skipped so far, as fp16 overflowed; the loss is multiplied by 262,144"
    assert run.watcher.steps[0].gradient_norm == 0.0
    assert run.watcher.steps[-1].gradient_norm > 0


def comparable(state: TrainingState) -> TrainingState:
    return replace(state, seconds=0.0)


def newest_step(folder: Path) -> int:
    paths = list_checkpoints(folder)
    return checkpoint_step(paths[-1]) if paths else 0


def read_losses(folder: Path) -> list[object]:
    records = read_metrics(folder / "metrics.jsonl")
    return [(record.step, record.values["loss"]) for record in records if record.kind == "train"]


def test_the_seed_decides_the_run(make_run: MakeRun, tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / name).mkdir()
    a, b, c = make_run(tmp_path / "a"), make_run(tmp_path / "b"), make_run(tmp_path / "c", seed=2)
    for run in (a, b, c):
        run.go()
    assert a.weights() == b.weights()
    assert a.weights() != c.weights()


def test_the_loss_falls(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(tmp_path, total=150, learning_rate=0.02, log_every=10, validate_every=1000, checkpoint_every=1000)
    run.go()
    assert run.watcher.steps[-1].loss < 0.8 * run.watcher.steps[0].loss


def test_a_loss_that_is_not_a_number_stops_with_advice_and_keeps_the_last_good_state(
    make_run: MakeRun, tmp_path: Path
) -> None:
    assert make_run(tmp_path, total=8).go()
    (good,) = list_checkpoints(tmp_path)
    before = good.read_bytes()
    run = make_run(tmp_path, total=16, learning_rate=1e30, optimizer="adam")
    with pytest.raises(TrainingError, match=r"the training loss is .* at step .*; try a lower training.learning_rate"):
        run.go()
    assert list_checkpoints(tmp_path) == [good]
    assert good.read_bytes() == before


class CountDown:
    """Asks to stop after so many steps."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def is_set(self) -> bool:
        self.steps -= 1
        return self.steps < 0


def test_broken_weights_are_not_saved_on_a_stop_either(make_run: MakeRun, tmp_path: Path) -> None:
    assert make_run(tmp_path, total=8).go()
    (good,) = list_checkpoints(tmp_path)
    before = good.read_bytes()
    run = make_run(tmp_path, total=1000, learning_rate=1e30, log_every=1000, validate_every=1000, checkpoint_every=1000)
    run.stop = CountDown(4)
    with pytest.raises(TrainingError, match=r"the training loss is (not a number|.*e\+\d+ nats a piece) at step 12"):
        run.go()
    assert list_checkpoints(tmp_path) == [good]
    assert good.read_bytes() == before


def test_an_exploding_loss_is_named(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(tmp_path, total=100, learning_rate=50.0, optimizer="sgd", clip_norm=0.0, schedule="constant")
    with pytest.raises(TrainingError, match=r"nats a piece at step|is not a number at step"):
        run.go()


def test_another_batch_size_in_the_middle_of_a_pass_loses_and_repeats_no_pair(
    make_run: MakeRun, tmp_path: Path
) -> None:
    make_run(tmp_path, total=3, checkpoint_every=3).go()
    run = make_run(tmp_path, total=1000, batch_tokens=15, validate_every=1000)
    run.stop = CountDown(10)
    run.go()
    assert run.state.position.epoch == 0
    assert [budget for budget, _ in run.state.position.parts] == [40, 15]
    words = run.pairs.pieces()
    rest = make_run(tmp_path, total=1000, batch_tokens=15, log_every=1, validate_every=1000, checkpoint_every=1000)
    rest.stop = UntilEpoch(rest, 1)
    rest.go()
    assert rest.state.position.epoch == 1
    assert rest.state.tokens == words


class UntilEpoch:
    """Asks to stop when so many passes are over."""

    def __init__(self, run: Any, epoch: int) -> None:
        self.run, self.epoch = run, epoch

    def is_set(self) -> bool:
        return self.run.state.position.epoch >= self.epoch


class Ticking:
    """A clock that goes on by a second whenever somebody looks."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        self.seconds += 1.0
        return self.seconds


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> Ticking:
    clock = Ticking()
    monkeypatch.setattr("nmt.training.loop.perf_counter", clock)
    return clock


def test_every_step_is_told_of_and_only_every_other_one_recorded(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(tmp_path)
    assert run.go()
    steps = [progress.step for progress in run.watcher.progress if not progress.activity]
    assert steps == list(range(1, 13))
    assert [progress.step for progress in run.watcher.progress if progress.activity == "validating"] == [4, 8, 12]
    assert [report.step for report in run.watcher.steps] == [2, 4, 6, 8, 10, 12]
    first, recorded = run.watcher.progress[:2]
    assert first.loss == pytest.approx(run.watcher.steps[0].loss, rel=0.2)
    assert recorded.loss is None  # the record has just told it


def test_memory_is_given_back_every_hundred_updates_and_around_validation(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_back = list[int]()
    run = make_run(tmp_path, total=5, scores=[1.0], validate_every=5)
    monkeypatch.setattr("nmt.training.loop._KEPT", 2)
    monkeypatch.setattr("nmt.training.loop.give_back_memory", lambda: given_back.append(run.state.step))
    assert run.go()
    assert given_back == [2, 4, 5, 5]


def test_the_time_left_is_told_once_steps_have_been_timed_and_again_after_the_first_validation(
    make_run: MakeRun, tmp_path: Path, ticking: Ticking
) -> None:
    run = make_run(tmp_path, total=24, validate_every=12, checkpoint_every=12, log_every=100)
    assert run.go()
    first, second = run.watcher.messages
    # Two steps are not timed; five of a second are, and a second in which the loss is read, as on a GPU.
    assert first.startswith("17 steps to go, about 0:00:20 (1.2 s a step, validations estimated); memory ")
    assert second.startswith("12 steps to go, about 0:00:")
    assert "a validation)" in second
    assert min(progress.seconds_left for progress in run.watcher.progress) == 0.0


@pytest.mark.parametrize(("total", "told"), [(7, 0), (8, 1)])
def test_after_the_last_step_no_time_left_is_told(
    make_run: MakeRun, tmp_path: Path, ticking: Ticking, total: int, told: int
) -> None:
    run = make_run(tmp_path, total=total, validate_every=total, checkpoint_every=total, log_every=100)
    assert run.go()
    assert len(run.watcher.messages) == told, "steps have been timed after seven of them"


def test_processes_agree_when_steps_have_been_timed(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[bool]()

    def agree(ranks: Ranks, flag: bool) -> bool:
        asked.append(flag)  # in every step, whether to stop, and whether enough has been timed
        return len(asked) == 10  # by the clock of another process

    monkeypatch.setattr(Ranks, "any", agree)
    run = make_run(tmp_path, total=12, validate_every=100, checkpoint_every=100, log_every=100)
    assert run.go()
    assert run.watcher.messages[0].startswith("7 steps to go")
    assert not any(asked)


def test_a_run_that_is_stopped_before_its_first_validation_leaves_a_validated_model_that_does_not_count(
    make_run: MakeRun, tmp_path: Path
) -> None:
    run = make_run(tmp_path, scores=[7.0], validate_every=100, checkpoint_every=100)
    run.stop = CountDown(3)
    assert not run.go()
    ((step, told),) = run.kept
    assert (step, told["unfinished"], told["valid_loss"], told["valid_bleu"]) == (3, True, 93.0, 7.0)
    assert run.watcher.messages == [
        "no validation has kept a model yet: validating that of step 3, for 25 s at most; once more stops at once",
        "the model is that of step 3, unfinished: validation loss 93.0000, BLEU 7.00",
    ]
    assert (run.state.validated, run.state.best_step, run.state.stale) == (0, 0, 0)
    assert run.watcher.validations == []
    assert [record.kind for record in read_metrics(tmp_path / "metrics.jsonl")] == ["train"]


def test_the_validation_of_a_stopped_run_ends_in_time(make_run: MakeRun, tmp_path: Path, ticking: Ticking) -> None:
    run = make_run(tmp_path, validate_every=100, checkpoint_every=100)
    run.stop = CountDown(3)
    asked = []

    def validate(stop: StopRequest) -> None:
        while not stop.is_set():
            asked.append(ticking.seconds)

    run.validate = validate
    assert not run.go()
    assert len(asked) == 24
    assert run.kept == [(3, {"unfinished": True})]
    assert run.watcher.messages[-1] == "the model is that of step 3, unfinished: not validated, as that takes longer"


def test_a_run_that_is_stopped_before_its_first_step_or_after_a_validation_validates_nothing_more(
    make_run: MakeRun, tmp_path: Path
) -> None:
    run = make_run(tmp_path)
    run.stop = CountDown(0)
    assert not run.go()
    assert run.kept == []
    run = make_run(tmp_path)
    run.stop = CountDown(6)
    assert not run.go()
    assert (run.saved, run.state.step) == ([4], 6)
    assert run.watcher.messages == []
