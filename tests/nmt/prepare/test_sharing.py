"""Several processes share the blocks of a stage: each is done once, whoever dies."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pytest

from nmt.errors import DataError
from nmt.io.work import try_lock, unlock
from nmt.prepare.blocks import BlockResult
from nmt.prepare.sharing import SharedBlocks


@dataclass(frozen=True)
class Made(BlockResult):
    """A block that is done where its folder is there."""

    @classmethod
    def find(cls, folder: Path) -> Self | None:
        return cls(folder, 10, {}) if folder.exists() else None


@dataclass(frozen=True)
class Waiting:
    folder: Path

    def __len__(self) -> int:
        return 10


@dataclass
class Stage:
    """Three blocks, and what this process has done of them and said of it."""

    folder: Path
    done: list[str]
    told: list[int]

    def finish(self) -> Sequence[Made]:
        blocks = SharedBlocks(lambda: (Waiting(self.folder / name) for name in "abc"), Made)
        return blocks.finish(lambda: self.work_on, workers=1, on_done=self.told.append)

    def work_on(self, block: Waiting) -> Made:
        block.folder.mkdir()
        self.done.append(block.folder.name)
        return Made(block.folder, 10, {})

    def lock(self, name: str) -> int:
        lock = try_lock(self.folder / f"{name}.lock")
        assert lock is not None
        return lock


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path, [], [])


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let others do something in each second that is waited."""

    def wait(*deeds: Callable[[], object]) -> None:
        following: Iterator[Callable[[], object]] = iter(deeds)
        monkeypatch.setattr("nmt.prepare.sharing.time.sleep", lambda seconds: next(following)())

    return wait


def test_what_others_have_done_is_not_done_again_and_counted(stage: Stage) -> None:
    (stage.folder / "b").mkdir()
    assert [made.folder.name for made in stage.finish()] == ["a", "b", "c"]
    assert (stage.done, stage.told) == (["a", "c"], [10, 30])


def test_a_block_that_another_process_has_is_waited_for(stage: Stage, meanwhile: Callable[..., None]) -> None:
    lock = stage.lock("a")
    meanwhile(lambda: None, lambda: ((stage.folder / "a").mkdir(), unlock(lock)))
    assert [made.folder.name for made in stage.finish()] == ["a", "b", "c"]
    assert (stage.done, stage.told) == (["b", "c"], [10, 20, 20, 20])


def test_a_block_of_a_process_that_died_is_taken_up(stage: Stage, meanwhile: Callable[..., None]) -> None:
    lock = stage.lock("b")
    meanwhile(lambda: unlock(lock))
    assert [made.folder.name for made in stage.finish()] == ["a", "b", "c"]
    assert (stage.done, stage.told[-1]) == (["a", "c", "b"], 30)


def test_an_error_leaves_no_block_locked(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Waiting) -> Made:
        raise DataError("not UTF-8")

    monkeypatch.setattr(stage, "work_on", fail)
    with pytest.raises(DataError, match="not UTF-8"):
        stage.finish()
    for name in "abc":
        unlock(stage.lock(name))
