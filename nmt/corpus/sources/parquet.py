"""Parquet files, read batch by batch."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from nmt.corpus.reading import Pair
from nmt.corpus.sources.arrow import cut_batch, find_tree
from nmt.corpus.sources.blocks import Block, PairFiles
from nmt.corpus.sources.compressed import CHUNK
from nmt.corpus.sources.fields import first_line
from nmt.errors import DataError


class ParquetFiles(PairFiles):
    """Files of rows; the columns of each say which fields are read. No row group or column is read as a whole."""

    can_be_compressed = False  # the end of a file is read first, and its columns are compressed anyway

    def _read(self, path: Path, size: int) -> Iterator[Block[Pair]]:
        with _naming(path), path.open("rb") as raw, pq.ParquetFile(raw, pre_buffer=False, buffer_size=CHUNK) as file:
            fields = self._wanted.find(find_tree(file.schema_arrow), str(path))
            columns = [".".join(field) for field in fields]
            before, on_disk, rows = self._meter.bytes, path.stat().st_size, 0
            for batch in file.iter_batches(size, columns=columns, use_threads=False):
                first = rows + 1
                rows += len(batch)
                self._meter.bytes = before + on_disk * rows // max(rows, file.metadata.num_rows)
                yield from cut_batch(batch, fields, file=str(path), first=first, on_bad_utf8=self._on_bad_utf8)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Turn the errors of reading into one that names the file."""
    try:
        yield
    except (pa.ArrowException, ValueError) as error:  # damage may come out as text that is no UTF-8
        raise DataError(f"{path} is a damaged or incomplete .parquet file: {first_line(error)}") from error
    except OSError as error:
        if error.strerror is None:  # how Arrow says that data do not fit together
            raise DataError(f"{path} is a damaged or incomplete .parquet file: {first_line(error)}") from error
        raise DataError(f"cannot read {path}: {error.strerror}") from error
