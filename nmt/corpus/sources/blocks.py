"""What every corpus is read as: blocks of raw records, which become pairs or lines where they are asked for them."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar, Final, Generic, TypeVar

from nmt.corpus.reading import Line, OnBadRecord, OnBadUtf8, Pair
from nmt.corpus.sources.compressed import Meter
from nmt.corpus.sources.fields import GUESS, Wanted

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
        """Decode and normalise the records.

        Raises:
            DataError: One of them cannot be read; file and line are named.
        """


class Source(ABC, Generic[R]):
    """Records that are read one after the other, as often as needed."""

    @property
    @abstractmethod
    def files(self) -> tuple[Path, ...]:
        """Every file that it is read from."""

    @abstractmethod
    def blocks(self, size: int) -> Iterator[Block[R]]:
        """Read the records in their order, as blocks of at most `size`: fewer where they are long or a file ends.

        Where the blocks end depends on the files and on `size` alone.

        Raises:
            DataError: A file cannot be read, or two files do not match.
        """

    def records(self) -> Iterator[R]:
        """Read every record, normalised, those with empty texts too.

        Raises:
            DataError: A file or a record cannot be read, or two files do not match.
        """
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
        self._files = tuple(files)
        self._on_bad_utf8: OnBadUtf8 = on_bad_utf8
        self._meter = Meter()

    @property
    def files(self) -> tuple[Path, ...]:
        """The files, in the order in which they are read."""
        return self._files

    @property
    def read_bytes(self) -> int:
        """How much of the files has been read, compressed as they are."""
        return self._meter.bytes

    def blocks(self, size: int) -> Iterator[Block[R]]:
        """Read file after file."""
        self._meter.bytes = 0
        for path in self._files:
            yield from self._read(path, size)

    @abstractmethod
    def _read(self, path: Path, size: int) -> Iterator[Block[R]]: ...


class PairFiles(FileSource[Pair], PairSource):
    """Files that hold pairs, all in one format: a class for each, which `nmt.corpus.sources.FORMATS` lists."""

    can_be_compressed: ClassVar[bool] = True
    """Whether they are read as well with `.gz` and the like behind their names."""

    def __init__(
        self,
        files: Sequence[Path],
        on_bad_utf8: OnBadUtf8,
        wanted: Wanted = GUESS,
        *,
        name: str,
        on_bad_record: OnBadRecord = "error",
    ) -> None:
        """Say how they are read.

        Args:
            files: Read one after the other.
            on_bad_utf8: Whether bad bytes are an error or become U+FFFD.
            wanted: Where in a record source and target are.
            name: What reports call them.
            on_bad_record: Whether what has not the form of its file is an error or is left out.

        Raises:
            ConfigError: What is wanted makes no sense in this format.
        """
        super().__init__(files, on_bad_utf8)
        self.name = name
        self._wanted = wanted
        self._on_bad_record: OnBadRecord = on_bad_record
