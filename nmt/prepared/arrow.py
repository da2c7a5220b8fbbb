"""The Arrow files of prepared data: written block by block through `datasets`, read where they lie, never copied."""

import hashlib
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
from numpy.typing import NDArray

from nmt.errors import DataError
from nmt.text.sequences import FlatSequences

BLOCK: Final = 10_000
"""Rows of every record batch of the training data but the last: whoever reads them knows where each row is."""

Ids = Mapping[str, FlatSequences]
"""Columns of ids by their names: as many rows in each, which lie end to end."""


def write_train(path: Path, names: Iterable[str], blocks: Iterable[Ids], *, block: int = BLOCK) -> str:
    """Write blocks of id columns in record batches of `block` rows, however many those have; return its SHA-256."""
    return _write(path, [], list(names), _cut((pa.table(_id_columns(ids)) for ids in blocks), block))


def write_valid(path: Path, texts: Mapping[str, Sequence[str]], ids: Ids) -> None:
    """Write columns of validation text and of its ids."""
    columns = {name: pa.array(column, pa.string()) for name, column in texts.items()}
    _write(path, list(texts), list(ids), [pa.table(columns | _id_columns(ids))])


@dataclass(frozen=True)
class MappedSequences:
    """Id sequences of a mapped file, where their starts stand too: nothing is held but places of its record batches."""

    path: Path
    size: int
    """Pieces of the vocabulary: ids are below it."""
    values: NDArray[np.int32]
    """The whole file."""
    lasts: NDArray[np.int64]
    """Rows up to the end of each record batch, [batches]."""
    offsets: NDArray[np.int64]
    """Where in `values` the offsets of each record batch begin, less the rows before it, [batches]."""
    ids: NDArray[np.int64]
    """Where in `values` that is which its offsets count from, [batches]."""

    def __len__(self) -> int:
        return int(self.lasts[-1]) if len(self.lasts) else 0

    @property
    def lengths(self) -> NDArray[np.int32]:
        """The length of each sequence, [N], read from the whole file."""
        lengths, first = np.empty(len(self), dtype=np.int32), 0
        for last, offset in zip(self.lasts.tolist(), self.offsets.tolist(), strict=True):
            np.subtract(
                self.values[offset + first + 1 : offset + last + 1],
                self.values[offset + first : offset + last],
                out=lengths[first:last],
            )
            first = last
        return lengths

    def take(self, rows: NDArray[np.integer]) -> FlatSequences:
        """Return views of `rows`, in this order; a DataError says that the file is damaged."""
        batch = np.searchsorted(self.lasts, rows, side="right")
        places, ids = self.offsets[batch] + rows, self.ids[batch]
        starts, ends = ids + self.values[places], ids + self.values[places + 1]
        if ((starts < ids) | (ends < starts) | (ends > len(self.values))).any():
            raise _misplaced(self.path)
        found = FlatSequences(self.values, starts, (ends - starts).astype(np.int32))
        pieces = found.flat()
        if pieces.min(initial=0) < 0 or pieces.max(initial=0) >= self.size:
            raise DataError(f"{self.path} is damaged: it has ids beyond the {self.size:,} pieces of its vocabulary")
        return found

    def row(self, index: int) -> list[int]:
        """Return one row as a list of ids."""
        return self.take(np.array([index])).row(0)


def map_ids(path: Path, name: str, *, size: int) -> MappedSequences:
    """Map a column of ids of a vocabulary of `size` pieces; a DataError if the file is damaged."""
    buffer, batches = _open(path)
    values = np.frombuffer(buffer, dtype=np.int32, count=buffer.size // 4)
    lasts, offsets, ids, rows = list[int](), list[int](), list[int](), 0
    for batch in batches:
        if batch.num_rows == 0:  # Arrow puts empty buffers anywhere
            continue
        column = _column(batch, name, path)
        # Arrow aligns buffers to 8 bytes within the file, so numbers start at whole positions of the int32 view.
        offset = (column.buffers()[1].address - buffer.address) // 4 + column.offset
        first = (column.values.buffers()[1].address - buffer.address) // 4 if len(column.values) else 0
        first += column.values.offset
        if offset < 0 or offset + batch.num_rows >= len(values) or first < 0:
            raise _misplaced(path)
        if not 0 <= first + int(values[offset + batch.num_rows]) <= len(values):
            raise _misplaced(path)
        offsets.append(offset - rows)
        ids.append(first)
        rows += batch.num_rows
        lasts.append(rows)
    return MappedSequences(path, size, values, *(np.array(places, dtype=np.int64) for places in (lasts, offsets, ids)))


def read_texts(path: Path, name: str) -> list[str]:
    """Read a column of text; a DataError if the file is damaged."""
    _, batches = _open(path)
    columns = [_column(batch, name, path) for batch in batches]
    try:
        for column in columns:
            column.validate(full=True)  # else texts may be looked for outside the file
        return [str(text) for column in columns for text in column]
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise DataError(f"{path} is damaged: its texts are not UTF-8, or lie outside the file") from error


def _id_columns(ids: Ids) -> dict[str, pa.Array]:
    columns = {}
    for name, rows in ids.items():
        offsets = np.zeros(len(rows) + 1, dtype=np.int32)
        np.cumsum(rows.lengths, out=offsets[1:])
        columns[name] = pa.ListArray.from_arrays(pa.array(offsets), pa.array(rows.values))
    return columns


def _cut(tables: Iterable[pa.Table], size: int) -> Iterator[pa.Table]:
    """Give all rows in tables of `size` rows; the last one may have fewer."""
    waiting: list[pa.Table] = []
    for table in tables:
        rows = pa.concat_tables([*waiting, table])
        whole = len(rows) // size * size
        yield from (rows.slice(start, size) for start in range(0, whole, size))
        waiting = [rows.slice(whole)]
    if waiting and len(waiting[0]):
        yield waiting[0]


def _write(path: Path, texts: Sequence[str], ids: Sequence[str], tables: Iterable[pa.Table]) -> str:
    # Here and not above: they take a second and 100 MB, and the processes that only read this module need neither.
    from datasets import Features, List, Value  # type: ignore[import-untyped]
    from datasets.arrow_writer import ArrowWriter  # type: ignore[import-untyped]

    features = Features(dict.fromkeys(texts, Value("string")) | dict.fromkeys(ids, List(Value("int32"))))
    with path.open("wb") as file:
        digested = _Digested(file)
        writer = ArrowWriter(stream=digested, features=features, writer_batch_size=BLOCK)
        for table in tables:
            writer.write_table(table)
        writer.finalize(close_stream=False)
    return digested.digest.hexdigest()


class _Digested(io.RawIOBase):
    """Computes the SHA-256 of what is written to a file, which need not be read again for it."""

    def __init__(self, file: io.BufferedWriter) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.digest.update(data)
        return self._file.write(data)

    def tell(self) -> int:
        return self._file.tell()


def _open(path: Path) -> tuple[pa.Buffer, list[pa.RecordBatch]]:
    try:
        buffer = pa.memory_map(str(path)).read_buffer()
        return buffer, list(pa.ipc.open_stream(buffer))
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path} is damaged: {error}") from error


def _column(batch: pa.RecordBatch, name: str, path: Path) -> Any:
    if name not in batch.schema.names:
        raise DataError(f"{path} is damaged: it has no column {name}")
    return batch.column(name)


def _misplaced(path: Path) -> DataError:
    return DataError(f"{path} is damaged: its ids lie outside the file")
