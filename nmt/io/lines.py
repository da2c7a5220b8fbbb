"""Lines of text files, plain or compressed, and pairs and lines whose origin is known."""

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Final, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from nmt.errors import DataError, counted
from nmt.io.compressed import BOM, CHUNK, SECTION_BYTES, BegunBytes, read_raw_lines, read_raw_sections, read_sections

OnBadUtf8 = Literal["error", "replace"]
OnBadRecord = Literal["error", "skip"]
Fault = Literal["broken", "too_long"]
"""Why a record could not be read: it has not the form of its file, or it is longer than a text may be."""

SKIP_HINT: Final = "; --on-bad-record skip leaves out such records"
"""What to do about records that have not the form of their file."""

DECODING_ERRORS: Final[dict[OnBadUtf8, str]] = {"error": "strict", "replace": "replace"}
"""How Python calls what bad bytes lead to."""

_BLANKS: Final = re.compile("[\t\v\f\x1c-\x1f\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]")
_LEFT_OUT: Final = re.compile(
    "(\U0001f3f4[\U000e0020-\U000e007f]+)"  # a flag, such as that of Wales
    "|[\0-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"
    "|[\U000e0001\U000e0020-\U000e007f]"
)
_KEPT_JOINERS: Final = re.compile(
    "(?<![\u0590-\u109f\u1700-\u18af\u1a00-\u1cff\ua800-\uabff\ufb1d-\ufdff\ufe70-\ufefc\U00010a00-\U00011fff"
    "\u20e3\u2190-\u27ff\u2900-\u2bff\ufe0f\U0001f000-\U0001faff])[\u200c\u200d]"
)


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


def clean(text: str) -> str:
    """Take out of a normalised text what nobody sees; cleaning it again changes nothing.

    Every blank of Unicode, a tab, no-break and ideographic spaces too, becomes a space. Control characters, soft
    hyphens, zero-width spaces, word joiners, marks of direction, annotations and byte order marks are left out, and tag
    characters too but in a flag. Joiners (U+200C, U+200D) stay after letters and marks of the scripts that are written
    with them, from Hebrew and Arabic to those of India and Mongolia, and after emoji; elsewhere they are left out.
    Then the text is normalised once more.
    """
    if text.isprintable():  # nothing that this is about is; so most texts cost next to nothing
        return text
    return normalise(_KEPT_JOINERS.sub("", _LEFT_OUT.sub(r"\1", _BLANKS.sub(" ", text))))


class Reading(Protocol):
    """How a model has its text read: settings of its data."""

    @property
    def clean_invisible(self) -> bool:
        """Whether it is cleaned of what nobody sees."""
        ...

    @property
    def lowercase(self) -> bool:
        """Whether it is written in small letters."""
        ...


def normaliser(reading: Reading) -> Callable[[str], str]:
    """Return what makes of any text that which a model reads; what it has made, it leaves as it is."""
    return partial(_read, cleans=reading.clean_invisible, lowers=reading.lowercase)


def _read(text: str, *, cleans: bool, lowers: bool) -> str:
    text = normalise(text.lower() if lowers else text)
    return clean(text) if cleans else text


def unequal(first: Path, lines: int, second: Path, expected: int) -> DataError:
    """Make the error about two files that should match line by line and have different numbers of lines."""
    return DataError(f"{first} has {counted(lines, 'line')} but {second} has {expected:,}; parallel files must match")


def read_lines(path: Path, on_bad_utf8: OnBadUtf8 = "error") -> Iterator[str]:
    """Read the lines of a text file, which `.gz`, `.xz`, `.bz2` or `.zst` in its name says is compressed."""
    return decode_lines(read_raw_lines(path), str(path), on_bad_utf8)


def read_in_sections(path: Path, on_bad_utf8: OnBadUtf8 = "error") -> Iterator[str]:
    """Read a text file as `read_lines` does, but lines that are too long to be taken at once as `Begun` and a rest."""
    return decode_lines(read_raw_sections(path), str(path), on_bad_utf8)


def count_lines(path: Path) -> int | None:
    """Count the lines of a file; None: it can be read only once, or not to its end, which its reader tells."""
    with suppress(DataError):
        if path.is_file():
            return sum(not isinstance(section, BegunBytes) for section in read_raw_sections(path))
    return None


def decode_lines(
    lines: Iterable[bytes], name: str, on_bad_utf8: OnBadUtf8 = "error", *, first: int = 1
) -> Iterator[str]:
    r"""Turn lines of UTF-8 bytes into text, without `\n` or `\r\n` at their ends or a byte order mark at the start.

    Args:
        lines: They end at `\n`; of `BegunBytes` becomes `Begun`.
        name: What an error calls them.
        on_bad_utf8: Whether bad bytes are a `DataError` or become U+FFFD.
        first: The number of the first.
    """
    number, before = first, -1 if first == 1 else 0
    """The number of the line, and how many bytes of it have been decoded; -1: it is the first of all."""
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


BYTES_AT_ONCE: Final = 8 << 20
"""Bytes: lines are taken together up to this size, so that `size` long lines do not fill the memory."""
LONGEST_LINE: Final = CHUNK
"""Bytes, or characters of a text of another format: what is longer is no line of a text, and takes no memory."""


class LineCutter:
    r"""Lines of a file, which is read in chunks, taken many at once; they end at `\n`, and the last may lack it."""

    def __init__(self, chunks: Iterator[bytes], file: str, on_bad_utf8: OnBadUtf8) -> None:
        self._file = file
        self._on_bad_utf8 = on_bad_utf8
        self._pieces = _bound(chunks)
        self._data = b""
        self._start = 0
        """Where in the data the first line stands that has not been taken."""
        self._ends: NDArray[np.int64] = np.empty(0, np.int64)
        """Where the lines in the data end that have not been taken."""
        self._too_long: list[int] = []
        """The numbers, counted from 0, of the lines that were too long and have not been taken."""
        self._all_read = False
        self.taken = 0
        """How many lines have been taken."""

    def reach(self, size: int) -> int:
        """Return how many of the next `size` lines can be taken together: at least one, unless none is left."""
        self._fill(size)
        ends = self._ends[:size]
        return min(len(ends), max(1, int(np.searchsorted(ends, self._start + BYTES_AT_ONCE, side="right"))))

    def take(self, lines: int) -> "Lines":
        """Take lines, as many as `reach` returned or fewer."""
        end = int(self._ends[lines - 1])
        data = self._data[self._start : end]
        first, self.taken = self.taken, self.taken + lines
        too_long = tuple(number - first for number in self._too_long if number < self.taken)
        self._too_long = self._too_long[len(too_long) :]
        self._start = end
        self._ends = self._ends[lines:]
        return Lines(data, lines, self._file, first + 1, self._on_bad_utf8, too_long)

    def count_all(self) -> int:
        """Take whatever is left; return how many lines there were in all."""
        while lines := self.reach(1 << 20):
            self.take(lines)
        return self.taken

    def _fill(self, size: int) -> None:
        """Read until `size` lines are there, or as many bytes as are taken together."""
        if self._all_read or len(self._ends) >= size:
            return
        pieces, ends = [self._data[self._start :]], [self._ends - self._start]
        length, lines = len(pieces[0]), len(ends[0])
        while lines < size and (length < BYTES_AT_ONCE or not lines):
            piece = next(self._pieces, b"")
            if piece is None:
                self._too_long.append(self.taken + lines)
                piece = b"\n"
            if not piece:
                self._all_read = True
                if pieces[-1] and not pieces[-1].endswith(b"\n"):  # a line has been begun
                    ends.append(np.array([length]))
                break
            ends.append(np.flatnonzero(np.frombuffer(piece, np.uint8) == ord("\n")) + (length + 1))
            pieces.append(piece)
            length += len(piece)
            lines += len(ends[-1])
        self._data, self._start, self._ends = b"".join(pieces), 0, np.concatenate(ends)


def _bound(chunks: Iterator[bytes]) -> Iterator[bytes | None]:
    """Hold back the beginning of a line until it is known not to be too long; None stands for a line that is."""
    begun: list[bytes] = []
    length = 0
    for chunk in chunks:
        end = chunk.find(b"\n")
        if length + (len(chunk) if end < 0 else end) > LONGEST_LINE:
            begun = []
            if end < 0:
                length = LONGEST_LINE + 1
                continue
            yield None
            chunk, length = chunk[end + 1 :], 0
        whole, newline, rest = chunk.rpartition(b"\n")
        if newline:
            yield from begun
            yield whole + newline
            begun, length = [], 0
        if rest:
            begun.append(rest)
            length += len(rest)
    if length and not begun:
        yield None
    yield from begun


@dataclass(frozen=True)
class Lines:
    r"""Whole lines of a file, as bytes; their number is known."""

    data: bytes = field(repr=False)
    count: int
    file: str
    first: int
    """The number of the first line, counted from 1."""
    on_bad_utf8: OnBadUtf8
    too_long: tuple[int, ...] = ()
    """Which of them, counted from 0, are empty because they were longer than any line may be."""

    def __len__(self) -> int:
        return self.count

    def texts(self) -> list[str]:
        """Return the lines as text in Unicode NFC, without white space at their ends; for errors see `decode`."""
        return list(map(str.strip, self.composed()))

    def composed(self) -> list[str]:
        r"""Return the lines as text in Unicode NFC, without `\n`, but with other white space at their ends."""
        # All lines at once: nothing is composed across the end of a line.
        return unicodedata.normalize("NFC", self.decode()).removesuffix("\n").split("\n")

    def decode(self) -> str:
        """Return all lines in one text, without a byte order mark at the start of the file.

        It is a `DataError` if a line is not UTF-8; the first such line is named.
        """
        data = self.data.removeprefix(BOM) if self.first == 1 else self.data
        try:
            return data.decode("utf-8", DECODING_ERRORS[self.on_bad_utf8])
        except UnicodeDecodeError as error:
            start = data.rfind(b"\n", 0, error.start) + 1
            number = self.first + data.count(b"\n", 0, start)
            raise bad_utf8(f"{self.file}, line {number}", error.start - start + 1, data[error.start]) from error


class Begun(str):
    """A section of a line that goes on with what comes next."""

    __slots__ = ()


def sections_of(line: str) -> list[str]:
    """Cut a line as `read_sections` does."""
    if len(line) * 4 < SECTION_BYTES:
        return [line]
    raw = read_sections(BytesIO(line.replace("\n", " ").encode(errors="surrogatepass")).readline)
    texts = [(type(data), data.decode(errors="surrogatepass")) for data in raw]
    return [Begun(text) if kind is BegunBytes else text for kind, text in texts]
