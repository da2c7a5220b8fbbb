"""The blocks of a stage, which the processes of this run do, and those of other runs that share its work."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from nmt.io.work import try_lock, unlock
from nmt.io.workers import map_blocks
from nmt.prepare.blocks import BlockResult

_ALONE: Final = 3.0
"""Seconds of a processor that a stage takes before other processes are started, which takes each up to a second."""
_LOOK: Final = 1.0
"""Seconds between two looks at whether others have finished their blocks, or have died."""

Done = TypeVar("Done", bound=BlockResult)
Waiting = TypeVar("Waiting", bound=Any)
"""A block with the `folder` that it goes to."""


class SharedBlocks(Generic[Waiting, Done]):
    """The blocks of a stage, each with the folder that it becomes, which is whole or absent.

    Whoever has a block done locks it meanwhile, and looks first whether it has been done. The lock of a process that
    dies ends, and then another one takes the block up.
    """

    def __init__(self, read: Callable[[], Iterable[Waiting]], kind: type[Done]) -> None:
        """Give what reads the blocks, again where need be, in their order; `kind` finds what they have become."""
        self._read, self._kind = read, kind
        self._locks: dict[Path, int] = {}
        """Of the blocks that this process has."""
        self._elsewhere: set[Path] = set()
        """The blocks that others have, as far as is known."""
        self._done: dict[Path, Done] = {}
        self._records = 0
        """Of what is done."""

    def finish(
        self, make: Callable[[], Callable[[Waiting], Done]], *, workers: int, on_done: Callable[[int], None]
    ) -> list[Done]:
        """Do what nobody does, until all is done; return what has become of all blocks, in their order.

        `on_done` is told how many records are done.
        """
        try:
            while True:
                with closing(map_blocks(make, self._free(), workers=workers, alone=_ALONE)) as results:
                    for result in results:
                        self._note(result, self._locks.pop(result.folder))
                        on_done(self._records)
                while not self._is_any_free() and self._elsewhere:
                    on_done(self._records)
                    time.sleep(_LOOK)
                if not self._elsewhere:
                    return [self._done[folder] for folder in sorted(self._done)]
        finally:
            for lock in self._locks.values():
                unlock(lock)

    def _free(self) -> Iterator[Waiting]:
        """Take one block after the other that is not done, and that nobody has."""
        for block in self._read():
            folder = block.folder
            if folder in self._done:
                continue
            if (lock := try_lock(_lock_of(folder))) is None:
                self._elsewhere.add(folder)
            elif not self._find(folder, lock):
                self._locks[folder] = lock
                self._elsewhere.discard(folder)
                yield block

    def _is_any_free(self) -> bool:
        """Note what others have done meanwhile; tell whether they have left a block undone."""
        for folder in sorted(self._elsewhere):
            lock = try_lock(_lock_of(folder))
            if lock is not None and not self._find(folder, lock):
                unlock(lock)
                return True
        return False

    def _find(self, folder: Path, lock: int) -> bool:
        """Tell whether a block that is locked has been done; if so, note it, and end the lock."""
        found = self._kind.find(folder)
        if found:
            self._note(found, lock)
        return found is not None

    def _note(self, done: Done, lock: int) -> None:
        self._done[done.folder] = done
        self._records += done.read
        self._elsewhere.discard(done.folder)
        unlock(lock)


def _lock_of(folder: Path) -> Path:
    return folder.with_suffix(".lock")
