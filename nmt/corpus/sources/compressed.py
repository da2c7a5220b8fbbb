"""Files that may be compressed, as chunks of the bytes that were put into them."""

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import IO, Any, Final

import zstandard

from nmt.corpus.sections import read_sections
from nmt.errors import DataError

CHUNK: Final = 1 << 20
"""Bytes read at once."""

_COMPRESSED_CHUNK: Final = 1 << 16
_DAMAGED: Final = (EOFError, zlib.error, lzma.LZMAError, zstandard.ZstdError, gzip.BadGzipFile)


class Meter:
    """How many bytes have been read from disk."""

    def __init__(self) -> None:
        self.bytes = 0


def read_chunks(path: Path, meter: Meter) -> Iterator[bytes]:
    """Read a file, which `.gz`, `.xz`, `.bz2` or `.zst` in its name says is compressed, from start to end.

    Args:
        path: The file.
        meter: Told how much of the file has been read, compressed as it is, before each chunk is given.

    Raises:
        DataError: It is missing, unreadable, damaged or incomplete.
    """
    with _naming(path), path.open("rb") as raw, _decompressed(path, raw) as file:
        before, tell = meter.bytes, raw.tell if raw.seekable() else None
        while chunk := file.read(CHUNK):
            if tell:
                meter.bytes = before + tell()
            yield chunk


def read_raw_lines(path: Path) -> Iterator[bytes]:
    r"""Read a file as `read_chunks` does, line by line, each with its `\n`; those of a pipe as they arrive.

    Raises:
        DataError: It is missing, unreadable, damaged or incomplete.
    """
    with _naming(path), path.open("rb") as raw, _decompressed(path, raw) as file:
        yield from file


def read_raw_sections(path: Path) -> Iterator[bytes]:
    r"""Read a file as `read_raw_lines` does, but lines that are too long in sections (`nmt.corpus.sections`).

    Raises:
        DataError: It is missing, unreadable, damaged or incomplete.
    """
    with _naming(path), path.open("rb") as raw, _decompressed(path, raw) as file:
        yield from read_sections(file.readline)


def split_suffix(path: Path) -> tuple[str, str]:
    """Return the suffix that tells the format, and that of the compression or "": ".tsv" and ".gz" of "a.tsv.gz"."""
    outer = path.suffix.lower()
    if outer not in COMPRESSIONS:
        return outer, ""
    return path.with_suffix("").suffix.lower(), outer


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Turn the errors of reading into one that names the file."""
    try:
        yield
    except _DAMAGED as error:
        raise DataError(f"{path} is a damaged or incomplete {path.suffix} file: {error}") from error
    except OSError as error:
        if error.strerror is None:  # how bz2 says that its data are not bz2
            raise DataError(f"{path} is a damaged or incomplete {path.suffix} file: {error}") from error
        raise DataError(f"cannot read {path}: {error.strerror}") from error


def _decompressed(path: Path, raw: IO[bytes]) -> AbstractContextManager[IO[bytes]]:
    opener = _OPENERS.get(path.suffix.lower())
    return nullcontext(raw) if opener is None else opener(raw)


class _ZstFile(io.RawIOBase):
    """Decompresses frame after frame; unlike zstandard's own reader, it notices a file that ends within one."""

    def __init__(self, compressed: IO[bytes]) -> None:
        self._compressed = compressed
        self._frame: Any = None
        self._waiting = b""
        """Compressed bytes that have been read."""
        self._ready = memoryview(b"")
        """Bytes that nobody has taken yet."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready and self._decompress():
            pass
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def _decompress(self) -> bool:
        """Decompress what comes next, if anything does."""
        compressed = self._waiting or self._compressed.read(_COMPRESSED_CHUNK)
        if not compressed:
            if self._frame is not None:
                raise EOFError("it ends before the end of its data")
            return False
        self._frame = self._frame or zstandard.ZstdDecompressor().decompressobj()
        self._ready = memoryview(self._frame.decompress(compressed))
        self._waiting = self._frame.unused_data
        self._frame = None if self._frame.eof else self._frame
        return True


def _open_gz(raw: IO[bytes]) -> Any:
    return gzip.GzipFile(fileobj=raw)


def _open_zst(raw: IO[bytes]) -> Any:
    return io.BufferedReader(_ZstFile(raw), CHUNK)


_OPENERS: Final[dict[str, Callable[[IO[bytes]], Any]]] = {
    ".gz": _open_gz,
    ".xz": lzma.LZMAFile,
    ".bz2": bz2.BZ2File,
    ".zst": _open_zst,
}

COMPRESSIONS: Final = tuple(_OPENERS)
"""What the name of a compressed file ends in."""
