"""The folder of long work, which outlives a kill: the next run goes on where this one stopped."""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from xxhash import xxh3_64_hexdigest

from nmt.errors import ConfigError, DataError, ModelError
from nmt.io.files import lock_file, temporary_beside

_OLD: Final = "old"
"""What is replaced, for the moment between two renames."""
_SUMS: Final = "sums.json"
"""The hashes of the other files of a folder."""


def work_folder(target: Path) -> Path:
    """Return the folder of what has been done towards `target`, a hidden neighbour of a fixed name."""
    target = target.resolve()
    return target.with_name(f".{target.name}.work")


@contextmanager
def locked(target: Path) -> Iterator[Path]:
    """Give the work folder of `target` to one process at a time; for any other, that is a `DataError`."""
    target = target.resolve()
    home = work_folder(target)
    new = [parent for parent in target.parents if not parent.exists()]
    target.parent.mkdir(parents=True, exist_ok=True)
    lock = _lock(home, target)
    try:
        _put_back(target)
        yield home
    finally:
        with suppress(OSError):  # something in one of them is to be kept
            for folder in (home, *new):
                folder.rmdir()
        os.close(lock)


@contextmanager
def keyed(home: Path, key: Any) -> Iterator[Path]:
    """Give the folder for work that `key`, for JSON, tells from other work; what a run with that key has left is in it.

    It goes when the block ends well, or by an error that the same run would end by again. Work of other keys goes at
    once.
    """
    folder = home / name_of(key)
    for other in home.iterdir():
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)  # a worker of the run that was killed may still be at it
    if folder.is_symlink():
        folder.unlink()
    folder.mkdir(exist_ok=True)
    try:
        yield folder
    except (ConfigError, DataError, ModelError):
        shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(folder)


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
    try:
        seal(temporary, folder)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        shutil.rmtree(temporary)


def seal(temporary: Path, folder: Path) -> None:
    """Note what is in a folder that is complete, and give it its name, by which it is whole."""
    (temporary / _SUMS).write_text(json.dumps(_sums(temporary)), encoding="utf-8")
    temporary.replace(folder)


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


def put_in_place(folder: Path, target: Path) -> None:
    """Move a folder of the work folder to `target`; what was there goes.

    A kill in between leaves the one or the other, at the latest when the work folder is asked for again.
    """
    target = target.resolve()
    old = work_folder(target) / _OLD
    if target.is_dir() and any(target.iterdir()):
        target.replace(old)
    try:
        folder.replace(target)
    except BaseException:
        _put_back(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def recover(target: Path) -> None:
    """Finish or undo a replacement that was killed between its two renames, unless another process is at `target`."""
    if (work_folder(target) / _OLD).exists():
        with locked(target):
            pass


def forget(target: Path, key: Any) -> None:
    """Remove what a run that was killed after its last step has left, unless another process is at `target`."""
    if (work_folder(target) / name_of(key)).exists():
        with locked(target) as home, keyed(home, key):
            pass


def _sums(folder: Path) -> dict[str, str]:
    return {path.name: xxh3_64_hexdigest(path.read_bytes()) for path in folder.iterdir() if path.name != _SUMS}


def name_of(key: Any) -> str:
    """Return a short name for what tells work from other work, for JSON."""
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]


def _lock(home: Path, target: Path) -> int:
    while True:
        home.mkdir(exist_ok=True)
        try:
            lock = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except FileNotFoundError:  # another run has just removed it
            continue
        except NotADirectoryError as error:
            raise DataError(f"{home} is a link, expected a folder or nothing: remove it") from error
        if not lock_file(lock, blocking=False):  # it ends with the process, however that ends
            os.close(lock)
            raise DataError(f"another process is preparing {target}; wait for it, or stop it, or choose another folder")
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(lock), home.lstat()):
                return lock
        os.close(lock)


def _put_back(target: Path) -> None:
    """Undo the first of the two renames of a replacement, or finish what follows the second one."""
    old = work_folder(target) / _OLD
    if old.exists() and not target.exists():
        old.replace(target)
    shutil.rmtree(old, ignore_errors=True)
