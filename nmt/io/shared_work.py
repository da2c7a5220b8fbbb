"""Blocks of work: each is whole or absent, and of the processes that share them one does it, once.

A process holds a lock on the block that it works on. The lock ends with the process, however that ends, and then
another one takes the block up.
"""

import errno
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from xxhash import xxh3_64_hexdigest

from nmt.io.files import temporary_beside
from nmt.io.work import MADE, locked, try_lock, unlock

_SUMS: Final = "sums.json"
"""The hashes of the other files of a folder."""
_RESULT: Final = "result"
"""Locked by whoever makes the result of the blocks."""


@contextmanager
def whole(folder: Path) -> Iterator[Path]:
    """Give a temporary neighbour of `folder` to fill, which becomes it when the block ends well.

    A worker whose run was killed may still be writing the same folder, with the same in it: whoever comes first wins.
    So what others have left under names of their own stays until all work goes.
    """
    temporary = temporary_beside(folder)
    temporary.mkdir()
    try:
        yield temporary
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    _seal(temporary, folder)


def is_whole(folder: Path) -> bool:
    """Whether a folder has been sealed, and its files are as they were then; where they are not, it is removed.

    They are not after a power failure, which may take what has not reached the disk, but not the rename.
    """
    if not folder.is_dir():
        return False
    with suppress(FileNotFoundError, ValueError):
        if json.loads((folder / _SUMS).read_bytes()) == _sums(folder):
            return True
    shutil.rmtree(folder)
    return False


class Claim:
    """A block that this process has for itself, and the files that it writes of it: to `finish`, or to `give_up`."""

    def __init__(self, folder: Path, lock: int, *, files: int) -> None:
        """Begin the block anew that is to be `folder`; `lock` is held until its end.

        A network disk may take the lock from a process that has been stopped for long. So each writes files of its own.
        """
        self._folder, self._lock = folder, lock
        self._part = temporary_beside(folder)
        self._part.mkdir()
        self.files: Sequence[IO[bytes]] = [(self._part / str(number)).open("wb") for number in range(files)]

    def finish(self) -> None:
        """Say that all is written."""
        for file in self.files:
            file.close()
        _seal(self._part, self._folder)
        unlock(self._lock)

    def give_up(self) -> None:
        """Leave the block to whoever takes it up."""
        for file in self.files:
            with suppress(OSError):  # a full disk, of which has been told
                file.close()
        shutil.rmtree(self._part, ignore_errors=True)
        unlock(self._lock)


@dataclass(frozen=True)
class Blocks:
    """The blocks of some numbers of the work in a folder that `nmt.io.work.shared` has given."""

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
            unlock(lock)
        return lock is not None

    def missing(self) -> list[int]:
        """Return the numbers of the blocks that are not done."""
        return [number for number in self.numbers if not self._folder_of(number).is_dir()]

    @contextmanager
    def result(self) -> Iterator[list[list[Path]] | None]:
        """Give one process at a time the files of each block, to make the result of them; None: it has been made, or
        blocks are missing, as after a power failure, which may take what is in them."""
        made = self.folder / MADE
        with locked(self.folder / _RESULT):
            folders = list(map(self._folder_of, self.numbers))
            damaged = [] if made.exists() else [folder for folder in folders if not is_whole(folder)]
            if made.exists() or damaged:
                yield None
            else:
                yield [[folder / str(file) for file in range(self.files)] for folder in folders]
                made.touch()

    def _lock(self, number: int) -> int | None:
        folder = self._folder_of(number)
        lock = None if folder.is_dir() else try_lock(folder.with_suffix(".lock"))
        if lock is not None and folder.is_dir():  # it has been finished meanwhile
            unlock(lock)
            return None
        return lock

    def _folder_of(self, number: int) -> Path:
        return self.folder / f"{number:06}"


def _seal(temporary: Path, folder: Path) -> None:
    """Note what is in a folder that is complete, and give it its name, by which it is whole, if no other has it."""
    (temporary / _SUMS).write_text(json.dumps(_sums(temporary)), encoding="utf-8")
    try:
        temporary.replace(folder)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        shutil.rmtree(temporary)


def _sums(folder: Path) -> dict[str, str]:
    return {path.name: xxh3_64_hexdigest(path.read_bytes()) for path in folder.iterdir() if path.name != _SUMS}
