from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nmt.corpus.fields import Wanted
from nmt.corpus.parquet import ParquetFiles
from nmt.errors import DataError
from nmt.io.lines import Pair

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
