"""Text files, plain or compressed, as streams of lines and of aligned pairs whose origin is known."""

import bz2
import gzip
import lzma
import unicodedata
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, Literal, NamedTuple

import zstandard

from nmt.errors import DataError

OnBadUtf8 = Literal["error", "replace"]

_BOM: Final = b"\xef\xbb\xbf"
_CHUNK: Final = 1 << 16
_DAMAGED: Final = (EOFError, zlib.error, lzma.LZMAError, zstandard.ZstdError, gzip.BadGzipFile)


class Pair(NamedTuple):
    """A source line, its translation, and where they stand."""

    src: str
    tgt: str
    file: str
    """The source file of the pair, or its TSV file."""
    line: int
    """Counted from 1; the same in both files of a pair of files."""


class Line(NamedTuple):
    """A line of text, and where it stands."""

    text: str
    file: str
    line: int
    """Counted from 1."""


@dataclass(frozen=True)
class TextFiles:
    """Parallel text on disk: files that match line by line, and files of source <tab> target lines.

    A TSV file may have further columns, which are left aside; its blank lines are pairs with empty sides.
    """

    src: tuple[Path, ...] = ()
    tgt: tuple[Path, ...] = ()
    tsv: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        if len(self.src) != len(self.tgt):
            raise DataError(
                f"{len(self.src)} source files but {len(self.tgt)} target files; every source file needs its target "
                f"(source: {_names(self.src)}; target: {_names(self.tgt)})"
            )

    def pairs(self, on_bad_utf8: OnBadUtf8 = "error") -> Iterator[Pair]:
        """Read every pair, file after file, one at a time.

        Raises:
            DataError: A file cannot be read, or two files do not match.
        """
        for src, tgt in zip(self.src, self.tgt, strict=True):
            yield from _read_aligned(src, tgt, on_bad_utf8)
        for path in self.tsv:
            yield from _read_tsv(path, on_bad_utf8)


def read_text(paths: Iterable[Path], on_bad_utf8: OnBadUtf8 = "error") -> Iterator[Line]:
    """Read every line, normalised, file after file, blank ones too.

    Raises:
        DataError: A file cannot be read.
    """
    for path in paths:
        for number, text in enumerate(read_lines(path, on_bad_utf8), start=1):
            yield Line(normalise(text), str(path), number)


def normalise(text: str) -> str:
    """Return `text` in Unicode NFC, without white space at its ends."""
    return unicodedata.normalize("NFC", text).strip()


def read_lines(path: Path, on_bad_utf8: OnBadUtf8 = "error") -> Iterator[str]:
    """Read the lines of a text file, which `.gz`, `.xz`, `.bz2` or `.zst` in its name says is compressed.

    Raises:
        DataError: The file is missing, unreadable, damaged, or not UTF-8.
    """
    return decode_lines(_raw_lines(path), str(path), on_bad_utf8)


def decode_lines(lines: Iterable[bytes], name: str, on_bad_utf8: OnBadUtf8 = "error") -> Iterator[str]:
    r"""Turn lines of UTF-8 bytes into text, without `\n` or `\r\n` at their ends or a byte order mark at the start.

    Args:
        lines: Any binary file open for reading, or another source of lines that end at `\n`.
        name: What an error calls it.
        on_bad_utf8: Whether bad bytes are an error or become U+FFFD.

    Raises:
        DataError: A line is not UTF-8.
    """
    errors = "strict" if on_bad_utf8 == "error" else "replace"
    for number, raw in enumerate(lines, start=1):
        line = raw.removesuffix(b"\n").removesuffix(b"\r")
        if number == 1:
            line = line.removeprefix(_BOM)
        try:
            yield line.decode("utf-8", errors)
        except UnicodeDecodeError as error:
            raise DataError(
                f"{name}, line {number}: byte {error.start + 1} (0x{line[error.start]:02x}) is not UTF-8; "
                "--on-bad-utf8 replace puts U+FFFD in the place of such bytes"
            ) from error


def _read_aligned(src_path: Path, tgt_path: Path, on_bad_utf8: OnBadUtf8) -> Iterator[Pair]:
    src_lines, tgt_lines = read_lines(src_path, on_bad_utf8), read_lines(tgt_path, on_bad_utf8)
    name = str(src_path)
    number = 0
    while True:
        src, tgt = next(src_lines, None), next(tgt_lines, None)
        if src is None or tgt is None:
            break
        number += 1
        yield Pair(normalise(src), normalise(tgt), name, number)
    src_count = number + (src is not None) + sum(1 for _ in src_lines)
    tgt_count = number + (tgt is not None) + sum(1 for _ in tgt_lines)
    if src_count != tgt_count:
        raise DataError(f"{src_path} has {src_count} lines but {tgt_path} has {tgt_count}; parallel files must match")


def _read_tsv(path: Path, on_bad_utf8: OnBadUtf8) -> Iterator[Pair]:
    for number, line in enumerate(read_lines(path, on_bad_utf8), start=1):
        src, tab, rest = line.partition("\t")
        if line.strip() and not tab:
            raise DataError(f"{path}, line {number}: found 1 column, expected 2: source <tab> target")
        yield Pair(normalise(src), normalise(rest.partition("\t")[0]), str(path), number)


def _raw_lines(path: Path) -> Iterator[bytes]:
    opener = _OPENERS.get(path.suffix.lower(), _open_plain)
    try:
        with opener(path) as file:
            yield from file
    except _DAMAGED as error:
        raise DataError(f"{path} is a damaged or incomplete {path.suffix} file: {error}") from error
    except OSError as error:
        if error.strerror is None:  # how bz2 says that its data are not bz2
            raise DataError(f"{path} is a damaged or incomplete {path.suffix} file: {error}") from error
        raise DataError(f"cannot read {path}: {error.strerror}") from error


def _open_plain(path: Path) -> AbstractContextManager[Iterable[bytes]]:
    return path.open("rb")


@contextmanager
def _open_zst(path: Path) -> Iterator[Iterable[bytes]]:
    with path.open("rb") as file:
        yield _cut_lines(_decompress_zst(file))


_OPENERS: Final[dict[str, Callable[[Path], AbstractContextManager[Iterable[bytes]]]]] = {
    ".gz": gzip.GzipFile,
    ".xz": lzma.LZMAFile,
    ".bz2": bz2.BZ2File,
    ".zst": _open_zst,
}


def _decompress_zst(file: IO[bytes]) -> Iterator[bytes]:
    """Decompress frame after frame; unlike zstandard's own reader, notice a file that ends within one."""
    frame, waiting = None, b""
    while compressed := waiting or file.read(_CHUNK):
        frame = frame or zstandard.ZstdDecompressor().decompressobj()
        yield frame.decompress(compressed)
        waiting = frame.unused_data
        frame = None if frame.eof else frame
    if frame is not None:
        raise EOFError("it ends before the end of its data")


def _cut_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines
    if rest:
        yield rest


def _names(paths: tuple[Path, ...]) -> str:
    return ", ".join(map(str, paths)) or "none"
