"""Checkpoints and models that are written while steps go on."""

import errno
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nmt.training.checkpoint import checkpoint_step, list_checkpoints
from nmt.training.state import TrainingState
from tests.nmt.training.test_loop import newest_step

MakeRun = Callable[..., Any]


def test_steps_go_on_while_a_checkpoint_is_written_and_the_next_one_waits_for_it(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path, total=8, validate_every=100, checkpoint_every=2)
    goes_on, told = threading.Event(), list[tuple[int, list[int]]]()
    copy_state = run.checkpoints.writer

    def writer(*args: Any) -> Callable[[], None]:
        told.append((run.state.step, list(map(checkpoint_step, list_checkpoints(tmp_path)))))
        write = copy_state(*args)
        return lambda: write() if goes_on.wait(10) else None

    monkeypatch.setattr(run.checkpoints, "writer", writer)
    monkeypatch.setattr(run.watcher, "on_progress", lambda progress: goes_on.set() if progress.step == 3 else None)
    assert run.go()
    assert goes_on.is_set()  # which the third step has done
    assert told == [(2, []), (4, [2]), (6, [4]), (8, [6])]
    assert list(map(checkpoint_step, list_checkpoints(tmp_path))) == [8]


def test_a_checkpoint_follows_the_best_model_of_its_step(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(tmp_path, total=4)
    seen = list[int]()

    def model_writer(state: TrainingState, told: object) -> Callable[[], None]:
        return lambda: seen.append(newest_step(tmp_path))

    run.model_writer = model_writer
    assert run.go()
    assert (seen, newest_step(tmp_path)) == ([0], 4)


def test_a_full_disk_ends_the_run_at_the_next_step_and_leaves_the_last_checkpoint(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert make_run(tmp_path, total=4).go()
    (good,) = list_checkpoints(tmp_path)
    before = good.read_bytes()
    run = make_run(tmp_path, total=1000, checkpoint_every=6, validate_every=1000)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("nmt.training.checkpoint.safetensors_of", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*checkpoints/step-00000006.safetensors'"):
        run.go()
    assert run.state.step < 1000
    assert [path.name for path in good.parent.iterdir()] == [good.name]
    assert good.read_bytes() == before


def test_a_model_that_cannot_be_written_is_in_no_checkpoint(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(tmp_path, total=4)

    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "model.safetensors")

    run.model_writer = lambda state, told: full
    with pytest.raises(OSError, match=r"No space left on device: 'model.safetensors'"):
        run.go()
    assert list_checkpoints(tmp_path) == []
