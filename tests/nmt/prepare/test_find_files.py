from pathlib import Path

import pytest

from nmt.errors import DataError
from nmt.prepare.inputs import find_files


def found(root: Path, *names: str) -> list[str]:
    return [str(path.relative_to(root)) for path in find_files(root, names, setting="data.train_src")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("part-2.en", "part-10.en", "part-1.en", "sub/part-3.en", ".part-4.en", "a[1].en", "dir-1.en/x"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def test_a_pattern_stands_for_its_files_sorted_and_in_its_place(folder: Path) -> None:
    assert found(folder, "sub/part-3.en", "part-*.en", "a") == [
        "sub/part-3.en",
        "part-1.en",
        "part-10.en",
        "part-2.en",
        "a",
    ]
    assert found(folder, "**/part-?.en") == ["part-1.en", "part-2.en", "sub/part-3.en"]


def test_an_absolute_pattern_does_not_count_from_the_root(folder: Path) -> None:
    assert find_files(Path("nowhere"), [folder / "part-[12].en"], setting="") == (
        folder / "part-1.en",
        folder / "part-2.en",
    )


def test_a_name_that_exists_is_no_pattern(folder: Path) -> None:
    assert found(folder, "a[1].en") == ["a[1].en"]


@pytest.mark.parametrize("pattern", ["part-*.fr", "dir-*.en"])
def test_a_pattern_without_files_is_an_error_that_names_its_setting(folder: Path, pattern: str) -> None:
    with pytest.raises(DataError) as caught:
        found(folder, pattern)
    assert str(caught.value) == f"no file matches {folder / pattern} (data.train_src)"
