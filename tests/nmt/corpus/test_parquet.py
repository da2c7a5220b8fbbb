import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nmt.corpus import parquet
from nmt.corpus.fields import Wanted
from nmt.corpus.parquet import ArrowBlock, ParquetFiles, cut_batch, find_tree
from nmt.errors import DataError
from nmt.io.lines import OnBadUtf8, Pair

LANGUAGES = Wanted(src_lang="en", tgt_lang="fr")


def source(*paths: Path, wanted: Wanted = LANGUAGES) -> ParquetFiles:
    return ParquetFiles(paths, "error", wanted, name="corpus")


@pytest.fixture
def nested(tmp_path: Path) -> Path:
    """Seven rows in row groups of three."""
    path = tmp_path / "a.parquet"
    rows = [{"en": f"a{number}", "fr": f"b{number}"} for number in range(7)]
    pq.write_table(pa.table({"id": range(7), "translation": rows}), path, row_group_size=3)
    return path


def test_rows_of_nested_columns_are_read_across_row_groups(nested: Path) -> None:
    assert list(source(nested).records()) == [
        Pair(f"a{number}", f"b{number}", str(nested), number + 1) for number in range(7)
    ]
    assert {len(block) for block in source(nested).blocks(2)} <= {1, 2}


def test_plain_columns_are_guessed_or_named(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"target": ["b"], "source": ["a"], "x.y": ["c"]}), path)
    assert [pair[:2] for pair in source(path).records()] == [("a", "b")]
    assert [pair[:2] for pair in source(path, wanted=Wanted("x.y", "source")).records()] == [("c", "a")]


def test_each_file_is_numbered_from_1_and_has_columns_of_its_own(tmp_path: Path, nested: Path) -> None:
    other = tmp_path / "b.parquet"
    pq.write_table(pa.table({"en": ["x"], "fr": ["y"]}), other)
    assert list(source(nested, other).records())[-1] == Pair("x", "y", str(other), 1)


def test_columns_that_are_not_there_are_named(nested: Path) -> None:
    with pytest.raises(DataError) as caught:
        list(source(nested, wanted=Wanted("en", "fr")).records())
    assert str(caught.value) == (f"{nested}: found the fields id, translation.en, translation.fr; expected en and fr")


def test_a_column_of_numbers_is_named(nested: Path) -> None:
    with pytest.raises(DataError, match=r"a\.parquet: the field id holds int64, expected text$"):
        list(source(nested, wanted=Wanted("id", "translation.fr")).records())


def test_how_much_has_been_read_is_known_between_blocks(nested: Path) -> None:
    files = source(nested, nested)
    size = nested.stat().st_size
    shares = [files.read_bytes / size for _ in files.blocks(3)]
    assert shares == pytest.approx([3 / 7, 6 / 7, 1, 1 + 3 / 7, 1 + 6 / 7, 2], abs=0.01)
    assert files.read_bytes == files.total_bytes == 2 * size


@pytest.mark.parametrize("size", [0, 3, 100, -1])
def test_an_incomplete_file_is_named(nested: Path, size: int) -> None:
    nested.write_bytes(nested.read_bytes()[:size])
    with pytest.raises(DataError, match=r"^\S+a\.parquet is a damaged or incomplete \.parquet file: .+$"):
        list(source(nested).records())


def test_a_missing_file_is_one_line() -> None:
    with pytest.raises(DataError, match=r"^cannot read none\.parquet: No such file or directory$"):
        list(source(Path("none.parquet")).records())


FIELDS = (("src",), ("tgt",))


def blocks(src: Any, tgt: Any, on_bad_utf8: OnBadUtf8 = "error") -> list[ArrowBlock]:
    batch = pa.record_batch([pa.array(src), pa.array(tgt)], names=["src", "tgt"])
    return list(cut_batch(batch, FIELDS, file="f", first=11, on_bad_utf8=on_bad_utf8))


def test_rows_become_pairs_in_another_process_too() -> None:
    (block,) = blocks(["a\nb", "cafe\u0301"], ["c", ""])
    assert len(block) == 2
    assert pickle.loads(pickle.dumps(block)).records() == [Pair("a b", "c", "f", 11), Pair("caf\u00e9", "", "f", 12)]


def test_a_part_of_a_batch_takes_its_own_bytes_alone() -> None:
    batch = pa.record_batch([pa.array(["x" * 1000] * 1000)] * 2, names=["src", "tgt"]).slice(500, 1)
    (block,) = cut_batch(batch, FIELDS, file="f", first=1, on_bad_utf8="error")
    assert len(pickle.dumps(block)) < 5000


def test_long_texts_are_cut_into_several_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "BYTES_AT_ONCE", 1000)
    found = blocks(["x" * 500] * 5, ["y"] * 5)
    assert len(found) > 2
    assert [pair.line for block in found for pair in block.records()] == [11, 12, 13, 14, 15]


def test_structs_and_all_kinds_of_strings_are_read() -> None:
    inner = pa.array([{"en": "a", "fr": "b"}, {"en": "c", "fr": "d"}])
    coded = pa.array(["e", "e"]).dictionary_encode()
    batch = pa.record_batch([inner, coded, pa.array(["g", "h"], pa.string_view())], names=["translation", "t", "v"])
    tree = find_tree(batch.schema)
    assert (list(tree), list(tree["translation"])) == (["translation", "t", "v"], ["en", "fr"])
    for field, expected in {("translation", "fr"): ["b", "d"], ("t",): ["e", "e"], ("v",): ["g", "h"]}.items():
        (block,) = cut_batch(batch, (("translation", "en"), field), file="f", first=1, on_bad_utf8="error")
        assert [pair[:2] for pair in block.records()] == list(zip(["a", "c"], expected, strict=True))


def test_nulls_are_empty_texts() -> None:
    (block,) = blocks(["a", "b"], ["c", None])
    assert block.records() == [Pair("a", "c", "f", 11), Pair("b", "", "f", 12)]


def test_a_row_without_its_struct_is_a_pair_with_empty_sides() -> None:
    batch = pa.record_batch([pa.array([{"en": "a", "fr": "b"}, None])], names=["t"])
    (block,) = cut_batch(batch, (("t", "en"), ("t", "fr")), file="f", first=1, on_bad_utf8="error")
    assert [pair[:2] for pair in block.records()] == [("a", "b"), ("", "")]


@pytest.mark.parametrize("values", [[1, 2], [b"a", b"b"], [["a"], ["b"]], [None, None]])
def test_other_types_than_text_are_named(values: Any) -> None:
    with pytest.raises(DataError, match=r"^f: the field tgt holds (int64|binary|list<.*>|null), expected text$"):
        blocks(["a", "b"], values)


def test_bytes_that_are_not_utf8_are_named_or_replaced() -> None:
    bad = pa.Array.from_buffers(pa.string(), 2, pa.array([b"a", b"b\xff"]).buffers())
    (block,) = blocks(["x", "y"], bad)
    with pytest.raises(DataError, match=r"^f, row 12: byte 2 \(0xff\) is not UTF-8; --on-bad-utf8 replace"):
        block.records()
    (block,) = blocks(["x", "y"], bad, "replace")
    assert [pair.tgt for pair in block.records()] == ["a", "b\ufffd"]


@pytest.mark.parametrize("offsets", [[0, 1 << 30, 2], [0, -5, 2], [0, 2, 1]])
def test_texts_outside_the_file_are_not_looked_for(offsets: list[int]) -> None:
    buffers = [None, pa.py_buffer(np.array(offsets, dtype=np.int32)), pa.py_buffer(b"ab")]
    damaged = pa.Array.from_buffers(pa.string(), 2, buffers)
    batch = pa.record_batch([damaged, pa.StructArray.from_arrays([damaged], ["en"])], names=["src", "t"])
    for field in (("src",), ("t", "en")):
        with pytest.raises(DataError, match=r"^f is damaged: "):
            list(cut_batch(batch, (field, field), file="f", first=1, on_bad_utf8="replace"))
