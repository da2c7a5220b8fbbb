from pathlib import Path

import pytest

from nmt.errors import DataError
from nmt.prepared.manifest import FORMAT_VERSION, Counts, Manifest, holds_data, record_files, write_manifest

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


def test_a_free_name_and_an_empty_folder_hold_nothing(tmp_path: Path) -> None:
    assert not holds_data(tmp_path / "none")
    assert not holds_data(tmp_path)


def test_prepared_data_are_found(tmp_path: Path) -> None:
    put_data(tmp_path)
    assert holds_data(tmp_path)


def test_prepared_data_of_an_older_format_are_found_but_not_a_manifest_of_another_program(tmp_path: Path) -> None:
    (tmp_path / "train.arrow").touch()
    (tmp_path / "manifest.json").write_text('{"format_version": 1, "files": {"train.arrow": 3}}')
    assert holds_data(tmp_path)
    (tmp_path / "manifest.json").write_text('{"name": "a web page"}')
    with pytest.raises(DataError, match=r"manifest\.json is not one that `nmt prepare` wrote; choose another folder"):
        holds_data(tmp_path)


def test_a_file_is_no_place_for_data(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="file is a file, expected a folder or a name that is free"):
        holds_data(tmp_path / "file")


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    for name in "dcba":
        (tmp_path / name).touch()
    with pytest.raises(DataError, match=r"holds other files \(a, b, c, \.\.\.\); choose another folder"):
        holds_data(tmp_path)


def test_prepared_data_with_a_stranger_among_them_are_refused(tmp_path: Path) -> None:
    put_data(tmp_path)
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DataError, match=r"holds files besides its prepared data \(notes\.txt\); move them away first"):
        holds_data(tmp_path)
