"""Lines of JSON, each an object that holds a source and its translation."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, repeat
from json import JSONDecodeError, JSONDecoder
from pathlib import Path
from typing import Any, Final

from nmt.corpus.base import Block, LinesBlock, PairFiles, to_lines
from nmt.corpus.fields import Field, describe, shown
from nmt.errors import DataError
from nmt.io.compressed import read_chunks
from nmt.io.lines import SKIP_HINT, Fault, LineCutter, OnBadRecord, Pair

# Numbers are of no use here, and long ones take Python very long.
_DECODER: Final = JSONDecoder(parse_int=float)
_KINDS: Final = {dict: "an object", list: "a list", float: "a number", bool: "true or false", type(None): "null"}


@dataclass(frozen=True)
class JsonBlock(LinesBlock[Pair]):
    """Lines of objects; a blank one is a pair with empty sides, and null is an empty text."""

    src: Field
    tgt: Field
    on_bad_record: OnBadRecord = "error"
    """What a line leads to that holds no such fields of text."""

    def records(self) -> list[Pair]:
        """Decode the lines."""
        lines = self.raw.decode().removesuffix("\n").split("\n")
        rows = [self._texts(line, row) for row, line in enumerate(lines)]
        texts = zip(*(row or ("", "") for row in rows), strict=True)
        sides = (to_lines(side, self._where, self.raw.on_bad_utf8) for side in texts)
        pairs = list(map(Pair, *sides, repeat(self.raw.file), count(self.raw.first)))
        faults: dict[int, Fault] = {number: "broken" for number, row in enumerate(rows) if row is None}
        for number, fault in (faults | dict.fromkeys(self.raw.too_long, "too_long")).items():
            pairs[number] = pairs[number]._replace(fault=fault)
        return pairs

    def _texts(self, line: str, row: int) -> tuple[str, str] | None:
        """Return both texts of a line; None: it is left out."""
        if not line or line.isspace():
            return "", ""
        try:
            tree = _DECODER.decode(line)
            src, tgt = _take(tree, self.src), _take(tree, self.tgt)
        except (JSONDecodeError, RecursionError, LookupError, TypeError):
            tree = src = tgt = None
        # Before a line has the fields, a text would be taken for both of them.
        if isinstance(src, str) and isinstance(tgt, str) and not isinstance(tree, str):
            return src, tgt
        if self.on_bad_record == "skip":
            return None
        raise self._error(line, self._where(row))

    def _error(self, line: str, where: str) -> DataError:
        """Say what is wrong with a line."""
        tree = read_object(line, where)
        for field in (self.src, self.tgt):
            name = ".".join(map(shown, field))
            try:
                value = _take(tree, field)
            except (LookupError, TypeError):
                return DataError(f"{where}: {describe(tree)}; expected {name}, as in the first line{SKIP_HINT}")
            if not isinstance(value, str):
                return DataError(f"{where}: the field {name} holds {_kind(value)}, expected text{SKIP_HINT}")
        raise AssertionError(line)

    def _where(self, row: int) -> str:
        return f"{self.raw.file}, line {self.raw.first + row}"


class JsonFiles(PairFiles):
    """Files of JSON lines; the first line of each that is not blank, or not left out, says which fields are read."""

    def _read(self, path: Path, size: int) -> Iterator[Block[Pair]]:
        cutter = LineCutter(read_chunks(path, self._meter), str(path), self._on_bad_utf8)
        fields: tuple[Field, Field] | None = None
        failure: DataError | None = None
        while lines := cutter.reach(size):
            raw = cutter.take(lines)
            if fields is None:
                for number, line in enumerate(raw.decode().split("\n"), start=raw.first):
                    if line and not line.isspace():
                        where = f"{path}, line {number}"
                        try:
                            fields = self._wanted.find(read_object(line, where), where)
                            break
                        except DataError as error:
                            if self._on_bad_record == "error":
                                raise
                            failure = failure or error
            yield JsonBlock(raw, *(fields or ((), ())), self._on_bad_record)
        if fields is None and failure:
            raise failure


def read_object(line: str, where: str) -> dict[str, Any]:
    """Read a line that has to be a JSON object; `where` is what a DataError calls it."""
    try:
        tree = _DECODER.decode(line)
    except JSONDecodeError as error:
        raise DataError(f"{where}: found no JSON at character {error.pos + 1}: {error.msg}{SKIP_HINT}") from error
    except RecursionError as error:
        raise DataError(f"{where}: found JSON that is nested too deeply{SKIP_HINT}") from error
    if not isinstance(tree, dict):
        raise DataError(f"{where}: found {_kind(tree)}, expected an object with a source and a target{SKIP_HINT}")
    return tree


def _take(tree: Any, field: Field) -> Any:
    """Take a field; null, there or above it, is an empty text."""
    for name in field:
        if tree is None:
            break
        tree = tree[name]
    return "" if tree is None else tree


def _kind(value: Any) -> str:
    return _KINDS.get(type(value), "text")
