"""Bytes cut after whole lines, with next to no work for each line, and how they become text."""

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from nmt.corpus.reading import BOM, DECODING_ERRORS, OnBadUtf8, bad_utf8
from nmt.corpus.sources.compressed import CHUNK

BYTES_AT_ONCE: Final = 8 << 20
"""Bytes: lines are taken together up to this size, so that `size` long lines do not fill the memory."""
LONGEST_LINE: Final = CHUNK
"""Bytes, or characters of a text of another format: what is longer is no line of a text, and takes no memory."""

_NEWLINE: Final = 10


class Taken(NamedTuple):
    """Lines of a stream."""

    data: bytes
    too_long: tuple[int, ...]
    """Which of them, counted from 0, were longer than `LONGEST_LINE`, and are empty now."""


class LineCutter:
    r"""Lines of a stream of chunks, taken many at once; they end at `\n`, and the last may lack it."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
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

    def take(self, lines: int) -> Taken:
        """Take lines, as many as `reach` returned or fewer."""
        end = int(self._ends[lines - 1])
        data = self._data[self._start : end]
        first, self.taken = self.taken, self.taken + lines
        too_long = tuple(number - first for number in self._too_long if number < self.taken)
        self._too_long = self._too_long[len(too_long) :]
        self._start = end
        self._ends = self._ends[lines:]
        return Taken(data, too_long)

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
            ends.append(np.flatnonzero(np.frombuffer(piece, np.uint8) == _NEWLINE) + (length + 1))
            pieces.append(piece)
            length += len(piece)
            lines += len(ends[-1])
        self._data, self._start, self._ends = b"".join(pieces), 0, np.concatenate(ends)


def _bound(chunks: Iterator[bytes]) -> Iterator[bytes | None]:
    """Hold back the beginning of a line until it is known that the line is not too long; None stands for one that is.

    Args:
        chunks: None is longer than a line may be.
    """
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

    @classmethod
    def take(cls, cutter: LineCutter, count: int, file: str, on_bad_utf8: OnBadUtf8) -> Self:
        """Take lines from a file that is being cut."""
        first = cutter.taken + 1
        data, too_long = cutter.take(count)
        return cls(data, count, file, first, on_bad_utf8, too_long)

    def __len__(self) -> int:
        return self.count

    def texts(self) -> list[str]:
        """Return the lines as text in Unicode NFC, without white space at their ends.

        Raises:
            DataError: A line is not UTF-8; the first such line is named.
        """
        return list(map(str.strip, self.composed()))

    def composed(self) -> list[str]:
        r"""Return the lines as text in Unicode NFC, without `\n`, but with other white space at their ends.

        Raises:
            DataError: A line is not UTF-8; the first such line is named.
        """
        # All lines at once: nothing is composed across the end of a line.
        return unicodedata.normalize("NFC", self.decode()).removesuffix("\n").split("\n")

    def decode(self) -> str:
        """Return all lines in one text, without a byte order mark at the start of the file.

        Raises:
            DataError: A line is not UTF-8; the first such line is named.
        """
        data = self.data.removeprefix(BOM) if self.first == 1 else self.data
        try:
            return data.decode("utf-8", DECODING_ERRORS[self.on_bad_utf8])
        except UnicodeDecodeError as error:
            start = data.rfind(b"\n", 0, error.start) + 1
            number = self.first + data.count(b"\n", 0, start)
            raise bad_utf8(f"{self.file}, line {number}", error.start - start + 1, data[error.start]) from error
