"""Plain text: pairs of files that match line by line, lines of columns between tabs, and text in one language."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, repeat
from pathlib import Path
from typing import Final

from nmt.corpus import FORMATS
from nmt.corpus.base import Block, FileSource, PairFiles, PairSource
from nmt.corpus.fields import GUESS, Wanted
from nmt.errors import ConfigError, DataError, counted
from nmt.io.compressed import COMPRESSIONS, Meter, read_chunks, split_suffix
from nmt.io.lines import BOM, SKIP_HINT, Fault, Line, LineCutter, Lines, OnBadRecord, OnBadUtf8, Pair, unequal

_SAVE: Final = "save it as plain text in UTF-8, one sentence a line"
_TAKE_OUT: Final = "take its text out first, one sentence a line: all that is around it would be taken for text"
_CORPUS: Final = f"as a corpus, nmt prepare --corpus reads it; else {_TAKE_OUT}"
_NAME: Final = f"its name has to end in one of {' '.join(COMPRESSIONS)}"

_SUFFIXES: Final = {
    **dict.fromkeys((".doc", ".docx", ".odt", ".rtf", ".pdf", ".xls", ".xlsx", ".ods", ".pptx", ".epub"), _SAVE),
    **dict.fromkeys((".srt", ".vtt", ".ass", ".xlf", ".xliff", ".pot"), _TAKE_OUT),
}
"""What to do with files of these names."""

_BEGINNINGS: Final = (
    (b"PK\x03\x04", "a zip archive, as office documents are", _SAVE),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an office document", _SAVE),
    (b"%PDF-", "a PDF", _SAVE),
    (b"{\\rtf", "a document in RTF", _SAVE),
    (b"PAR1", "a Parquet file", _CORPUS),
    (b"\x1f\x8b", "compressed", _NAME),
    (b"BZh", "compressed", _NAME),
    (b"\xfd7zXZ\x00", "compressed", _NAME),
    (b"\x28\xb5\x2f\xfd", "compressed", _NAME),
)
"""How files begin that are no text, what they are, and what to do with them."""


_MARKUP_SUFFIXES: Final = frozenset((".html", ".htm", ".xhtml", ".xml"))
_MARKUP: Final = re.compile(r"\s*<(?:!doctype\s+html\b|html[\s>]|\?xml\s)", re.IGNORECASE)
_LOOKED_AT: Final = 512  # bytes: a page may begin with blank lines


def refuse_documents(path: Path) -> None:
    """Refuse a file that is to be read as plain text, one sentence a line, but is a document of another kind.

    Raises:
        DataError: Its name or its first bytes say so.
    """
    suffix, compression = split_suffix(path)
    # a table is text, as far as anyone can tell
    if what_to_do := _SUFFIXES.get(suffix) or (_CORPUS if suffix in FORMATS and suffix != ".tsv" else None):
        raise DataError(f"{path} is not plain text, by its name: {what_to_do}")
    if compression or not path.is_file():  # what a pipe has given is gone
        return
    with path.open("rb") as file:
        first = file.read(8)
    for beginning, what, what_to_do in _BEGINNINGS:
        if first.startswith(beginning):
            raise DataError(f"{path} is not plain text, but {what}: {what_to_do}")


def refuse_markup(path: Path, what_to_do: str = _TAKE_OUT) -> None:
    """Refuse a file of HTML or XML that is to be read as plain text.

    Raises:
        DataError: Its name or its first line says so; it ends with what to do.
    """
    suffix, compression = split_suffix(path)
    if suffix in _MARKUP_SUFFIXES:
        raise DataError(f"{path} is not plain text, by its name: {what_to_do}")
    if compression or not path.is_file():
        return
    with path.open("rb") as file:
        first = file.read(_LOOKED_AT)
    if begins_markup(first.removeprefix(BOM).decode("utf-8", "replace")):
        raise DataError(f"{path} is not plain text, but HTML or XML: {what_to_do}")


def begins_markup(text: str) -> bool:
    """Tell whether a page of HTML or XML begins so."""
    return _MARKUP.match(text) is not None


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
        refuse_documents(path)
        refuse_markup(path)
        cutter = LineCutter(read_chunks(path, self._meter), str(path), self._on_bad_utf8)
        while lines := cutter.reach(size):
            yield LineBlock(cutter.take(lines))


def _names(paths: Sequence[Path]) -> str:
    return ", ".join(map(str, paths)) or "none"


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
        cutter = LineCutter(read_chunks(path, self._meter), str(path), self._on_bad_utf8)
        src, tgt = self._fields
        columns = (int(src) - 1, int(tgt) - 1) if src.isdecimal() else self._read_header(cutter, path)
        while lines := cutter.reach(size):
            yield TsvBlock(cutter.take(lines), columns, self._on_bad_record)

    def _read_header(self, cutter: LineCutter, path: Path) -> tuple[int, int]:
        header = cutter.take(1).texts() if cutter.reach(1) else [""]
        names = [name.strip() for name in header[0].split("\t")]
        for field in self._fields:
            if field not in names:
                found = ", ".join(filter(None, names)) or "none"
                raise DataError(f"{path}, line 1: found the columns {found}; expected one that is called {field}")
        return names.index(self._fields[0]), names.index(self._fields[1])
