"""Files that are whole or absent: temporary name, flush, rename; and checksums."""

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

_SUFFIX = ".tmp"
_LEFTOVER = re.compile(r"\..+\.\d+" + re.escape(_SUFFIX))


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary neighbour of `path` for writing; rename it to `path` when the block ends well.

    A block that fails, or a kill at any instant, leaves the old `path` (or its absence) as it was.

    Raises:
        OSError: The folder cannot be written, or the disk is full; it names `path`.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}{_SUFFIX}")
    try:
        with temporary.open("wb") as file:
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
def naming(path: Path) -> Iterator[None]:
    """Let an error of an open file, a full disk say, name its path.

    Raises:
        OSError: The one of the block, with the path.
    """
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


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
