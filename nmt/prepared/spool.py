"""Blocks of records on disk between two stages, so that memory does not hold the corpus."""

import io
from collections.abc import Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
from numpy.typing import NDArray

from nmt.corpus.cleaning import Reason
from nmt.corpus.reading import Line, Pair

R = TypeVar("R", Pair, Line)

Rows = NDArray[np.int64]


class Rejection(NamedTuple):
    """A record of a block that is not trained on."""

    position: int
    """Where it stood in the block."""
    file: str
    line: int
    reason: Reason


_ORIGIN: Final = {"file": pa.dictionary(pa.int32(), pa.string()), "line": pa.int64()}
"""The types of the fields that are not text."""
_POSITION: Final = "position"
# One process, one thread: as many processes work as there are cores for.
_WRITING: Final = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
_READING: Final = pa.ipc.IpcReadOptions(use_threads=False)


def read_records(path: Path, record: type[R], rows: Rows | None = None) -> list[R]:
    """Read the records of a block, or those of some rows."""
    table = _read(path)
    if rows is not None:
        table = table.take(rows)
    return list(map(record, *(_to_list(table.column(name)) for name in _stored(record))))


def read_texts(path: Path, record: type[R], rows: Rows) -> tuple[list[str], ...]:
    """Read the texts of the records of some rows: a list of the first ones, and of the second ones if there are two."""
    table = _read(path)
    names = [name for name in _stored(record) if name not in _ORIGIN]
    return tuple(_to_list(table.column(name).take(rows)) for name in names)


def read_positions(path: Path) -> Rows:
    """Read where each record stood in its block."""
    positions: Rows = _read(path).column(_POSITION).to_numpy()
    return positions


def write_records(path: Path, record: type[R], records: Sequence[R], positions: Rows) -> None:
    """Write records of a block, none of which has a fault, and where each stood in it."""
    names = _stored(record)
    columns = zip(*map(itemgetter(*range(len(names))), records), strict=True) if records else [() for _ in names]
    arrays = {
        name: pa.array(column, _ORIGIN.get(name, pa.string())) for name, column in zip(names, columns, strict=True)
    }
    _write(path, {**arrays, _POSITION: pa.array(positions)})


def write_rejections(path: Path, rejections: Sequence[Rejection]) -> None:
    """Write why records of a block were rejected."""
    columns = zip(*rejections, strict=True) if rejections else [() for _ in Rejection._fields]
    kinds = (pa.int64(), _ORIGIN["file"], _ORIGIN["line"], _ORIGIN["file"])
    _write(
        path,
        {name: pa.array(column, kind) for name, column, kind in zip(Rejection._fields, columns, kinds, strict=True)},
    )


def read_rejections(path: Path) -> list[Rejection]:
    """Read why records of a block were rejected."""
    table = _read(path)
    return list(map(Rejection, *(_to_list(table.column(name)) for name in Rejection._fields)))


def as_npy(array: NDArray[Any]) -> memoryview:
    """Return what `np.save` would write; on a full disk, its own error would not say what is wrong."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getbuffer()


def _stored(record: type[R]) -> list[str]:
    """Name the fields that are written: records with a fault are not accepted."""
    return [name for name in record._fields if name != "fault"]


def _write(path: Path, columns: dict[str, pa.Array]) -> None:
    batch = pa.record_batch(columns)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, batch.schema, options=_WRITING) as writer:
        writer.write_batch(batch)


def _read(path: Path) -> pa.RecordBatch:
    with pa.OSFile(str(path), "rb") as file:
        return pa.ipc.open_file(file, options=_READING).get_batch(0)


def _to_list(column: pa.Array) -> list[Any]:
    # By way of numpy: several times as fast as `to_pylist`.
    values: list[Any] = column.to_numpy(zero_copy_only=False).tolist()
    return values
