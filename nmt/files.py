"""Files and folders that are whole or absent: temporary name, flush, rename; and checksums."""

import errno
import hashlib
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

_SUFFIX = ".tmp"
_NO_FILE = "is a link or no regular file: nothing is written to it"
_LEFTOVER = re.compile(r"\..+\.\d+" + re.escape(_SUFFIX))


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary neighbour of `path` for writing; rename it to `path` when the block ends well.

    A block that fails, or a kill at any instant, leaves the old `path` (or its absence) as it was. A link at `path` is
    replaced, not followed; the temporary file is a new one whose name nobody can know beforehand.

    Raises:
        OSError: The folder cannot be written, or the disk is full; it names `path`.
    """
    temporary = temporary_beside(path)
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        if error.filename in (None, str(temporary)):  # the user knows `path`, and a full disk names nothing
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def written(path: Path) -> Iterator[IO[bytes]]:
    """Open what a user named for writing: a file is whole or stays as it was, through links too.

    Devices and named pipes are written in place: a file that took their place would break whatever else uses them.

    Raises:
        OSError: It is a folder, or cannot be written; it names `path`.
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

    A block that fails leaves nothing behind.

    Raises:
        OSError: The folder cannot be made, or something has come into it in the meantime.
    """
    target = folder.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_beside(target)
    try:
        temporary.mkdir()
        yield temporary
        temporary.replace(target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def temporary_beside(path: Path) -> Path:
    """Name a temporary neighbour that is not there yet, and that nobody can have prepared a link for."""
    return path.with_name(f".{path.name}.{secrets.randbits(64)}{_SUFFIX}")


def appending(path: Path) -> IO[str]:
    """Open a text file of a folder for appending, or make it; UTF-8.

    Raises:
        OSError: It is a link, or no regular file: whoever made the folder would choose what is written to.
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
    return os.fdopen(descriptor, "a", encoding="utf-8")


def read_regular(path: Path, *, most: int = 1 << 28) -> bytes:
    """Read a whole file that may be anybody's.

    Raises:
        OSError: It is missing, unreadable, larger than `most` bytes, or a pipe or a device, which would never end.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "is no regular file", str(path))
        if found.st_size > most:
            raise OSError(errno.EFBIG, f"has {found.st_size:,} bytes, expected at most {most:,}", str(path))
        return file.read()


def make_folder(path: Path) -> None:
    """Make a folder within another one, unless it is there.

    Raises:
        OSError: It is a link: what is written or removed there would be somebody else's.
    """
    if path.is_symlink():
        raise OSError(errno.ELOOP, "is a link, expected a folder: nothing is written or removed through it", str(path))
    path.mkdir(parents=True, exist_ok=True)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let an error that names no file, of a full disk say, name this path.

    Raises:
        OSError: The one of the block.
    """
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def is_leftover(path: Path) -> bool:
    """Tell whether a file is the temporary one of a writer, dead or alive."""
    return _LEFTOVER.fullmatch(path.name) is not None and path.is_file()


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files that killed writers have left in `folder`; nobody else may be writing there."""
    if folder.is_dir():
        for path in folder.iterdir():
            if is_leftover(path):
                path.unlink()


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 `text` to `path`, whole or not at all."""
    with replacing(path) as file:
        file.write(text.encode("utf-8"))


def sha256(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
