"""Plain text: pairs of files that match line by line, and text in one language."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, repeat
from pathlib import Path

from nmt.corpus.reading import Line, OnBadUtf8, Pair, unequal
from nmt.corpus.sources.blocks import Block, FileSource, PairSource
from nmt.corpus.sources.compressed import Meter, read_chunks
from nmt.corpus.sources.cutting import LineCutter
from nmt.corpus.sources.decoding import Lines
from nmt.corpus.sources.documents import refuse_documents, refuse_markup
from nmt.errors import DataError


@dataclass(frozen=True)
class PairBlock(Block[Pair]):
    """Lines of two files, which match one by one."""

    src: Lines
    tgt: Lines

    def __len__(self) -> int:
        return len(self.src)

    def records(self) -> list[Pair]:
        """Decode both sides."""
        origin = (repeat(self.src.file), count(self.src.first))
        pairs = list(map(Pair, self.src.texts(), self.tgt.texts(), *origin))
        for row in {*self.src.too_long, *self.tgt.too_long}:
            pairs[row] = Pair("", "", self.src.file, self.src.first + row, "too_long")
        return pairs


@dataclass(frozen=True)
class LineBlock(Block[Line]):
    """Lines of a file."""

    raw: Lines

    def __len__(self) -> int:
        return len(self.raw)

    def records(self) -> list[Line]:
        """Decode the lines."""
        lines = list(map(Line, self.raw.texts(), repeat(self.raw.file), count(self.raw.first)))
        for row in self.raw.too_long:
            lines[row] = lines[row]._replace(fault="too_long")
        return lines


class ParallelFiles(PairSource):
    """Source files, and as many target files, each line the translation of the same line of its source file."""

    def __init__(self, src: Sequence[Path], tgt: Sequence[Path], on_bad_utf8: OnBadUtf8, *, name: str) -> None:
        if len(src) != len(tgt):
            raise DataError(
                f"{len(src)} source files but {len(tgt)} target files; every source file needs its target "
                f"(source: {_names(src)}; target: {_names(tgt)})"
            )
        self.name = name
        self.src = tuple(src)
        self.tgt = tuple(tgt)
        self._on_bad_utf8: OnBadUtf8 = on_bad_utf8
        self._meters = Meter(), Meter()

    @property
    def files(self) -> tuple[Path, ...]:
        """The source files, then the target files."""
        return *self.src, *self.tgt

    @property
    def read_bytes(self) -> int:
        """How much of both sides has been read, compressed as they are."""
        return sum(meter.bytes for meter in self._meters)

    def blocks(self, size: int) -> Iterator[Block[Pair]]:
        """Cut both files of a pair after the same lines; at the end, both have to have ended."""
        for path in self.files:
            refuse_documents(path)
            refuse_markup(path)
        self._meters = Meter(), Meter()
        for src_path, tgt_path in zip(self.src, self.tgt, strict=True):
            src, tgt = (
                LineCutter(read_chunks(path, meter))
                for path, meter in zip((src_path, tgt_path), self._meters, strict=True)
            )
            while lines := min(src.reach(size), tgt.reach(size)):
                yield PairBlock(
                    Lines.take(src, lines, str(src_path), self._on_bad_utf8),
                    Lines.take(tgt, lines, str(tgt_path), self._on_bad_utf8),
                )
            found, expected = src.count_all(), tgt.count_all()
            if found != expected:
                raise unequal(src_path, found, tgt_path, expected)


class TextFiles(FileSource[Line]):
    """Files of text."""

    def _read(self, path: Path, size: int) -> Iterator[Block[Line]]:
        refuse_documents(path)
        refuse_markup(path)
        cutter = LineCutter(read_chunks(path, self._meter))
        while lines := cutter.reach(size):
            yield LineBlock(Lines.take(cutter, lines, str(path), self._on_bad_utf8))


def _names(paths: Sequence[Path]) -> str:
    return ", ".join(map(str, paths)) or "none"
