"""Arrow files read where they lie: id sequences are views of the mapped file, never copies."""

from pathlib import Path

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]

from nmt.errors import DataError
from nmt.sequences import FlatSequences


def map_ids(path: Path, name: str) -> FlatSequences:
    """Map a column of ids; its values are the whole file, only starts and lengths take memory.

    Raises:
        DataError: The file is damaged.
    """
    buffer, batches = _open(path)
    return _view(path, buffer, batches, name)


def read_texts(path: Path, name: str) -> list[str]:
    """Read a column of text.

    Raises:
        DataError: The file is damaged.
    """
    _, batches = _open(path)
    return [str(text) for batch in batches for text in batch.column(name)]


def _open(path: Path) -> tuple[pa.Buffer, list[pa.RecordBatch]]:
    try:
        buffer = pa.memory_map(str(path)).read_buffer()
        return buffer, list(pa.ipc.open_stream(buffer))
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path} is damaged: {error}") from error


def _view(path: Path, buffer: pa.Buffer, batches: list[pa.RecordBatch], name: str) -> FlatSequences:
    values = np.frombuffer(buffer, dtype=np.int32, count=buffer.size // 4)
    starts, lengths = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int32)]
    for batch in batches:
        column = batch.column(name)
        offsets = column.offsets.to_numpy()
        # Arrow aligns buffers to 8 bytes within the file, so ids start at whole positions of the int32 view.
        first = (column.values.buffers()[1].address - buffer.address) // 4 + column.values.offset
        if len(column.values) == 0:  # Arrow puts an empty buffer anywhere
            first = 0
        if first < 0 or first + int(offsets[-1]) > len(values):
            raise DataError(f"{path} is damaged: its ids lie outside the file")
        starts.append(first + offsets[:-1].astype(np.int64))
        lengths.append(np.diff(offsets))
    return FlatSequences(values, np.concatenate(starts), np.concatenate(lengths))
