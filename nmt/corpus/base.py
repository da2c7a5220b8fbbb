"""What every corpus is read as: blocks of raw records, which become pairs or lines where they are asked for them."""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path
from typing import ClassVar, Final, Generic, NamedTuple, TypeVar

from nmt.corpus.fields import GUESS, Wanted
from nmt.errors import DataError
from nmt.io.compressed import Meter
from nmt.io.lines import BYTES_AT_ONCE, LONGEST_LINE, Fault, Line, Lines, OnBadRecord, OnBadUtf8, Pair, normalise

R = TypeVar("R", Pair, Line)

_FEW: Final = 1000
"""Records of a block where blocks do not matter."""


class Block(ABC, Generic[R]):
    """Some records of a corpus, one after the other in a file, as they were found there.

    It is small, can be pickled, and reading it again gives the same. `len()` is the number of its records.
    """

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def records(self) -> list[R]:
        """Decode and normalise the records; a `DataError` names file and line of one that cannot be read."""


@dataclass(frozen=True)
class LinesBlock(Block[R]):
    """Lines of a file."""

    raw: Lines

    def __len__(self) -> int:
        return len(self.raw)


class Source(ABC, Generic[R]):
    """Records that are read one after the other, as often as needed."""

    files: tuple[Path, ...]
    """Every file that it is read from, in that order."""

    @abstractmethod
    def blocks(self, size: int) -> Iterator[Block[R]]:
        """Read the records in their order, as blocks of at most `size`: fewer where they are long or a file ends.

        Where the blocks end depends on the files and on `size` alone. A DataError says that a file cannot be read, or
        that two do not match.
        """

    def records(self) -> Iterator[R]:
        """Read every record, normalised, those with empty texts too, with the errors of its blocks."""
        for block in self.blocks(_FEW):
            yield from block.records()

    @property
    def total_bytes(self) -> int:
        """How large the files are."""
        return sum(path.stat().st_size for path in self.files if path.exists())

    @property
    @abstractmethod
    def read_bytes(self) -> int:
        """How much of `total_bytes` the latest call of `blocks` has read so far."""


class PairSource(Source[Pair]):
    """A corpus of pairs."""

    name: str
    """What reports call it."""

    @property
    def fingerprint(self) -> str | None:
        """What tells this text from other text where there are no files to compare, of a hub's dataset."""
        return None


class FileSource(Source[R]):
    """Files, each read by itself, one after the other."""

    def __init__(self, files: Sequence[Path], on_bad_utf8: OnBadUtf8) -> None:
        self.files = tuple(files)
        self._on_bad_utf8: OnBadUtf8 = on_bad_utf8
        self._meter = Meter()

    @property
    def read_bytes(self) -> int:
        """How much of the files has been read, compressed as they are."""
        return self._meter.bytes

    def blocks(self, size: int) -> Iterator[Block[R]]:
        """Read file after file."""
        self._meter.bytes = 0
        for path in self.files:
            yield from self._read(path, size)

    @abstractmethod
    def _read(self, path: Path, size: int) -> Iterator[Block[R]]: ...


class PairFiles(FileSource[Pair], PairSource):
    """Files that hold pairs, all in one format: a class for each, which `nmt.corpus.FORMATS` lists."""

    can_be_compressed: ClassVar[bool] = True
    """Whether they are read as well with `.gz` and the like after their names."""

    def __init__(
        self,
        files: Sequence[Path],
        on_bad_utf8: OnBadUtf8,
        wanted: Wanted = GUESS,
        *,
        name: str,
        on_bad_record: OnBadRecord = "error",
    ) -> None:
        """Say where in a record both sides are (`wanted`), and what one leads to that has not the form of its file."""
        super().__init__(files, on_bad_utf8)
        self.name = name
        self._wanted = wanted
        self._on_bad_record: OnBadRecord = on_bad_record
        self._choose()

    def _choose(self) -> None:
        """Choose the fields that are read; what is wanted may make no sense in this format (`ConfigError`)."""


_BREAKS: Final = re.compile(r" *[\n\r\t][\n\r\t ]*")
_SURROGATES: Final = re.compile("[\ud800-\udfff]")


class Unit(NamedTuple):
    """A source and its translation, as they stand in their file."""

    src: str
    tgt: str
    place: int
    """The number of where they stand."""
    fault: Fault | None = None
    """Why they could not be read: then both are empty."""


@dataclass(frozen=True)
class StringsBlock(Block[Pair]):
    """Texts that have been taken out of their file, but are not normalised."""

    units: tuple[Unit, ...] = field(repr=False)
    file: str
    noun: str
    """What the numbers count: lines or units."""
    on_bad_utf8: OnBadUtf8

    def __len__(self) -> int:
        return len(self.units)

    def records(self) -> list[Pair]:
        """Normalise the texts."""
        if not self.units:
            return []
        src, tgt, places, faults = zip(*self.units, strict=True)

        def where(row: int) -> str:
            return f"{self.file}, {self.noun} {places[row]}"

        sides = (to_lines(texts, where, self.on_bad_utf8) for texts in (src, tgt))
        return list(map(Pair, *sides, repeat(self.file), places, faults))


def cut_strings(
    units: Iterable[Unit], size: int, *, file: str, noun: str, on_bad_utf8: OnBadUtf8
) -> Iterator[StringsBlock]:
    """Put texts into blocks of at most `size`, fewer of long ones; those that are too long are empty from here on.

    `noun` is what their numbers count: lines or units.
    """
    taken: list[Unit] = []
    length = 0
    for unit in units:
        is_too_long = max(len(unit.src), len(unit.tgt)) > LONGEST_LINE
        taken.append(Unit("", "", unit.place, "too_long") if is_too_long else unit)
        length += len(taken[-1].src) + len(taken[-1].tgt)
        if len(taken) == size or length >= BYTES_AT_ONCE:
            yield StringsBlock(tuple(taken), file, noun, on_bad_utf8)
            taken, length = [], 0
    if taken:
        yield StringsBlock(tuple(taken), file, noun, on_bad_utf8)


def to_lines(texts: Sequence[str], where: Callable[[int], str], on_bad_utf8: OnBadUtf8) -> list[str]:
    """Normalise texts; line ends and tabs in them become spaces. Half of a surrogate pair, which is no character, is
    a DataError at `where` its text is, or becomes U+FFFD."""
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        if on_bad_utf8 == "error":
            for row, text in enumerate(texts):
                if half := _SURROGATES.search(text):
                    raise DataError(
                        f"{where(row)}: U+{ord(half[0]):04X} is half of a surrogate pair, no character; "
                        "--on-bad-utf8 replace puts U+FFFD in its place"
                    ) from None
        texts = [_SURROGATES.sub("\ufffd", text) for text in texts]
    return [
        normalise(_BREAKS.sub(" ", text) if "\n" in text or "\t" in text or "\r" in text else text) for text in texts
    ]
