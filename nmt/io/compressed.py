"""Files that may be compressed, as the bytes that were put into them: in chunks, in lines, or in sections of lines.

And files that are no plain text, told by their names and their first bytes.
"""

import bz2
import gzip
import io
import lzma
import re
import zlib
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import zstandard

from nmt.errors import DataError

CHUNK: Final = 1 << 20
"""Bytes read at once."""
SECTION_BYTES: Final = 1 << 18
"""Bytes of UTF-8 that are taken at once: no line that somebody wrote as one is nearly so long."""

_COMPRESSED_CHUNK: Final = 1 << 16


class BegunBytes(bytes):
    """A section of a line that goes on with what comes next, as bytes."""


@dataclass
class Meter:
    """How many bytes have been read from disk."""

    bytes: int = 0


def read_chunks(path: Path, meter: Meter) -> Iterator[bytes]:
    """Read a file, which `.gz`, `.xz`, `.bz2` or `.zst` in its name says is compressed, from start to end.

    It is a `DataError` if it is missing, unreadable, damaged or incomplete. Before each chunk is given, `meter` is told
    how much of the file has been read, compressed as it is.
    """
    with _opened(path) as (raw, file):
        before, tell = meter.bytes, raw.tell if raw.seekable() else None
        while chunk := file.read(CHUNK):
            if tell:
                meter.bytes = before + tell()
            yield chunk


def read_raw_lines(path: Path) -> Iterator[bytes]:
    r"""Read a file as `read_chunks` does, line by line, each with its `\n`; those of a pipe as they arrive."""
    with _opened(path) as (_, file):
        yield from file


def read_raw_sections(path: Path) -> Iterator[bytes]:
    """Read a file as `read_raw_lines` does, but lines that are too long as `read_sections` does."""
    with _opened(path) as (_, file):
        yield from read_sections(file.readline)


def cut_end(data: bytes) -> int:
    """Return where a line is cut that begins with `SECTION_BYTES` bytes: after a space or a tag, or any character.

    It depends on these bytes alone, so that a line is cut alike however it arrives.
    """
    end = max(data.rfind(b" "), data.rfind(b">")) + 1
    if end > len(data) // 2:
        return end
    last = len(data) - 1
    while last > len(data) - 4 and data[last] & 0xC0 == 0x80:  # the later bytes of a character
        last -= 1
    return last if data[last] >= 0xC0 else len(data)


def read_sections(readline: Callable[[int], bytes]) -> Iterator[bytes]:
    r"""Read lines, each with its `\n`, or, of one with more than `SECTION_BYTES` before it, section after section.

    `readline` returns the next bytes up to the end of the line, but at most so many; none at the end.
    """
    begun = b""
    goes_on = False
    while (data := begun + readline(SECTION_BYTES - len(begun))) or goes_on:
        goes_on = len(data) >= SECTION_BYTES and not data.endswith(b"\n")
        end = cut_end(data) if goes_on else len(data)
        yield BegunBytes(data[:end]) if goes_on else data
        begun = data[end:]


def split_suffix(path: Path) -> tuple[str, str]:
    """Return the suffix that tells the format, and that of the compression or "": ".tsv" and ".gz" of "a.tsv.gz"."""
    outer = path.suffix.lower()
    if outer not in COMPRESSIONS:
        return outer, ""
    return path.with_suffix("").suffix.lower(), outer


@contextmanager
def _opened(path: Path) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """Open a file; give what reads it from disk, and what reads the bytes that were put into it. Errors name it."""
    opener = _OPENERS.get(path.suffix.lower())
    try:
        with path.open("rb") as raw, nullcontext(raw) if opener is None else opener(raw) as file:
            yield raw, file
    except (EOFError, zlib.error, lzma.LZMAError, zstandard.ZstdError, OSError) as error:
        # without a number it is how gzip and bz2 say that the data are not theirs
        if isinstance(error, OSError) and error.strerror is not None:
            raise DataError(f"cannot read {path}: {error.strerror}") from error
        raise DataError(f"{path} is a damaged or incomplete {path.suffix} file: {error}") from error


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
        while not self._ready and (compressed := self._waiting or self._compressed.read(_COMPRESSED_CHUNK)):
            self._frame = self._frame or zstandard.ZstdDecompressor().decompressobj()
            self._ready = memoryview(self._frame.decompress(compressed))
            self._waiting = self._frame.unused_data
            self._frame = None if self._frame.eof else self._frame
        if not self._ready and self._frame is not None:
            raise EOFError("it ends before the end of its data")
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count


_OPENERS: Final[dict[str, Callable[[IO[bytes]], Any]]] = {
    ".gz": gzip.open,
    ".xz": lzma.LZMAFile,
    ".bz2": bz2.BZ2File,
    ".zst": lambda raw: io.BufferedReader(_ZstFile(raw), CHUNK),
}

COMPRESSIONS: Final = tuple(_OPENERS)
"""What the name of a compressed file ends in."""

BOM: Final = b"\xef\xbb\xbf"
"""What some programs write at the start of a file in UTF-8; it is no text."""

_SAVE: Final = "save it as plain text in UTF-8, one sentence a line"
_EXTRACT: Final = "extract its text first, one sentence per line: everything around it would be read as text"
_CORPUS: Final = f"as a corpus, nmt prepare --corpus reads it; else {_EXTRACT}"
_NAME: Final = f"its name has to end in one of {' '.join(COMPRESSIONS)}"

_SUFFIXES: Final = {
    **dict.fromkeys((".doc", ".docx", ".odt", ".rtf", ".pdf", ".xls", ".xlsx", ".ods", ".pptx", ".epub"), _SAVE),
    **dict.fromkeys((".srt", ".vtt", ".ass", ".xlf", ".xliff", ".pot"), _EXTRACT),
}
"""What to do with files of these names."""
_BEGINNINGS: Final = (
    (b"PK\x03\x04", "a zip archive, as office documents are", _SAVE),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an office document", _SAVE),
    (b"%PDF-", "a PDF", _SAVE),
    (b"{\\rtf", "a document in RTF", _SAVE),
    (b"PAR1", "a Parquet file", _CORPUS),
    (b"\x1f\x8b", "compressed", _NAME),
    (b"BZh", "compressed", _NAME),
    (b"\xfd7zXZ\x00", "compressed", _NAME),
    (b"\x28\xb5\x2f\xfd", "compressed", _NAME),
)
"""How files begin that are no text, what they are, and what to do with them."""
_MARKUP_SUFFIXES: Final = frozenset((".html", ".htm", ".xhtml", ".xml"))
_MARKUP: Final = re.compile(r"\s*<(?:!doctype\s+html\b|html[\s>]|\?xml\s)", re.IGNORECASE)


def refuse_documents(path: Path, corpora: Container[str]) -> None:
    """Refuse a file that is to be read as plain text, one sentence a line, but is a document of another kind.

    Its name or its first bytes say so: a DataError. `corpora` is how the names of files of pairs end; a table (.tsv) is
    text, as far as anyone can tell.
    """
    suffix, _ = split_suffix(path)
    if what_to_do := _SUFFIXES.get(suffix) or (_CORPUS if suffix in corpora and suffix != ".tsv" else None):
        raise DataError(f"{path} is not plain text, by its name: {what_to_do}")
    first = _beginning(path)
    for beginning, what, what_to_do in _BEGINNINGS:
        if first.startswith(beginning):
            raise DataError(f"{path} is not plain text, but {what}: {what_to_do}")


def refuse_markup(path: Path, what_to_do: str = _EXTRACT) -> None:
    """Refuse a file of HTML or XML, by its name or its first line, that is to be read as plain text: a DataError."""
    if split_suffix(path)[0] in _MARKUP_SUFFIXES:
        raise DataError(f"{path} is not plain text, by its name: {what_to_do}")
    if begins_markup(_beginning(path).removeprefix(BOM).decode("utf-8", "replace")):
        raise DataError(f"{path} is not plain text, but HTML or XML: {what_to_do}")


def begins_markup(text: str) -> bool:
    """Tell whether a page of HTML or XML begins so."""
    return _MARKUP.match(text) is not None


def _beginning(path: Path) -> bytes:
    """Return the first bytes of a file, for a page may begin with blank lines; none of what is compressed or a pipe."""
    if split_suffix(path)[1] or not path.is_file():  # what a pipe has given is gone
        return b""
    with path.open("rb") as file:
        return file.read(512)
