"""The folder of long work, which outlives a kill: the next run goes on where this one stopped, and others may join it.

Whoever is at work holds locks, which end with the process, however that ends.
"""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from nmt.errors import ConfigError, DataError, ModelError
from nmt.io.files import make_folder, naming

_DOOR: Final = "door"
"""Locked by whoever enters or leaves the work of a target, or replaces the target."""
_USED: Final = "used"
"""Locked, alone or with others, by whoever is at some work."""
_OLD: Final = "old"
"""What is replaced, for the moment between two renames."""
MADE: Final = "made"
"""Says that the result is there, to those who have worked on it too."""

_SHARED: Final = fcntl.LOCK_SH | fcntl.LOCK_NB
_ALONE: Final = fcntl.LOCK_EX | fcntl.LOCK_NB


def work_folder(target: Path) -> Path:
    """Return the folder of what has been done towards `target`, a hidden neighbour of a fixed name."""
    target = target.resolve()
    return target.with_name(f".{target.name}.work")


def name_of(key: Any) -> str:
    """Return a short name for what tells work from other work, for JSON."""
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]


@contextmanager
def shared(target: Path, key: Any) -> Iterator[Path]:
    """Give the folder for the work towards `target` that `key`, for JSON, tells from other work, to any number of
    processes that have this key; what others with it have done is in it.

    The last to leave removes it, if all is done, if its error would come again, or if there is nothing in it. Work of
    other keys goes at once. An `OSError` of the folder names `target`.

    Raises:
        DataError: Another process is at work towards `target` with another key.
    """
    with _entered(target, key, _SHARED) as folder:
        yield folder


@contextmanager
def alone(target: Path, key: Any) -> Iterator[Path]:
    """Give this folder to one process at a time; for any other, that is a `DataError`."""
    with _entered(target, key, _ALONE) as folder:
        yield folder


def put_in_place(folder: Path, target: Path) -> None:
    """Move a folder of the work folder to `target`; what was there goes.

    A kill in between leaves the one or the other, at the latest when the work folder is asked for again.
    """
    target = target.resolve()
    old = work_folder(target) / _OLD
    with _door(target):
        if target.is_dir() and any(target.iterdir()):
            target.replace(old)
        try:
            folder.replace(target)
        except BaseException:
            _put_back(target)
            raise
        shutil.rmtree(old, ignore_errors=True)


def recover(target: Path) -> None:
    """Finish or undo a replacement that was killed between its two renames."""
    if (work_folder(target) / _OLD).exists():
        with _door(target.resolve()):
            pass


def forget(target: Path, key: Any) -> None:
    """Remove what a run that was killed after its last step has left, unless another process is at it."""
    if (work_folder(target) / name_of(key)).exists():
        with shared(target, key):
            pass


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Let one process at a time do the block; the file is made, and stays."""
    lock = _hold(path)
    try:
        yield
    finally:
        unlock(lock)


def try_lock(path: Path, how: int = _ALONE) -> int | None:
    """Lock a file, made if need be, until `unlock`; None: another process has it, or has just removed it."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    with suppress(BlockingIOError, FileNotFoundError):
        fcntl.flock(file, how)
        if os.path.samestat(os.fstat(file), path.lstat()):
            return file
    os.close(file)
    return None


def unlock(file: int) -> None:
    """End a lock."""
    fcntl.flock(file, fcntl.LOCK_UN)  # a fork that helps has the file open too
    os.close(file)


@contextmanager
def _entered(target: Path, key: Any, how: int) -> Iterator[Path]:
    real = target.resolve()
    home = work_folder(real)
    folder = home / name_of(key)
    new = [parent for parent in real.parents if not parent.exists()]
    with naming(target, instead_of=home):
        with _door(real):
            for other in home.iterdir():
                if other.is_dir() and other != folder:
                    _remove_unless_used(other, target)
            make_folder(folder)
            if (used := try_lock(folder / _USED, how)) is None:
                raise DataError(
                    f"another process is making {target}; wait for it, or stop it, or choose another output"
                )
            if _has_no_other(used):  # whoever made a result has left, or was killed
                (folder / MADE).unlink(missing_ok=True)
            fcntl.flock(used, how)
        over = False
        try:
            yield folder
            over = True
        except (ConfigError, DataError, ModelError):
            over = True
            raise
        finally:
            with _door(real):
                is_last = _has_no_other(used)
                os.close(used)
                if is_last and (over or not _holds_work(folder)):
                    shutil.rmtree(folder, ignore_errors=True)
            with suppress(OSError):  # something in one of them is to be kept
                for parent in new:
                    parent.rmdir()


@contextmanager
def _door(target: Path) -> Iterator[None]:
    """Let one process at a time enter or leave, and remove the home behind it if nothing is left there."""
    home = work_folder(target)
    while True:
        make_folder(home)
        with suppress(FileNotFoundError):  # another one has just removed the home
            door = _hold(home / _DOOR)
            break
    try:
        _put_back(target)
        yield
    finally:
        if [path.name for path in home.iterdir()] == [_DOOR]:
            (home / _DOOR).unlink()
            home.rmdir()
        unlock(door)


def _put_back(target: Path) -> None:
    """Undo the first of the two renames of a replacement, or finish what follows the second one."""
    old = work_folder(target) / _OLD
    if old.exists() and not target.exists():
        old.replace(target)
    shutil.rmtree(old, ignore_errors=True)


def _remove_unless_used(folder: Path, target: Path) -> None:
    used = try_lock(folder / _USED)
    if used is None:
        raise DataError(
            f"another process is making {target} of other input, with another model or with other options; wait for "
            "it, or stop it, or choose another output"
        )
    unlock(used)
    shutil.rmtree(folder, ignore_errors=True)  # a worker of the run that was killed may still be at it


def _holds_work(folder: Path) -> bool:
    """Whether there is more in a folder than locks, which are empty files."""
    return any(path.is_file() and path.stat().st_size for path in folder.rglob("*"))


def _hold(path: Path) -> int:
    """Lock a file as soon as that can be done."""
    while (file := try_lock(path, fcntl.LOCK_EX)) is None:
        pass
    return file


def _has_no_other(used: int) -> bool:
    """Give up a lock, and tell whether nobody else has it."""
    try:
        fcntl.flock(used, _ALONE)
    except BlockingIOError:
        return False
    finally:
        fcntl.flock(used, fcntl.LOCK_UN)
    return True
