from pathlib import Path

import pytest

from nmt.errors import DataError
from nmt.prepared.manifest import FORMAT_VERSION, Counts, Manifest, record_files, write_manifest
from nmt.prepared.placing import building, find_existing

COUNTS = Counts(
    read=1, rejected={}, heldout=0, train=1, valid=1, valid_dropped=0,
    corpora=(), validation=(), overlap={}, src_pieces=1, tgt_pieces=1, src_vocabulary=16, tgt_vocabulary=16,
)  # fmt: skip


def put_data(folder: Path, text: str = "ids") -> None:
    (folder / "train.arrow").write_text(text)
    write_manifest(
        folder,
        Manifest(format_version=FORMAT_VERSION, counts=COUNTS, files=record_files(folder), inputs=(), settings={}),
    )


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_free_name_and_an_empty_folder_hold_nothing(tmp_path: Path) -> None:
    assert find_existing(tmp_path / "none") is None
    assert find_existing(tmp_path) is None


def test_prepared_data_are_found(tmp_path: Path) -> None:
    put_data(tmp_path)
    manifest = find_existing(tmp_path)
    assert manifest is not None
    assert manifest.counts == COUNTS


def test_a_file_is_no_place_for_data(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="file is a file, expected a folder or a name that is free"):
        find_existing(tmp_path / "file")


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    for name in "dcba":
        (tmp_path / name).touch()
    with pytest.raises(DataError, match=r"holds other files \(a, b, c, \.\.\.\); choose another folder"):
        find_existing(tmp_path)


def test_prepared_data_with_a_stranger_among_them_are_refused(tmp_path: Path) -> None:
    put_data(tmp_path)
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DataError, match=r"holds files besides its prepared data \(notes\.txt\); move them away first"):
        find_existing(tmp_path)


def test_a_folder_appears_when_the_block_ends(tmp_path: Path) -> None:
    with building(tmp_path / "new" / "data") as folder:
        put_data(folder)
        assert not (tmp_path / "new" / "data").exists()
    assert names(tmp_path / "new") == ["data"]
    assert names(tmp_path / "new" / "data") == ["manifest.json", "train.arrow"]


def test_an_empty_folder_and_old_data_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for text in ("old", "new"):
        with building(tmp_path / "data") as folder:
            put_data(folder, text)
    assert (tmp_path / "data" / "train.arrow").read_text() == "new"
    assert names(tmp_path) == ["data"]


@pytest.mark.parametrize("failure", [KeyboardInterrupt, DataError])
def test_a_block_that_fails_leaves_everything_as_it_was(tmp_path: Path, failure: type[BaseException]) -> None:
    (tmp_path / "data").mkdir()
    put_data(tmp_path / "data", "old")
    with pytest.raises(failure), building(tmp_path / "data") as folder:
        put_data(folder, "new")
        raise failure
    assert (tmp_path / "data" / "train.arrow").read_text() == "old"
    assert names(tmp_path) == ["data"]


def test_old_data_come_back_when_the_new_ones_cannot_take_their_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    put_data(tmp_path / "data", "old")
    move = Path.replace

    def fail_for_the_new(self: Path, target: Path) -> Path:
        if self.name.endswith(".tmp") and self.is_dir():
            raise OSError("disk gone")
        return move(self, target)

    monkeypatch.setattr(Path, "replace", fail_for_the_new)
    with pytest.raises(OSError, match="disk gone"), building(tmp_path / "data") as folder:
        put_data(folder, "new")
    assert (tmp_path / "data" / "train.arrow").read_text() == "old"
    assert names(tmp_path) == ["data"]


def test_a_link_to_a_folder_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with building(tmp_path / "link") as folder:
        put_data(folder)
    assert (tmp_path / "link").is_symlink()
    assert names(tmp_path / "real") == ["manifest.json", "train.arrow"]
