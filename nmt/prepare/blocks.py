"""Blocks of records on disk between two stages: memory does not hold the corpus."""

import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, NamedTuple, NewType, Self

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
from numpy.typing import NDArray

from nmt.corpus.base import R
from nmt.corpus.cleaning import Reason
from nmt.corpus.hashes import Hashes, Keys
from nmt.io.shared_work import is_whole
from nmt.prepared.arrow import Ids
from nmt.prepared.statistics import STATISTICS, Statistics
from nmt.text.sequences import FlatSequences

# Records are counted in four ways, each from 0. Those of one block:
Places = NewType("Places", NDArray[np.int64])
"""Where records stand in their block as it was read."""
Rows = NewType("Rows", NDArray[np.int64])
"""Where records stand among those of their block that the first stage accepted: rows of its file."""
# Those of all blocks, from the first to the last:
Fresh = NewType("Fresh", NDArray[np.int64])
"""Where records stand among all that were accepted and are no duplicates."""
Trained = NewType("Trained", NDArray[np.int64])
"""Where records stand among those of them that are not held out either."""

HASHES: Final = "hashes.npy"
KEYS: Final = "keys.npy"
REJECTED: Final = "rejected.json"
REJECTIONS: Final = "rejected.jsonl"
VALUES: Final = "{}.values.npy"
LENGTHS: Final = "{}.lengths.npy"
_RECORDS: Final = "records.arrow"
_ORIGIN: Final = {"file": pa.dictionary(pa.int32(), pa.string()), "line": pa.int64()}
"""The types of the fields that are not text."""
_PLACE: Final = "place"
# One process, one thread: as many processes work as there are cores for.
_WRITING: Final = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
_READING: Final = pa.ipc.IpcReadOptions(use_threads=False)

_SUMMARY: Final = "summary.json"


class Rejection(NamedTuple):
    """A record of a block that is not trained on."""

    place: int
    """One of `Places`."""
    file: str
    line: int
    reason: Reason


@dataclass(frozen=True)
class BlockResult:
    """What a stage has made of a block."""

    folder: Path
    read: int
    """Records of the block."""
    rejected: dict[str, int]
    """How many the stage has rejected, by reason."""

    @classmethod
    def find(cls, folder: Path) -> Self | None:
        """Read what a block has become; None: it has not been through the stage."""
        if not is_whole(folder):
            return None
        return cls(**{**json.loads((folder / _SUMMARY).read_bytes()), "folder": folder})

    def note(self, folder: Path, statistics: Statistics) -> None:
        """Write what `find` reads, and what was noted of the block, to a folder that will be the one of the block."""
        (folder / STATISTICS).write_text(json.dumps(statistics.to_tree()), encoding="utf-8")
        (folder / _SUMMARY).write_text(json.dumps({**asdict(self), "folder": ""}), encoding="utf-8")

    def statistics(self) -> Statistics:
        """Read what was noted of the block."""
        return Statistics.from_tree(json.loads((self.folder / STATISTICS).read_bytes()))


@dataclass(frozen=True)
class Sifted(BlockResult):
    """A block that has been through the first stage."""

    accepted: int
    corpus: int
    """The number of its corpus."""

    def hashes(self) -> Hashes:
        """Return the hashes of the accepted records."""
        hashes: Hashes = np.load(self.folder / HASHES)
        return hashes

    def keys(self, rows: Rows) -> Keys:
        """Read by what overlap of some of the accepted records is found."""
        return Keys.of_sides(*np.load(self.folder / KEYS)[:, rows])

    def records(self, record: type[R], rows: Rows | None = None) -> list[R]:
        """Read the accepted records, or those of some rows."""
        table = self._read()
        if rows is not None:
            table = table.take(rows)
        return list(map(record, *(_to_list(table.column(name)) for name in _stored(record))))

    def texts(self, record: type[R], rows: Rows) -> tuple[list[str], ...]:
        """Read the texts of some of the accepted records: a list of the first ones, and of the second ones of pairs."""
        table = self._read()
        return tuple(_to_list(table.column(name).take(rows)) for name in _stored(record) if name not in _ORIGIN)

    def places(self) -> Places:
        """Read where each accepted record stood in the block."""
        return Places(self._read().column(_PLACE).to_numpy())

    def rejections(self) -> list[Rejection]:
        """Read what was rejected."""
        return [Rejection(*one) for one in json.loads((self.folder / REJECTED).read_bytes())]

    def _read(self) -> pa.RecordBatch:
        with pa.OSFile(str(self.folder / _RECORDS), "rb") as file:
            return pa.ipc.open_file(file, options=_READING).get_batch(0)


@dataclass(frozen=True)
class Encoded(BlockResult):
    """What has become of the accepted records of a block; what the first stage has rejected is not counted again."""

    kept: int
    overlap: dict[str, dict[str, int]]
    """What the kept ones have in common with the text that models are judged by."""

    def ids(self, names: Iterable[str]) -> Ids:
        """Map the id columns."""
        columns = {}
        for name in names:
            lengths = np.load(self.folder / LENGTHS.format(name))
            # An empty file cannot be mapped.
            values = np.load(self.folder / VALUES.format(name), mmap_mode="r" if len(lengths) else None)
            columns[name] = FlatSequences.end_to_end(values, lengths)
        return columns


def write_records(folder: Path, record: type[R], records: Sequence[R], places: Places) -> None:
    """Write the accepted records of a block, none of which has a fault, and where each stood in it."""
    names = _stored(record)
    columns = zip(*map(itemgetter(*range(len(names))), records), strict=True) if records else [() for _ in names]
    arrays = {
        name: pa.array(column, _ORIGIN.get(name, pa.string())) for name, column in zip(names, columns, strict=True)
    }
    batch = pa.record_batch({**arrays, _PLACE: pa.array(places)})
    path = str(folder / _RECORDS)
    with pa.OSFile(path, "wb") as file, pa.ipc.new_file(file, batch.schema, options=_WRITING) as writer:
        writer.write_batch(batch)


def as_npy(array: NDArray[Any]) -> memoryview:
    """Return what `np.save` would write; on a full disk, its own error would not say what is wrong."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getbuffer()


def _stored(record: type[R]) -> list[str]:
    """Name the fields that are written: records with a fault are not accepted."""
    return [name for name in record._fields if name != "fault"]


def _to_list(column: pa.Array) -> list[Any]:
    # By way of numpy: several times as fast as `to_pylist`.
    values: list[Any] = column.to_numpy(zero_copy_only=False).tolist()
    return values
