"""Work that several processes share: each block of it is done once, in a folder that outlives them.

A process holds a lock on the block that it works on. The lock ends with the process, however that ends, and then
another one takes the block up.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from nmt.errors import ConfigError, DataError, ModelError
from nmt.io.files import make_folder
from nmt.io.work import is_whole, name_of, seal, work_folder

_DOOR: Final = "door"
"""Locked by whoever enters or leaves the work of a target."""
_USED: Final = "used"
"""Locked, with others, by whoever is at some work."""
_RESULT: Final = "result"
"""Locked by whoever makes the result of the blocks."""
_MADE: Final = "made"
"""Says that the result is there, to those who have worked on it too."""

_SHARED: Final = fcntl.LOCK_SH
_ALONE: Final = fcntl.LOCK_EX
_ALONE_AT_ONCE: Final = fcntl.LOCK_EX | fcntl.LOCK_NB


@contextmanager
def shared(target: Path, key: Any) -> Iterator[Path]:
    """Give the folder for the work towards `target` that `key`, for JSON, tells from other work, to any number of
    processes that have this key; what others with it have done is in it.

    The last to leave removes it, if all is done or if its error would come again. Work of other keys goes at once.

    Raises:
        DataError: Another process is at work towards `target` with another key.
    """
    home = work_folder(target)
    folder = home / name_of(key)
    with _door(home):
        for other in home.iterdir():
            if other.is_dir() and other != folder:
                _remove_unless_used(other, target)
        make_folder(folder)
        used = _hold(folder / _USED, _SHARED)
        if _has_no_other(used):  # whoever made a result has left, or was killed
            (folder / _MADE).unlink(missing_ok=True)
        fcntl.flock(used, _SHARED)
    over = False
    try:
        yield folder
        over = True
    except (ConfigError, DataError, ModelError):
        over = True
        raise
    finally:
        with _door(home):
            is_last = _has_no_other(used)
            os.close(used)
            if over and is_last:
                shutil.rmtree(folder, ignore_errors=True)


class Claim:
    """A block that this process has for itself, and the files that it writes of it: to `finish`, or to `give_up`."""

    def __init__(self, folder: Path, lock: int, *, files: int) -> None:
        """Begin the block anew that is to be `folder`; `lock` is held until its end."""
        self._folder, self._lock = folder, lock
        self._part = folder.with_suffix(".part")
        shutil.rmtree(self._part, ignore_errors=True)  # of a process that was killed
        self._part.mkdir()
        self.files: Sequence[IO[bytes]] = [(self._part / str(number)).open("wb") for number in range(files)]

    def finish(self) -> None:
        """Say that all is written."""
        for file in self.files:
            file.close()
        seal(self._part, self._folder)
        _unlock(self._lock)

    def give_up(self) -> None:
        """Leave the block to whoever takes it up."""
        for file in self.files:
            with suppress(OSError):  # a full disk, of which has been told
                file.close()
        shutil.rmtree(self._part, ignore_errors=True)
        _unlock(self._lock)


@dataclass(frozen=True)
class Blocks:
    """The blocks of some numbers of the work in a folder that `shared` has given."""

    folder: Path
    numbers: Sequence[int]
    files: int
    """How many each has."""

    def claim(self, number: int) -> Claim | None:
        """Take a block; None: it is done, or another process has it."""
        lock = self._lock(number)
        return None if lock is None else Claim(self._folder_of(number), lock, files=self.files)

    def is_free(self, number: int) -> bool:
        """Whether a block could be taken."""
        lock = self._lock(number)
        if lock is not None:
            _unlock(lock)
        return lock is not None

    def missing(self) -> list[int]:
        """Return the numbers of the blocks that are not done."""
        return [number for number in self.numbers if not self._folder_of(number).is_dir()]

    @contextmanager
    def result(self) -> Iterator[list[list[Path]] | None]:
        """Give one process at a time the files of each block, to make the result of them; None: it has been made, or
        blocks are missing, as after a power failure, which may take what is in them."""
        lock, made = _hold(self.folder / _RESULT, _ALONE), self.folder / _MADE
        try:
            folders = list(map(self._folder_of, self.numbers))
            damaged = [] if made.exists() else [folder for folder in folders if not is_whole(folder)]
            if made.exists() or damaged:
                yield None
            else:
                yield [[folder / str(file) for file in range(self.files)] for folder in folders]
                made.touch()
        finally:
            _unlock(lock)

    def _lock(self, number: int) -> int | None:
        folder = self._folder_of(number)
        lock = None if folder.is_dir() else _lock(folder.with_suffix(".lock"), _ALONE_AT_ONCE)
        if lock is not None and folder.is_dir():  # it has been finished meanwhile
            _unlock(lock)
            return None
        return lock

    def _folder_of(self, number: int) -> Path:
        return self.folder / f"{number:06}"


@contextmanager
def _door(home: Path) -> Iterator[None]:
    """Let one process at a time enter or leave, and remove the home behind it if nothing is left there."""
    while True:
        make_folder(home)
        with suppress(FileNotFoundError):  # another one has just removed the home
            door = _hold(home / _DOOR, _ALONE)
            break
    try:
        yield
    finally:
        if [path.name for path in home.iterdir()] == [_DOOR]:
            (home / _DOOR).unlink()
            home.rmdir()
        _unlock(door)


def _remove_unless_used(folder: Path, target: Path) -> None:
    used = _lock(folder / _USED, _ALONE_AT_ONCE)
    if used is None:
        raise DataError(
            f"another process is making {target} of other input, with another model or with other options; wait for "
            "it, or stop it, or choose another output"
        )
    _unlock(used)
    shutil.rmtree(folder)


def _hold(path: Path, how: int) -> int:
    """Lock a file as soon as that can be done."""
    while (file := _lock(path, how)) is None:
        pass
    return file


def _lock(path: Path, how: int) -> int | None:
    """Open a file, made if need be, and lock it; None: another process has it, or has just removed it."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    with suppress(BlockingIOError, FileNotFoundError):
        fcntl.flock(file, how)
        if os.path.samestat(os.fstat(file), path.lstat()):
            return file
    os.close(file)
    return None


def _has_no_other(used: int) -> bool:
    """Give up a shared lock, and tell whether nobody else has it."""
    try:
        fcntl.flock(used, _ALONE_AT_ONCE)
    except BlockingIOError:
        return False
    finally:
        fcntl.flock(used, fcntl.LOCK_UN)
    return True


def _unlock(file: int) -> None:
    fcntl.flock(file, fcntl.LOCK_UN)  # a fork that helps has the file open too
    os.close(file)
