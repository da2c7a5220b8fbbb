"""Arrow files of id sequences, written block by block through Hugging Face `datasets`."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
from datasets import Features, List, Value  # type: ignore[import-untyped]
from datasets.arrow_writer import ArrowWriter  # type: ignore[import-untyped]
from numpy.typing import NDArray

_IDS: Final = List(Value("int32"))
_TEXT: Final = Value("string")

BLOCK: Final = 10_000
"""Pairs, or lines, that are worked on and written at a time."""

Rows = list[list[int]]
Ids = Mapping[str, Rows]
"""Columns of ids by their names: as many rows in each."""


def write_train(path: Path, names: Iterable[str], blocks: Iterable[Ids]) -> int:
    """Write blocks of the id columns `names`; return the number of rows."""
    return _write(path, dict.fromkeys(names, _IDS), map(_id_columns, blocks))


def write_valid(path: Path, texts: Mapping[str, Sequence[str]], ids: Ids) -> None:
    """Write columns of validation text and of its ids."""
    columns = {name: pa.array(column, pa.string()) for name, column in texts.items()}
    _write(path, dict.fromkeys(texts, _TEXT) | dict.fromkeys(ids, _IDS), [columns | _id_columns(ids)])


def flatten(rows: Rows) -> NDArray[np.int32]:
    """Lay rows of ids end to end."""
    return np.fromiter(chain.from_iterable(rows), dtype=np.int32, count=sum(map(len, rows)))


def _id_columns(ids: Ids) -> dict[str, pa.Array]:
    return {name: _list_array(rows) for name, rows in ids.items()}


def _list_array(rows: Rows) -> pa.Array:
    offsets = np.zeros(len(rows) + 1, dtype=np.int32)
    np.cumsum([len(row) for row in rows], out=offsets[1:])
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(flatten(rows)))


def _write(path: Path, features: Mapping[str, object], blocks: Iterable[dict[str, pa.Array]]) -> int:
    rows = 0
    with path.open("wb") as file:
        writer = ArrowWriter(stream=file, features=Features(features), writer_batch_size=BLOCK)
        for columns in blocks:
            table = pa.table(columns)
            writer.write_table(table)
            rows += table.num_rows
        writer.finalize(close_stream=False)
    return rows
