"""Texts in columns of Arrow, sent from process to process as the bytes that they are; Parquet files of them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count, repeat
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from nmt.corpus.base import Block, PairFiles, to_lines
from nmt.corpus.fields import Field, first_line, shown
from nmt.errors import DataError
from nmt.io.compressed import CHUNK
from nmt.io.lines import BYTES_AT_ONCE, DECODING_ERRORS, LONGEST_LINE, OnBadUtf8, Pair, bad_utf8


@dataclass(frozen=True)
class ArrowBlock(Block[Pair]):
    """Rows of a file or a dataset."""

    data: bytes = field(repr=False)
    """A stream of one batch with two columns of text."""
    rows: int
    file: str
    first: int
    """The number of the first row, counted from 1."""
    on_bad_utf8: OnBadUtf8

    def __len__(self) -> int:
        return self.rows

    def records(self) -> list[Pair]:
        """Decode both columns."""
        batch = pa.ipc.open_stream(self.data).read_next_batch()
        columns = map(self._texts, batch.columns)
        pairs = map(Pair, *columns, repeat(self.file), count(self.first))
        return [
            pair
            if max(len(pair.src), len(pair.tgt)) <= LONGEST_LINE
            else pair._replace(src="", tgt="", fault="too_long")
            for pair in pairs
        ]

    def _texts(self, column: Any) -> list[str]:
        """Decode a column; a null is an empty text."""
        try:
            values = column.to_pylist()
        except UnicodeDecodeError:  # Arrow takes text as it comes
            values = [self._decode(value, row) for row, value in enumerate(column.cast(pa.large_binary()).to_pylist())]
        return to_lines([value or "" for value in values], self._where, self.on_bad_utf8)

    def _decode(self, value: bytes | None, row: int) -> str | None:
        try:
            return None if value is None else value.decode("utf-8", DECODING_ERRORS[self.on_bad_utf8])
        except UnicodeDecodeError as error:
            raise bad_utf8(self._where(row), error.start + 1, error.object[error.start]) from error

    def _where(self, row: int) -> str:
        return f"{self.file}, row {self.first + row}"


def find_tree(columns: Any) -> dict[str, Any]:
    """Return the columns of a schema by name; structs hold columns themselves."""
    return {one.name: find_tree(one.type) if pa.types.is_struct(one.type) else one.type for one in columns}


def cut_batch(
    batch: Any, fields: tuple[Field, Field], *, file: str, first: int, on_bad_utf8: OnBadUtf8
) -> Iterator[ArrowBlock]:
    """Put a batch, rows counted from `first`, into a block, or several if texts are very long; no text: a DataError."""
    columns = []
    for names in fields:
        column = batch.column(batch.schema.get_all_field_indices(names[0])[0])
        if len(names) > 1:
            column = pc.struct_field(column, list(names[1:]))
        try:
            column.validate(full=True)  # else texts could be looked for outside the file
        except pa.ArrowInvalid as error:
            if "UTF8" not in str(error):  # bad bytes in them are another matter
                raise DataError(f"{file} is damaged: {first_line(error)}") from error
        kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)):
            raise DataError(f"{file}: the field {'.'.join(map(shown, names))} holds {column.type}, expected text")
        columns.append(column.cast(pa.large_string()))
    texts = pa.record_batch(columns, names=["src", "tgt"])
    parts = 1 + texts.nbytes // BYTES_AT_ONCE
    rows = max(1, -(-len(texts) // parts))
    for start in range(0, len(texts), rows):
        part = texts.slice(start, rows)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, part.schema) as writer:
            writer.write_batch(part)
        yield ArrowBlock(sink.getvalue().to_pybytes(), len(part), file, first + start, on_bad_utf8)


class ParquetFiles(PairFiles):
    """Files of rows; the columns of each say which fields are read. No row group or column is read as a whole."""

    can_be_compressed = False  # the end of a file is read first, and its columns are compressed anyway

    def _read(self, path: Path, size: int) -> Iterator[Block[Pair]]:
        try:
            with path.open("rb") as raw, pq.ParquetFile(raw, pre_buffer=False, buffer_size=CHUNK) as file:
                fields = self._wanted.find(find_tree(file.schema_arrow), str(path))
                columns = [".".join(field) for field in fields]
                before, on_disk, rows = self._meter.bytes, path.stat().st_size, 0
                for batch in file.iter_batches(size, columns=columns, use_threads=False):
                    first = rows + 1
                    rows += len(batch)
                    self._meter.bytes = before + on_disk * rows // max(rows, file.metadata.num_rows)
                    yield from cut_batch(batch, fields, file=str(path), first=first, on_bad_utf8=self._on_bad_utf8)
        except (pa.ArrowException, ValueError, OSError) as error:  # damage may come out as text that is no UTF-8
            if isinstance(error, OSError) and error.strerror is not None:  # else Arrow says that data do not fit
                raise DataError(f"cannot read {path}: {error.strerror}") from error
            raise DataError(f"{path} is a damaged or incomplete .parquet file: {first_line(error)}") from error
