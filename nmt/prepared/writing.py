"""Arrow files of id sequences, written block by block through Hugging Face `datasets`."""

import hashlib
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]

from nmt.sequences import FlatSequences

BLOCK: Final = 10_000
"""Rows of every record batch of the training data but the last: whoever reads them knows where each row is."""

Ids = Mapping[str, FlatSequences]
"""Columns of ids by their names: as many rows in each, which lie end to end."""


class Written(NamedTuple):
    """What has been written."""

    rows: int
    sha256: str


def write_train(path: Path, names: Iterable[str], blocks: Iterable[Ids], *, block: int = BLOCK) -> Written:
    """Write blocks of the id columns `names`, in record batches of `block` rows however many the blocks have."""
    tables = (pa.table(_id_columns(ids)) for ids in blocks)
    return _write(path, [], list(names), _cut(tables, block))


def write_valid(path: Path, texts: Mapping[str, Sequence[str]], ids: Ids) -> Written:
    """Write columns of validation text and of its ids."""
    columns = {name: pa.array(column, pa.string()) for name, column in texts.items()}
    return _write(path, list(texts), list(ids), [pa.table(columns | _id_columns(ids))])


def _id_columns(ids: Ids) -> dict[str, pa.Array]:
    return {name: _list_array(rows) for name, rows in ids.items()}


def _list_array(rows: FlatSequences) -> pa.Array:
    offsets = np.zeros(len(rows) + 1, dtype=np.int32)
    np.cumsum(rows.lengths, out=offsets[1:])
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(rows.values))


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


def _write(path: Path, texts: Sequence[str], ids: Sequence[str], tables: Iterable[pa.Table]) -> Written:
    # Here and not above: they take a second and 100 MB, and the processes that only read this module need neither.
    from datasets import Features, List, Value  # type: ignore[import-untyped]
    from datasets.arrow_writer import ArrowWriter  # type: ignore[import-untyped]

    features = Features(dict.fromkeys(texts, Value("string")) | dict.fromkeys(ids, List(Value("int32"))))
    rows = 0
    with path.open("wb") as file:
        digested = _Digested(file)
        writer = ArrowWriter(stream=digested, features=features, writer_batch_size=BLOCK)
        for table in tables:
            writer.write_table(table)
            rows += len(table)
        writer.finalize(close_stream=False)
    return Written(rows, digested.digest.hexdigest())


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
