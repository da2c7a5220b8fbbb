"""Accepted pairs, or lines, on disk between two passes over them, so that memory does not hold the corpus."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final, Generic, TypeVar

import pyarrow as pa  # type: ignore[import-untyped]

from nmt.corpus.reading import Line, Pair

T = TypeVar("T")
R = TypeVar("R", Pair, Line)

_ORIGIN: Final = {"file": pa.dictionary(pa.int32(), pa.string()), "line": pa.int64()}
"""The types of the fields that are not text."""


class Spool(Generic[R]):
    """Records written once and read block by block, as often as needed."""

    def __init__(self, path: Path, record: type[R], *, block: int) -> None:
        self._path = path
        self._record: type[R] = record
        self._schema = pa.schema([(name, _ORIGIN.get(name, pa.string())) for name in record._fields])
        self._block = block

    def write(self, records: Iterable[R]) -> int:
        """Write all records; return how many they are."""
        count = 0
        with pa.OSFile(str(self._path), "wb") as file, pa.ipc.new_stream(file, self._schema) as writer:
            for block in blocks_of(records, self._block):
                columns = zip(zip(*block, strict=True), self._schema.types, strict=True)
                writer.write_batch(pa.record_batch([pa.array(column, kind) for column, kind in columns], self._schema))
                count += len(block)
        return count

    def blocks(self) -> Iterator[list[R]]:
        """Read the records in the order in which they were written."""
        with pa.OSFile(str(self._path), "rb") as file:
            for batch in pa.ipc.open_stream(file):
                yield list(map(self._record, *(column.to_pylist() for column in batch.columns)))

    def delete(self) -> None:
        """Remove the records from the disk."""
        self._path.unlink()


def blocks_of(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Cut a stream into lists of `size`; the last one may be shorter."""
    stream = iter(items)
    while block := list(islice(stream, size)):
        yield block
