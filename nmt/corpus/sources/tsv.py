"""Lines of columns between tabs, two of which are the source and its translation."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, repeat
from pathlib import Path

from nmt.corpus.reading import SKIP_HINT, Fault, OnBadRecord, OnBadUtf8, Pair
from nmt.corpus.sources.blocks import Block, PairFiles
from nmt.corpus.sources.compressed import read_chunks
from nmt.corpus.sources.cutting import LineCutter
from nmt.corpus.sources.decoding import Lines
from nmt.corpus.sources.fields import GUESS, Wanted
from nmt.errors import ConfigError, DataError
from nmt.wording import counted


@dataclass(frozen=True)
class TsvBlock(Block[Pair]):
    """Lines of a file; a blank one is a pair with empty sides."""

    raw: Lines
    columns: tuple[int, int]
    """Those of source and target, counted from 0."""
    on_bad_record: OnBadRecord = "error"
    """What a line of too few columns leads to."""

    def __len__(self) -> int:
        return len(self.raw)

    def records(self) -> list[Pair]:
        """Split the lines at tabs."""
        src, tgt = self.columns
        enough = max(src, tgt) + 1
        rows = [line.split("\t", enough) for line in self.raw.composed()]
        faults: dict[int, Fault] = dict.fromkeys(self.raw.too_long, "too_long")
        for number, row in enumerate(rows):
            if len(row) < enough:
                if any(map(str.strip, row)):
                    if self.on_bad_record == "error":
                        raise self._too_few(len(row), enough, self.raw.first + number)
                    faults[number] = "broken"
                row[:] = [""] * enough
        texts = ((row[src].strip() for row in rows), (row[tgt].strip() for row in rows))
        pairs = list(map(Pair, *texts, repeat(self.raw.file), count(self.raw.first)))
        for number, fault in faults.items():
            pairs[number] = pairs[number]._replace(fault=fault)
        return pairs

    def _too_few(self, found: int, expected: int, line: int) -> DataError:
        what = "source <tab> target" if self.columns == (0, 1) else f"source in {self.columns[0] + 1}, target in "
        if self.columns != (0, 1):
            what += str(self.columns[1] + 1)
        return DataError(
            f"{self.raw.file}, line {line}: found {counted(found, 'column')}, expected {expected}: {what}{SKIP_HINT}"
        )


class TsvFiles(PairFiles):
    """Files of source <tab> target lines; further columns are left aside."""

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

        A field is a column: its number, counted from 1, or what the first line of each file calls it; that line is no
        pair then.
        """
        super().__init__(files, on_bad_utf8, wanted, name=name, on_bad_record=on_bad_record)
        fields = (wanted.src_field or "1", wanted.tgt_field or "2")
        if any(not field.strip("0") or field.isdecimal() != fields[0].isdecimal() for field in fields):
            raise ConfigError(
                f"{name}: src_field is {fields[0]!r} and tgt_field {fields[1]!r}; for a .tsv file give the numbers of "
                "both columns, counted from 1, or the names that its first line gives to both"
            )
        self._fields = fields

    def _read(self, path: Path, size: int) -> Iterator[Block[Pair]]:
        cutter = LineCutter(read_chunks(path, self._meter))
        src, tgt = self._fields
        columns = (int(src) - 1, int(tgt) - 1) if src.isdecimal() else self._read_header(cutter, path)
        while lines := cutter.reach(size):
            yield TsvBlock(Lines.take(cutter, lines, str(path), self._on_bad_utf8), columns, self._on_bad_record)

    def _read_header(self, cutter: LineCutter, path: Path) -> tuple[int, int]:
        header = Lines.take(cutter, 1, str(path), self._on_bad_utf8).texts() if cutter.reach(1) else [""]
        names = [name.strip() for name in header[0].split("\t")]
        for field in self._fields:
            if field not in names:
                found = ", ".join(filter(None, names)) or "none"
                raise DataError(f"{path}, line 1: found the columns {found}; expected one that is called {field}")
        return names.index(self._fields[0]), names.index(self._fields[1])
