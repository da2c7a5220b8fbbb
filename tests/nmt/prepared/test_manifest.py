import json
from pathlib import Path
from typing import Any

import pytest

from nmt.config import load_settings
from nmt.errors import DataError
from nmt.prepared.manifest import (
    FORMAT_VERSION,
    CorpusCount,
    Counts,
    InputRecord,
    Manifest,
    OverlapCount,
    ValidationCount,
    check_files,
    prepared_sections,
    read_manifest,
    record_files,
    write_manifest,
)

COUNTS = Counts(
    read=3, rejected={"empty": 1}, heldout=0, train=2, valid=1, valid_dropped=0,
    corpora=(CorpusCount(name="a.tsv", weight=2.0, tag="<a>", read=3, rejected={"empty": 1}, heldout=0, train=2),),
    validation=(ValidationCount(name="b.tsv", pairs=1, dropped=0),),
    overlap={"test": OverlapCount(source=2, target=1, pair=1)},
    src_pieces=8, tgt_pieces=9, src_vocabulary=16, tgt_vocabulary=16,
)  # fmt: skip
INPUTS = (InputRecord(setting="data.train_tsv", path="here/a.tsv", sha256="00ff"),)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "train.arrow").write_bytes(b"ids")
    settings = load_settings(None, ["data.train_tsv=['a.tsv']"])
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        counts=COUNTS,
        files=record_files(tmp_path),
        inputs=INPUTS,
        settings=prepared_sections(settings),
    )
    write_manifest(tmp_path, manifest)
    return tmp_path


def altered(folder: Path, **values: Any) -> Path:
    tree = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(tree | values))
    return folder


def test_what_is_written_is_read_back(folder: Path) -> None:
    manifest = read_manifest(folder)
    assert manifest.counts == COUNTS
    assert manifest.inputs == INPUTS
    assert manifest.files["train.arrow"].bytes == 3
    check_files(folder, manifest)


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none is not a folder; expected one that `nmt prepare` made"):
        read_manifest(tmp_path / "none")


def test_a_folder_without_manifest_is_no_prepared_data(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"holds no prepared data: manifest\.json is missing; make it with `nmt prepare`"
    ):
        read_manifest(tmp_path)


def test_a_manifest_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").mkdir()
    with pytest.raises(DataError, match=r"^cannot read .*manifest\.json: Is a directory$"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("text", ["{", "\xff"])
def test_a_manifest_that_is_not_json_is_damaged(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=r"manifest\.json is damaged: it is not JSON"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(("tree", "version"), [({"format_version": 1}, "1"), ({}, "None"), ([], "None")])
def test_another_format_version_is_refused(tmp_path: Path, tree: Any, version: str) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps(tree))
    with pytest.raises(
        DataError,
        match=rf"has format version {version}, but this version of nmt reads 2; prepare the data again with --force",
    ):
        read_manifest(tmp_path)


def test_a_manifest_with_a_wrong_value_is_damaged(folder: Path) -> None:
    with pytest.raises(DataError, match=r"manifest\.json is damaged: files = .*: input should be a valid dictionary"):
        read_manifest(altered(folder, files=1))


def test_a_missing_file_is_an_error(folder: Path) -> None:
    (folder / "train.arrow").unlink()
    with pytest.raises(DataError, match=r"is incomplete: train\.arrow is missing; prepare it again with --force"):
        check_files(folder, read_manifest(folder))


def test_a_file_of_another_size_is_an_error_with_both_sizes(folder: Path) -> None:
    (folder / "train.arrow").write_bytes(b"longer")
    with pytest.raises(DataError, match=r"train\.arrow was altered: it has 6 bytes, expected 3"):
        check_files(folder, read_manifest(folder))


def test_a_file_with_other_contents_is_an_error(folder: Path) -> None:
    (folder / "train.arrow").write_bytes(b"idz")
    with pytest.raises(DataError, match=r"train\.arrow was altered: its SHA-256 is not the recorded one"):
        check_files(folder, read_manifest(folder))


def test_where_the_text_lies_does_not_matter_but_what_it_is_does(folder: Path) -> None:
    manifest = read_manifest(folder)
    moved = (INPUTS[0].model_copy(update={"path": "there/b.tsv"}),)
    edited = (INPUTS[0].model_copy(update={"sha256": "11ff"}),)
    test = ["data.test_src=t", "data.test_tag=<a>"]
    elsewhere = load_settings(None, ["data.root=there", "data.train_tsv=['b.tsv']", *test])
    assert manifest.was_made_from(moved, elsewhere)
    assert not manifest.was_made_from(edited, elsewhere)
    assert not manifest.was_made_from((*INPUTS, *INPUTS), elsewhere)


def test_where_the_files_of_further_corpora_lie_does_not_matter_either(tmp_path: Path) -> None:
    here, there, heavier = (
        load_settings(None, [f"data.corpora=[{{path=['{path}'], weight={weight}}}]"])
        for path, weight in (("a.tsv", 1.0), ("there/b.tsv", 1.0), ("a.tsv", 2.0))
    )
    manifest = Manifest(
        format_version=FORMAT_VERSION, counts=COUNTS, files={}, inputs=INPUTS, settings=prepared_sections(here)
    )
    write_manifest(tmp_path, manifest)
    read = read_manifest(tmp_path)
    assert [read.was_made_from(INPUTS, other) for other in (here, there, heavier)] == [True, True, False]


def test_what_is_known_of_files_is_not_computed_again(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"")
    files = record_files(tmp_path, {"a": "00ff"})
    assert (files["a"].sha256, files["b"].sha256[:8]) == ("00ff", "e3b0c442")  # the SHA-256 of nothing


@pytest.mark.parametrize(
    ("override", "same"),
    [("tokenizer.kind=bpe", False), ("data.max_pieces=5", False), ("data.seed=2", False), ("training.seed=2", True)],
)
def test_settings_of_data_and_tokenizer_matter_and_others_do_not(folder: Path, override: str, same: bool) -> None:
    assert read_manifest(folder).was_made_from(INPUTS, load_settings(None, [override])) is same


def test_a_model_is_told_from_prepared_data(tmp_path: Path) -> None:
    (tmp_path / "model.json").touch()
    with pytest.raises(DataError, match=r"holds a model, not prepared data; nmt prepare makes these from text$"):
        read_manifest(tmp_path)
