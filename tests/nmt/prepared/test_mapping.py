from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmt.errors import DataError
from nmt.prepared.mapping import map_ids, read_texts
from nmt.prepared.writing import write_train, write_valid

ROWS = st.lists(st.integers(0, 2**31 - 1), max_size=5)
BLOCKS = st.lists(st.lists(st.tuples(ROWS, ROWS), max_size=6), max_size=4)


@given(blocks=BLOCKS)
def test_views_over_several_record_batches_equal_the_lists(
    tmp_path_factory: pytest.TempPathFactory, blocks: list[list[tuple[list[int], list[int]]]]
) -> None:
    path = tmp_path_factory.mktemp("views") / "a.arrow"
    columns = ({"src": [src for src, _ in block], "tgt": [tgt for _, tgt in block]} for block in blocks)
    write_train(path, ("src", "tgt"), columns)
    src, tgt = map_ids(path, "src"), map_ids(path, "tgt")
    pairs = [pair for block in blocks for pair in block]
    assert [(src.row(row), tgt.row(row)) for row in range(len(src))] == pairs
    assert len(tgt) == len(pairs)


def test_the_values_are_the_mapped_file_itself(tmp_path: Path) -> None:
    path = tmp_path / "a.arrow"
    write_train(path, ("src", "tgt"), [{"src": [[4, 5]], "tgt": [[6]]}, {"src": [[7]], "tgt": [[8, 9]]}])
    src, tgt = map_ids(path, "src"), map_ids(path, "tgt")
    whole = np.fromfile(path, dtype=np.int32)
    assert src.values.tolist() == tgt.values.tolist() == whole.tolist()
    assert not src.values.flags.owndata
    assert not src.values.flags.writeable
    assert (src.values.dtype, src.starts.dtype, src.lengths.dtype) == (np.int32, np.int64, np.int32)
    assert whole[tgt.starts[1] : tgt.starts[1] + 2].tolist() == [8, 9]


def test_a_sliced_list_column_is_read_where_it_starts(tmp_path: Path) -> None:
    lists = pa.array([[1], [2, 3], [4]], pa.list_(pa.int32()))
    batch = pa.record_batch({"src": lists.slice(1), "tgt": lists.slice(0, 2)})
    with pa.OSFile(str(tmp_path / "a"), "wb") as file, pa.ipc.new_stream(file, batch.schema) as writer:
        writer.write_batch(batch)
    src, tgt = map_ids(tmp_path / "a", "src"), map_ids(tmp_path / "a", "tgt")
    assert [src.row(0), src.row(1)] == [[2, 3], [4]]
    assert [tgt.row(0), tgt.row(1)] == [[1], [2, 3]]


def test_validation_text_is_read_back(tmp_path: Path) -> None:
    write_valid(tmp_path / "a", {"one": ["x\u2028", "y"], "two": ["é", "z"]}, {"ids": [[4], [5]]})
    assert read_texts(tmp_path / "a", "one") == ["x\u2028", "y"]
    assert read_texts(tmp_path / "a", "two") == ["é", "z"]


def test_a_file_that_is_not_arrow_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"this is no arrow file, but some text")
    with pytest.raises(DataError, match=r"a is damaged: "):
        map_ids(tmp_path / "a", "src")


def test_compressed_ids_do_not_lie_in_the_file(tmp_path: Path) -> None:
    batch = pa.record_batch({name: pa.array([[1] * 5000], pa.list_(pa.int32())) for name in ("src", "tgt")})
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.OSFile(str(tmp_path / "a"), "wb") as file, pa.ipc.new_stream(file, batch.schema, options=options) as writer:
        writer.write_batch(batch)
    with pytest.raises(DataError, match="a is damaged: its ids lie outside the file"):
        map_ids(tmp_path / "a", "src")
