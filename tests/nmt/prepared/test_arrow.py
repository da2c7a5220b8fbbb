from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st

from nmt.errors import DataError
from nmt.io.files import sha256
from nmt.prepared.arrow import Ids, map_ids, read_texts, write_train, write_valid
from nmt.text.sequences import FlatSequences

ROWS = st.lists(st.integers(0, 2**31 - 1), max_size=5)
SIZE = 2**31
PAIRS = st.lists(st.tuples(ROWS, ROWS), max_size=9)


def flat(**columns: list[list[int]]) -> Ids:
    return {name: FlatSequences.from_lists(rows) for name, rows in columns.items()}


def test_training_pairs_are_a_dataset(tmp_path: Path) -> None:
    blocks = [flat(src=[[4, 5], [6]], tgt=[[7], [8, 9]]), flat(src=[[10]], tgt=[[11, 12, 13]])]
    digest = write_train(tmp_path / "a.arrow", ("src", "tgt"), blocks)
    assert Dataset.from_file(str(tmp_path / "a.arrow"))[:] == {
        "src": [[4, 5], [6], [10]],
        "tgt": [[7], [8, 9], [11, 12, 13]],
    }
    assert digest == sha256(tmp_path / "a.arrow")


def test_every_record_batch_but_the_last_has_as_many_rows(tmp_path: Path) -> None:
    rows = [[number] for number in range(11)]
    write_train(tmp_path / "a", ["ids"], [flat(ids=part) for part in (rows[:2], [], rows[2:9], rows[9:])], block=3)
    batches = list(pa.ipc.open_stream((tmp_path / "a").read_bytes()))
    assert [batch.num_rows for batch in batches] == [3, 3, 3, 2]
    assert [row for batch in batches for row in batch.column("ids").to_pylist()] == rows


def test_validation_pairs_are_a_dataset_with_their_text(tmp_path: Path) -> None:
    texts = {"src_text": ["x", "y"], "tgt_text": ["é\u2028", "z"]}
    write_valid(tmp_path / "a.arrow", texts, flat(src=[[4], [5]], tgt=[[6, 7], []]))
    assert Dataset.from_file(str(tmp_path / "a.arrow"))[:] == {
        "src_text": ["x", "y"],
        "tgt_text": ["é\u2028", "z"],
        "src": [[4], [5]],
        "tgt": [[6, 7], []],
    }


def test_a_text_of_no_lines_is_a_dataset_too(tmp_path: Path) -> None:
    write_train(tmp_path / "a.arrow", ["ids"], [])
    assert Dataset.from_file(str(tmp_path / "a.arrow"))[:] == {"ids": []}


@given(pairs=PAIRS)
def test_views_over_several_record_batches_equal_the_lists(
    tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[list[int], list[int]]]
) -> None:
    path = tmp_path_factory.mktemp("views") / "a.arrow"
    columns = flat(src=[src for src, _ in pairs], tgt=[tgt for _, tgt in pairs])
    write_train(path, ("src", "tgt"), [columns], block=3)
    src, tgt = map_ids(path, "src", size=SIZE), map_ids(path, "tgt", size=SIZE)
    assert [(src.row(row), tgt.row(row)) for row in range(len(src))] == pairs
    assert len(tgt) == len(pairs)
    assert src.lengths.tolist() == [len(row) for row, _ in pairs]
    backwards = tgt.take(np.arange(len(tgt))[::-1])
    assert [backwards.row(row) for row in range(len(pairs))] == [row for _, row in reversed(pairs)]


def test_rows_may_be_asked_for_in_any_shape(tmp_path: Path) -> None:
    write_train(tmp_path / "a", ("ids",), [flat(ids=[[4], [5, 6], [], [7, 8, 9]])], block=2)
    assert map_ids(tmp_path / "a", "ids", size=SIZE).take(np.array([[3, 1], [0, 3]])).lengths.tolist() == [
        [3, 2],
        [1, 3],
    ]


@pytest.mark.parametrize("index", [-1, 7])
def test_ids_beyond_the_vocabulary_are_damaged(tmp_path: Path, index: int) -> None:
    write_train(tmp_path / "a", ("ids",), [flat(ids=[[4], [5, index], [6]])])
    mapped = map_ids(tmp_path / "a", "ids", size=7)
    assert len(mapped.take(np.array([0, 2]))) == 2
    with pytest.raises(DataError, match=r"a is damaged: it has ids beyond the 7 pieces of its vocabulary$"):
        mapped.take(np.array([0, 1]))


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    write_train(tmp_path / "a", ("ids",), [flat(ids=[[4]])])
    with pytest.raises(DataError, match=r"a is damaged: it has no column other$"):
        map_ids(tmp_path / "a", "other", size=7)


def test_nothing_is_held_for_each_row(tmp_path: Path) -> None:
    write_train(tmp_path / "a", ("ids",), [flat(ids=[[4, 5]] * 2000)], block=500)
    mapped = map_ids(tmp_path / "a", "ids", size=SIZE)
    assert len(mapped) == 2000
    assert [len(places) for places in (mapped.lasts, mapped.offsets, mapped.ids)] == [4, 4, 4]


@pytest.mark.parametrize("offset", [-1, 5, 2**31 - 1])
def test_a_row_with_a_false_offset_is_damaged(tmp_path: Path, offset: int) -> None:
    write_train(tmp_path / "a", ("ids",), [flat(ids=[[4], [5, 6], [7, 8]])])
    place = map_ids(tmp_path / "a", "ids", size=SIZE).offsets[0] + 1
    numbers = np.fromfile(tmp_path / "a", dtype=np.int32)
    assert numbers[place - 1 : place + 3].tolist() == [0, 1, 3, 5]
    numbers[place] = offset
    numbers.tofile(tmp_path / "a")
    with pytest.raises(DataError, match="a is damaged: its ids lie outside the file"):
        map_ids(tmp_path / "a", "ids", size=SIZE).take(np.array([0, 1]))


def test_the_values_are_the_mapped_file_itself(tmp_path: Path) -> None:
    path = tmp_path / "a.arrow"
    write_train(path, ("src", "tgt"), [flat(src=[[4, 5], [7]], tgt=[[6], [8, 9]])], block=1)
    src, tgt = map_ids(path, "src", size=SIZE), map_ids(path, "tgt", size=SIZE)
    whole = np.fromfile(path, dtype=np.int32)
    assert src.values.tolist() == tgt.values.tolist() == whole.tolist()
    assert not src.values.flags.owndata
    assert not src.values.flags.writeable
    taken = tgt.take(np.array([1]))
    assert (taken.values.dtype, taken.starts.dtype, taken.lengths.dtype) == (np.int32, np.int64, np.int32)
    assert np.shares_memory(taken.values, tgt.values)
    assert whole[taken.starts[0] : taken.starts[0] + 2].tolist() == [8, 9]


def test_a_sliced_list_column_is_read_where_it_starts(tmp_path: Path) -> None:
    lists = pa.array([[1], [2, 3], [4]], pa.list_(pa.int32()))
    batch = pa.record_batch({"src": lists.slice(1), "tgt": lists.slice(0, 2)})
    with pa.OSFile(str(tmp_path / "a"), "wb") as file, pa.ipc.new_stream(file, batch.schema) as writer:
        writer.write_batch(batch)
    src, tgt = map_ids(tmp_path / "a", "src", size=SIZE), map_ids(tmp_path / "a", "tgt", size=SIZE)
    assert [src.row(0), src.row(1)] == [[2, 3], [4]]
    assert [tgt.row(0), tgt.row(1)] == [[1], [2, 3]]


def test_validation_text_is_read_back(tmp_path: Path) -> None:
    write_valid(tmp_path / "a", {"one": ["x\u2028", "y"], "two": ["é", "z"]}, flat(ids=[[4], [5]]))
    assert read_texts(tmp_path / "a", "one") == ["x\u2028", "y"]
    assert read_texts(tmp_path / "a", "two") == ["é", "z"]


def test_a_file_that_is_not_arrow_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"this is no arrow file, but some text")
    with pytest.raises(DataError, match=r"a is damaged: "):
        map_ids(tmp_path / "a", "src", size=SIZE)


def test_compressed_ids_do_not_lie_in_the_file(tmp_path: Path) -> None:
    batch = pa.record_batch({name: pa.array([[1] * 5000], pa.list_(pa.int32())) for name in ("src", "tgt")})
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.OSFile(str(tmp_path / "a"), "wb") as file, pa.ipc.new_stream(file, batch.schema, options=options) as writer:
        writer.write_batch(batch)
    with pytest.raises(DataError, match="a is damaged: its ids lie outside the file"):
        map_ids(tmp_path / "a", "src", size=SIZE)


def test_texts_that_are_not_utf_8_are_damaged(tmp_path: Path) -> None:
    texts = pa.array([b"ok", b"\xff\xfe"], type=pa.binary()).view(pa.utf8())
    batch = pa.record_batch([texts], names=["text"])
    with pa.OSFile(str(tmp_path / "a"), "wb") as sink, pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    with pytest.raises(DataError, match=r"a is damaged: its texts are not UTF-8, or lie outside the file$"):
        read_texts(tmp_path / "a", "text")


@pytest.mark.parametrize("offsets", [[0, 1 << 30, 2], [0, -5, 2], [0, 2, 1]])
def test_texts_outside_the_file_are_not_looked_for(tmp_path: Path, offsets: list[int]) -> None:
    buffers = [None, pa.py_buffer(np.array(offsets, dtype=np.int32)), pa.py_buffer(b"ab")]
    batch = pa.record_batch([pa.Array.from_buffers(pa.string(), 2, buffers)], names=["src"])
    with pa.OSFile(str(tmp_path / "a"), "wb") as file, pa.ipc.new_stream(file, batch.schema) as writer:
        writer.write_batch(batch)
    with pytest.raises(DataError, match=r"a is damaged: its texts are not UTF-8, or lie outside the file$"):
        read_texts(tmp_path / "a", "src")
