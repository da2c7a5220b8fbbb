"""Accepted pairs on disk between two passes over them, so that memory does not hold the corpus."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TypeVar

import pyarrow as pa  # type: ignore[import-untyped]

from nmt.corpus.reading import Pair

T = TypeVar("T")

_SCHEMA = pa.schema(
    {"src": pa.string(), "tgt": pa.string(), "file": pa.dictionary(pa.int32(), pa.string()), "line": pa.int64()}
)


class Spool:
    """Pairs written once and read block by block, as often as needed."""

    def __init__(self, path: Path, *, block: int) -> None:
        self._path = path
        self._block = block

    def write(self, pairs: Iterable[Pair]) -> int:
        """Write all pairs; return how many they are."""
        count = 0
        with pa.OSFile(str(self._path), "wb") as file, pa.ipc.new_stream(file, _SCHEMA) as writer:
            for block in blocks_of(pairs, self._block):
                src, tgt, files, lines = zip(*block, strict=True)
                writer.write_batch(pa.record_batch([src, tgt, pa.array(files).dictionary_encode(), lines], _SCHEMA))
                count += len(block)
        return count

    def blocks(self) -> Iterator[list[Pair]]:
        """Read the pairs in the order in which they were written."""
        with pa.OSFile(str(self._path), "rb") as file:
            for batch in pa.ipc.open_stream(file):
                yield list(map(Pair, *(column.to_pylist() for column in batch.columns)))

    def delete(self) -> None:
        """Remove the pairs from the disk."""
        self._path.unlink()


def blocks_of(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Cut a stream into lists of `size`; the last one may be shorter."""
    stream = iter(items)
    while block := list(islice(stream, size)):
        yield block
