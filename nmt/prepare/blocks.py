"""Blocks of records on disk between two stages, and the folder of such work, which outlives a kill.

Memory does not hold the corpus, and the next run goes on where this one stopped.
"""

import errno
import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, NamedTuple, NewType, Self

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
from filelock import lock_descriptor
from numpy.typing import NDArray
from xxhash import xxh3_64_hexdigest

from nmt.corpus.base import R
from nmt.corpus.cleaning import Reason
from nmt.corpus.hashes import Hashes, Keys
from nmt.errors import ConfigError, DataError, ModelError
from nmt.io.files import temporary_beside
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

_OLD: Final = "old"
"""What is replaced, for the moment between two renames."""
_SUMS: Final = "sums.json"
"""The hashes of the other files of a folder."""
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


def work_folder(target: Path) -> Path:
    """Return the folder of what has been done towards `target`, a hidden neighbour of a fixed name."""
    target = target.resolve()
    return target.with_name(f".{target.name}.work")


@contextmanager
def locked(target: Path) -> Iterator[Path]:
    """Give the work folder of `target` to one process at a time; for any other, that is a `DataError`."""
    target = target.resolve()
    home = work_folder(target)
    new = [parent for parent in target.parents if not parent.exists()]
    target.parent.mkdir(parents=True, exist_ok=True)
    lock = _lock(home, target)
    try:
        _put_back(target)
        yield home
    finally:
        with suppress(OSError):  # something in one of them is to be kept
            for folder in (home, *new):
                folder.rmdir()
        os.close(lock)


@contextmanager
def keyed(home: Path, key: Any) -> Iterator[Path]:
    """Give the folder for work that `key`, for JSON, tells from other work; what a run with that key has left is in it.

    It goes when the block ends well, or by an error that the same run would end by again. Work of other keys goes at
    once.
    """
    folder = home / _name(key)
    for other in home.iterdir():
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)  # a worker of the run that was killed may still be at it
    if folder.is_symlink():
        folder.unlink()
    folder.mkdir(exist_ok=True)
    try:
        yield folder
    except (ConfigError, DataError, ModelError):
        shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(folder)


@contextmanager
def whole(folder: Path) -> Iterator[Path]:
    """Give a temporary neighbour of `folder` to fill, which becomes it when the block ends well.

    A worker whose run was killed may still be writing the same folder, with the same in it: whoever comes first wins.
    So what others have left under names of their own stays until all work goes.
    """
    temporary = temporary_beside(folder)
    temporary.mkdir()
    try:
        yield temporary
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    (temporary / _SUMS).write_text(json.dumps(_sums(temporary)), encoding="utf-8")
    try:
        temporary.replace(folder)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        shutil.rmtree(temporary)


def is_whole(folder: Path) -> bool:
    """Whether `whole` has made a folder, and its files are as they were then; where they are not, it is removed.

    They are not after a power failure, which may take what has not reached the disk, but not the rename.
    """
    if not folder.is_dir():
        return False
    with suppress(FileNotFoundError, ValueError):
        if json.loads((folder / _SUMS).read_bytes()) == _sums(folder):
            return True
    shutil.rmtree(folder)
    return False


def put_in_place(folder: Path, target: Path) -> None:
    """Move a folder of the work folder to `target`; what was there goes.

    A kill in between leaves the one or the other, at the latest when the work folder is asked for again.
    """
    target = target.resolve()
    old = work_folder(target) / _OLD
    if target.is_dir() and any(target.iterdir()):
        target.replace(old)
    try:
        folder.replace(target)
    except BaseException:
        _put_back(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def recover(target: Path) -> None:
    """Finish or undo a replacement that was killed between its two renames, unless another process is at `target`."""
    if (work_folder(target) / _OLD).exists():
        with locked(target):
            pass


def forget(target: Path, key: Any) -> None:
    """Remove what a run that was killed after its last step has left, unless another process is at `target`."""
    if (work_folder(target) / _name(key)).exists():
        with locked(target) as home, keyed(home, key):
            pass


def _sums(folder: Path) -> dict[str, str]:
    return {path.name: xxh3_64_hexdigest(path.read_bytes()) for path in folder.iterdir() if path.name != _SUMS}


def _name(key: Any) -> str:
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]


def _lock(home: Path, target: Path) -> int:
    while True:
        home.mkdir(exist_ok=True)
        try:
            lock = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except FileNotFoundError:  # another run has just removed it
            continue
        except NotADirectoryError as error:
            raise DataError(f"{home} is a link, expected a folder or nothing: remove it") from error
        if not lock_descriptor(lock, blocking=False):  # it ends with the process, however that ends
            os.close(lock)
            raise DataError(f"another process is preparing {target}; wait for it, or stop it, or choose another folder")
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(lock), home.lstat()):
                return lock
        os.close(lock)


def _put_back(target: Path) -> None:
    """Undo the first of the two renames of a replacement, or finish what follows the second one."""
    old = work_folder(target) / _OLD
    if old.exists() and not target.exists():
        old.replace(target)
    shutil.rmtree(old, ignore_errors=True)
