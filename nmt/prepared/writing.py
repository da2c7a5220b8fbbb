"""Arrow files of id sequences, written block by block through Hugging Face `datasets`."""

from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
from datasets import Features, List, Value  # type: ignore[import-untyped]
from datasets.arrow_writer import ArrowWriter  # type: ignore[import-untyped]
from numpy.typing import NDArray

BLOCK: Final = 10_000
"""Pairs that are worked on and written at a time."""

_IDS: Final = {"src": List(Value("int32")), "tgt": List(Value("int32"))}
_TEXTS: Final = {"src_text": Value("string"), "tgt_text": Value("string")}

Rows = list[list[int]]


def write_train(path: Path, blocks: Iterable[tuple[Rows, Rows]]) -> int:
    """Write blocks of source and target ids; return the number of pairs."""
    return _write(path, Features(_IDS), (_id_columns(src, tgt) for src, tgt in blocks))


def write_valid(path: Path, texts: Sequence[tuple[str, str]], src: Rows, tgt: Rows) -> None:
    """Write validation pairs, as text and as ids."""
    src_texts, tgt_texts = zip(*texts, strict=True)
    columns = {"src_text": pa.array(src_texts), "tgt_text": pa.array(tgt_texts), **_id_columns(src, tgt)}
    _write(path, Features({**_TEXTS, **_IDS}), [columns])


def flatten(rows: Rows) -> NDArray[np.int32]:
    """Lay rows of ids end to end."""
    return np.fromiter(chain.from_iterable(rows), dtype=np.int32, count=sum(map(len, rows)))


def _id_columns(src: Rows, tgt: Rows) -> dict[str, pa.Array]:
    return {"src": _list_array(src), "tgt": _list_array(tgt)}


def _list_array(rows: Rows) -> pa.Array:
    offsets = np.zeros(len(rows) + 1, dtype=np.int32)
    np.cumsum([len(row) for row in rows], out=offsets[1:])
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(flatten(rows)))


def _write(path: Path, features: Features, blocks: Iterable[dict[str, pa.Array]]) -> int:
    pairs = 0
    with path.open("wb") as file:
        writer = ArrowWriter(stream=file, features=features, writer_batch_size=BLOCK)
        for columns in blocks:
            table = pa.table(columns)
            writer.write_table(table)
            pairs += table.num_rows
        writer.finalize(close_stream=False)
    return pairs
