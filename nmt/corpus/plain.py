"""Plain text: pairs of files that match line by line, lines of columns between tabs, and text in one language."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, repeat
from pathlib import Path

from nmt.corpus import FORMATS
from nmt.corpus.base import Block, FileSource, LinesBlock, PairFiles, PairSource
from nmt.errors import ConfigError, DataError, counted
from nmt.io.compressed import Meter, read_chunks, refuse_documents, refuse_markup
from nmt.io.lines import SKIP_HINT, Fault, Line, LineCutter, Lines, OnBadRecord, OnBadUtf8, Pair, unequal


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


class LineBlock(LinesBlock[Line]):
    """Lines of a text."""

    def records(self) -> list[Line]:
        """Decode the lines."""
        lines = list(map(Line, self.raw.texts(), repeat(self.raw.file), count(self.raw.first)))
        for row in self.raw.too_long:
            lines[row] = lines[row]._replace(fault="too_long")
        return lines


class ParallelFiles(PairSource):
    """Source files, and as many target files (else a DataError), each line the translation of the same source line."""

    def __init__(self, src: Sequence[Path], tgt: Sequence[Path], on_bad_utf8: OnBadUtf8, *, name: str) -> None:
        if len(src) != len(tgt):
            names = [", ".join(map(str, paths)) or "none" for paths in (src, tgt)]
            raise DataError(
                f"{len(src)} source files but {len(tgt)} target files; every source file needs its target "
                f"(source: {names[0]}; target: {names[1]})"
            )
        self.name = name
        self.src = tuple(src)
        self.tgt = tuple(tgt)
        self.files = *self.src, *self.tgt
        self._on_bad_utf8: OnBadUtf8 = on_bad_utf8
        self._meters = Meter(), Meter()

    @property
    def read_bytes(self) -> int:
        """How much of both sides has been read, compressed as they are."""
        return sum(meter.bytes for meter in self._meters)

    def blocks(self, size: int) -> Iterator[Block[Pair]]:
        """Cut both files of a pair after the same lines; a DataError if but one of them has ended then."""
        for path in self.files:
            refuse_documents(path, FORMATS)
            refuse_markup(path)
        self._meters = Meter(), Meter()
        for src_path, tgt_path in zip(self.src, self.tgt, strict=True):
            src, tgt = (
                LineCutter(read_chunks(path, meter), str(path), self._on_bad_utf8)
                for path, meter in zip((src_path, tgt_path), self._meters, strict=True)
            )
            while lines := min(src.reach(size), tgt.reach(size)):
                yield PairBlock(src.take(lines), tgt.take(lines))
            found, expected = src.count_all(), tgt.count_all()
            if found != expected:
                raise unequal(src_path, found, tgt_path, expected)


class TextFiles(FileSource[Line]):
    """Files of text."""

    def _read(self, path: Path, size: int) -> Iterator[Block[Line]]:
        refuse_documents(path, FORMATS)
        refuse_markup(path)
        cutter = LineCutter(read_chunks(path, self._meter), str(path), self._on_bad_utf8)
        while lines := cutter.reach(size):
            yield LineBlock(cutter.take(lines))


@dataclass(frozen=True)
class TsvBlock(LinesBlock[Pair]):
    """Lines of columns; a blank one is a pair with empty sides."""

    columns: tuple[int, int]
    """Those of source and target, counted from 0."""
    on_bad_record: OnBadRecord = "error"
    """What a line of too few columns leads to."""

    def records(self) -> list[Pair]:
        """Split the lines at tabs; one of too few columns is a DataError, or has a fault."""
        src, tgt = self.columns
        enough = max(src, tgt) + 1
        rows = [line.split("\t", enough) for line in self.raw.composed()]
        faults: dict[int, Fault] = dict.fromkeys(self.raw.too_long, "too_long")
        for number, row in enumerate(rows):
            if len(row) < enough:
                if any(map(str.strip, row)):
                    if self.on_bad_record == "error":
                        columns = f"source in {src + 1}, target in {tgt + 1}"
                        what = "source <tab> target" if self.columns == (0, 1) else columns
                        raise DataError(
                            f"{self.raw.file}, line {self.raw.first + number}: found {counted(len(row), 'column')}, "
                            f"expected {enough}: {what}{SKIP_HINT}"
                        )
                    faults[number] = "broken"
                row[:] = [""] * enough
        texts = ((row[src].strip() for row in rows), (row[tgt].strip() for row in rows))
        pairs = list(map(Pair, *texts, repeat(self.raw.file), count(self.raw.first)))
        for number, fault in faults.items():
            pairs[number] = pairs[number]._replace(fault=fault)
        return pairs


class TsvFiles(PairFiles):
    """Files of source <tab> target lines; further columns are left aside.

    A field is a column: its number, counted from 1, or what the first line of each file calls it; that line is no pair
    then.
    """

    def _choose(self) -> None:
        fields = (self._wanted.src_field or "1", self._wanted.tgt_field or "2")
        if any(not field.strip("0") or field.isdecimal() != fields[0].isdecimal() for field in fields):
            raise ConfigError(
                f"{self.name}: src_field is {fields[0]!r} and tgt_field {fields[1]!r}; for a .tsv file give the "
                "numbers of both columns, counted from 1, or the names that its first line gives to both"
            )
        self._fields = fields

    def _read(self, path: Path, size: int) -> Iterator[Block[Pair]]:
        cutter = LineCutter(read_chunks(path, self._meter), str(path), self._on_bad_utf8)
        src, tgt = self._fields
        if src.isdecimal():
            columns = int(src) - 1, int(tgt) - 1
        else:
            header = cutter.take(1).texts() if cutter.reach(1) else [""]
            names = [name.strip() for name in header[0].split("\t")]
            for field in self._fields:
                if field not in names:
                    found = ", ".join(filter(None, names)) or "none"
                    raise DataError(f"{path}, line 1: found the columns {found}; expected one that is called {field}")
            columns = names.index(src), names.index(tgt)
        while lines := cutter.reach(size):
            yield TsvBlock(cutter.take(lines), columns, self._on_bad_record)
