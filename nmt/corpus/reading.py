"""Lines of text files, plain or compressed, and pairs and lines whose origin is known."""

import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, Literal, NamedTuple

from nmt.corpus.sections import Begun
from nmt.corpus.sources.compressed import BegunBytes, read_raw_lines, read_raw_sections
from nmt.errors import DataError
from nmt.wording import counted

OnBadUtf8 = Literal["error", "replace"]
OnBadRecord = Literal["error", "skip"]
Fault = Literal["broken", "too_long"]
"""Why a record could not be read: it has not the form of its file, or it is longer than a text may be."""

SKIP_HINT: Final = "; --on-bad-record skip leaves out such records"
"""What to do about records that have not the form of their file."""

DECODING_ERRORS: Final[dict[OnBadUtf8, str]] = {"error": "strict", "replace": "replace"}
"""How Python calls what bad bytes lead to."""

BOM: Final = b"\xef\xbb\xbf"
"""What some programs write at the start of a file in UTF-8; it is no text."""


class Pair(NamedTuple):
    """A source line, its translation, and where they stand."""

    src: str
    tgt: str
    file: str
    """The file of the pair, or of its source."""
    line: int
    """Counted from 1; rows and units too, where the file has no lines."""
    fault: Fault | None = None
    """Why it could not be read: then its sides are empty."""


class Line(NamedTuple):
    """A line of text, and where it stands."""

    text: str
    file: str
    line: int
    """Counted from 1."""
    fault: Literal["too_long"] | None = None
    """Why it could not be read: then it is empty."""


def normalise(text: str) -> str:
    """Return `text` in Unicode NFC, without white space at its ends."""
    return unicodedata.normalize("NFC", text).strip()


def unequal(first: Path, lines: int, second: Path, expected: int) -> DataError:
    """Make the error about two files that should match line by line and have different numbers of lines."""
    return DataError(f"{first} has {counted(lines, 'line')} but {second} has {expected:,}; parallel files must match")


def read_lines(path: Path, on_bad_utf8: OnBadUtf8 = "error") -> Iterator[str]:
    """Read the lines of a text file, which `.gz`, `.xz`, `.bz2` or `.zst` in its name says is compressed.

    Raises:
        DataError: The file is missing, unreadable, damaged, or not UTF-8.
    """
    return decode_lines(read_raw_lines(path), str(path), on_bad_utf8)


def read_in_sections(path: Path, on_bad_utf8: OnBadUtf8 = "error") -> Iterator[str]:
    """Read a text file as `read_lines` does, but lines that are too long to be taken at once as `Begun` and a rest.

    Raises:
        DataError: The file is missing, unreadable, damaged, or not UTF-8.
    """
    return decode_lines(read_raw_sections(path), str(path), on_bad_utf8)


def decode_lines(lines: Iterable[bytes], name: str, on_bad_utf8: OnBadUtf8 = "error") -> Iterator[str]:
    r"""Turn lines of UTF-8 bytes into text, without `\n` or `\r\n` at their ends or a byte order mark at the start.

    Args:
        lines: Any binary file open for reading, or another source of lines that end at `\n`; of `BegunBytes` becomes
            `Begun`.
        name: What an error calls it.
        on_bad_utf8: Whether bad bytes are an error or become U+FFFD.

    Raises:
        DataError: A line is not UTF-8.
    """
    number, before = 1, -1
    """The number of the line, and how many of its bytes have been decoded; -1: it is the first of all."""
    for raw in lines:
        goes_on = isinstance(raw, BegunBytes)
        line = raw if goes_on else raw.removesuffix(b"\n").removesuffix(b"\r")
        if before < 0:
            line, before = line.removeprefix(BOM), 0
        try:
            text = line.decode("utf-8", DECODING_ERRORS[on_bad_utf8])
        except UnicodeDecodeError as error:
            raise bad_utf8(f"{name}, line {number}", before + error.start + 1, line[error.start]) from error
        yield Begun(text) if goes_on else text
        number, before = (number, before + len(line)) if goes_on else (number + 1, 0)


def bad_utf8(where: str, position: int, byte: int) -> DataError:
    """Make the error that names a byte, and its place in the line counted from 1."""
    return DataError(
        f"{where}: byte {position} (0x{byte:02x}) is not UTF-8; "
        "--on-bad-utf8 replace puts U+FFFD in the place of such bytes"
    )
