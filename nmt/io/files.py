"""Files and folders that are whole or absent: temporary name, flush, rename; and checksums."""

import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, NamedTuple, Self

from nmt.errors import NmtError

_SUFFIX = ".tmp"
_DIGITS = 20
"""Of the number in a temporary name: so many that no user has such a file."""
_MOST_READ = 1 << 28
"""Bytes of a file that is read whole."""
_NO_FILE = "is a link or no regular file: nothing is written to it"
_LEFTOVER = re.compile(r"\..+\.\d+" + re.escape(_SUFFIX))


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary neighbour of `path` for writing; rename it to `path` when the block ends well.

    A block that fails, or a kill at any instant, leaves the old `path` (or its absence) as it was; what kills have left
    goes first. A link at `path` is replaced, not followed; nobody can know the temporary name beforehand. An `OSError`
    names `path`.
    """
    _remove_left_beside(path)
    temporary, descriptor = _claim(path, lambda name: os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666))
    try:
        with naming(path, instead_of=temporary), open(temporary, "wb", opener=lambda *_: descriptor) as file:
            yield file
            file.flush()
            os.fsync(descriptor)
            temporary.replace(path)  # while it is locked
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def written(path: Path) -> Iterator[IO[bytes]]:
    """Open what a user named for writing: a file is whole or stays as it was, through links too.

    Devices and named pipes are written in place: a file that took their place would break whatever else uses them. An
    `OSError` names `path`.
    """
    if path.is_dir():  # otherwise this would come out at the end
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if path.exists() and not path.is_file():
        with naming(path), path.open("wb") as file:
            yield file
    else:
        with replacing(path.resolve() if path.is_symlink() else path) as file:
            yield file


@contextmanager
def building(folder: Path) -> Iterator[Path]:
    """Give a temporary neighbour of `folder`, a new or empty one, to fill; it takes its place when the block ends well.

    A block that fails leaves nothing behind. If something has come into the folder in the meantime it is an `OSError`.
    """
    target = folder.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove_left_beside(target)
    temporary, descriptor = _claim(target, _new_folder)
    try:
        with naming(folder, instead_of=temporary):
            yield temporary
            temporary.replace(target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    finally:
        os.close(descriptor)


def temporary_beside(path: Path) -> Path:
    """Name a temporary neighbour that is not there yet, and that nobody can have prepared a link for."""
    return path.with_name(f".{path.name}.{secrets.randbits(64):0{_DIGITS}}{_SUFFIX}")


def appending(path: Path) -> IO[str]:
    """Open a text file of a folder for appending, or make it; UTF-8. It is an `OSError` if it is a link or no regular
    file: whoever made the folder would choose what is written to.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o666)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise OSError(error.errno, _NO_FILE, str(path)) from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, _NO_FILE, str(path))
    # a file name that a message tells need not be text
    return os.fdopen(descriptor, "a", encoding="utf-8", errors="backslashreplace")


def append_all(parts: Iterable[Path], file: IO[bytes]) -> None:
    """Write the content of files to another one, one after the other."""
    for path in parts:
        with path.open("rb") as part:
            shutil.copyfileobj(part, file)


def read_regular(path: Path) -> bytes:
    """Read a whole file that may be anybody's: no pipe or device, which would never end, and 256 MiB at most."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "is no regular file", str(path))
        if found.st_size > _MOST_READ:
            raise OSError(errno.EFBIG, f"has {found.st_size:,} bytes, expected at most {_MOST_READ:,}", str(path))
        return file.read()


def read_json(path: Path, failure: type[Exception]) -> Any:
    """Read JSON that may be anybody's; `failure` is raised if it is none or cannot be read, unless it is missing."""
    try:
        return json.loads(read_regular(path))
    except FileNotFoundError:
        raise
    except OSError as error:
        raise failure(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise failure(f"{path} is damaged: it is not JSON") from error


def make_folder(path: Path) -> None:
    """Make a folder within another one, unless it is there; an OSError if it is a link to somebody else's files."""
    if path.is_symlink():
        raise OSError(errno.ELOOP, "is a link, expected a folder: nothing is written or removed through it", str(path))
    path.mkdir(parents=True, exist_ok=True)


@contextmanager
def naming(path: Path, *, instead_of: Path | None = None) -> Iterator[None]:
    """Let an error that names no file, of a full disk say, or the hidden `instead_of` or what is in it, name `path`."""
    try:
        yield
    except OSError as error:
        name = error.filename
        is_hidden = name is not None and instead_of is not None and Path(str(name)).is_relative_to(instead_of)
        if error.errno is not None and (name is None or is_hidden):  # else a library's, which says all itself
            error.filename = str(path)
        raise


def is_leftover(path: Path) -> bool:
    """Tell whether a file is the temporary one of a writer, dead or alive."""
    return _LEFTOVER.fullmatch(path.name) is not None and path.is_file()


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files that killed writers have left in `folder`."""
    if folder.is_dir():
        for path in folder.iterdir():
            if is_leftover(path):
                _remove_if_dead(path)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 `text` to `path`, whole or not at all."""
    with replacing(path) as file:
        file.write(text.encode("utf-8"))


class Stamp(NamedTuple):
    """What tells that a file has been written since."""

    path: Path
    size: int
    written: int
    """Nanoseconds of its clock."""

    @classmethod
    def of(cls, path: Path) -> Self:
        """Look at a file as it is now; whoever reads it tells if it is not there."""
        with suppress(OSError):
            found = path.stat()
            return cls(path, found.st_size, found.st_mtime_ns)
        return cls(path, -1, -1)

    def check(self) -> None:
        """Refuse a file that has been written since, or removed: an NmtError, and no DataError, as it may come back."""
        if Stamp.of(self.path) != self:
            raise NmtError(f"{self.path} was changed while it was translated")


def sha256(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _claim(path: Path, make: Callable[[Path], int]) -> tuple[Path, int]:
    """Make a temporary neighbour of `path`; it is locked as long as its descriptor is open.

    The lock ends with the process, however that ends; so what can be locked has no writer any more.
    """
    while True:
        temporary = temporary_beside(path)
        with naming(path, instead_of=temporary):
            descriptor = make(temporary)
        with suppress(OSError):  # a file system without locks: there, nothing is taken for dead
            lock_file(descriptor)
        if os.path.lexists(temporary):
            return temporary, descriptor
        os.close(descriptor)  # somebody has taken it for dead before it was locked


def lock_file(descriptor: int, *, blocking: bool = True) -> bool:
    """Lock an open file or folder until it is closed; without `blocking`, return whether nobody else had it."""
    from filelock import lock_descriptor  # late: who only reads files does without

    return lock_descriptor(descriptor, blocking=blocking)


def _new_folder(path: Path) -> int:
    path.mkdir()
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)


def _remove_left_beside(path: Path) -> None:
    """Remove the temporary files and folders that killed writers of `path` have left."""
    left = re.compile(rf"\.{re.escape(path.name)}\.\d{{{_DIGITS}}}{re.escape(_SUFFIX)}")
    with suppress(OSError), os.scandir(path.parent) as entries:  # whoever writes there hears of it
        for entry in entries:
            if left.fullmatch(entry.name):
                _remove_if_dead(path.with_name(entry.name))


def _remove_if_dead(temporary: Path) -> None:
    """Remove what no living process has locked; a link stays, and what it leads to."""
    # without a right to write, NFS has no lock
    kind = os.O_RDONLY | os.O_DIRECTORY if temporary.is_dir() else os.O_RDWR
    with suppress(OSError):
        descriptor = os.open(temporary, kind | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            if not lock_file(descriptor, blocking=False):
                return
            if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                shutil.rmtree(temporary, ignore_errors=True)
            else:
                temporary.unlink()
        finally:
            os.close(descriptor)
