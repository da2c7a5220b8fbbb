"""Raw lines of a file, and how they become text."""

import unicodedata
from dataclasses import dataclass, field
from typing import Self

from nmt.corpus.reading import BOM, DECODING_ERRORS, OnBadUtf8, bad_utf8
from nmt.corpus.sources.cutting import LineCutter


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
