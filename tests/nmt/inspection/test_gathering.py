import json
from collections.abc import Callable
from pathlib import Path

import pytest

from nmt.errors import DataError
from nmt.files import sha256
from nmt.inspection import inspect
from nmt.prepared import PreparedText
from nmt.prepared.manifest import FORMAT_VERSION, Manifest, read_manifest, record_files, write_manifest
from nmt.prepared.statistics import STATISTICS

MakeFolder = Callable[..., Path]


def test_both_sides_of_pairs_are_there_with_what_is_known_of_them(make_folder: MakeFolder) -> None:
    inspection = inspect(make_folder())
    assert (inspection.noun, inspection.joint) == ("pairs", True)
    src, tgt = inspection.sides
    assert (src.name, src.train.pieces.total, src.train.unknown, src.vocabulary.running) == ("source", 10, 2, 10)
    assert (tgt.name, tgt.train.pieces.total, tgt.train.unknown, tgt.vocabulary.running) == ("target", 8, 1, 8)
    assert tgt.valid["news"].unknown_characters == {"z": 1}


def test_a_joint_vocabulary_counts_both_sides(make_folder: MakeFolder) -> None:
    (joint,) = inspect(make_folder()).vocabularies
    assert (joint.name, joint.running) == ("joint", 18)
    assert dict(zip(joint.pieces, joint.counts.tolist(), strict=True)) == {
        "<pad>": 0,
        "<unk>": 3,
        "<s>": 0,
        "</s>": 4,
        "\u2581": 5,
        "a": 6,
        "b": 4,
    }


def test_each_language_may_have_a_vocabulary_of_its_own(make_folder: MakeFolder) -> None:
    inspection = inspect(make_folder(joint=False))
    assert not inspection.joint
    assert [(one.name, one.running) for one in inspection.vocabularies] == [("source", 10), ("target", 8)]


def test_settings_that_are_not_the_defaults_are_known(make_folder: MakeFolder) -> None:
    inspection = inspect(make_folder(sections={"data": {"src_lang": "en", "max_pieces": 128}}))
    assert inspection.changed_settings == {"data.src_lang": "en", "tokenizer.kind": "char"}
    assert inspection.settings["data"]["max_pieces"] == 128


def test_settings_that_were_not_recorded_are_as_they_were_before_they_could_be_set(make_folder: MakeFolder) -> None:
    folder = make_folder()
    tree = json.loads((folder / "manifest.json").read_bytes())
    tree["settings"] = {"data": {"of_the_future": 1}, "tokenizer": {}}
    (folder / "manifest.json").write_text(json.dumps(tree))
    inspection = inspect(folder)
    assert inspection.settings["data"]["max_pieces"] == 128
    assert inspection.changed_settings == {"data.of_the_future": 1, "data.clean_invisible": False}


@pytest.mark.parametrize(("key", "value"), [("max_pieces", [[]]), ("max_symbol_share", {}), ("drop_overlap", 0)])
def test_settings_of_another_type_are_refused(make_folder: MakeFolder, key: str, value: object) -> None:
    folder = make_folder()
    tree = json.loads((folder / "manifest.json").read_bytes())
    tree["settings"]["data"][key] = value
    (folder / "manifest.json").write_text(json.dumps(tree))
    with pytest.raises(DataError, match=rf"was prepared with settings that are unknown here: data\.{key}: "):
        inspect(folder)


def test_a_text_has_one_side(toy_text_data: PreparedText) -> None:
    inspection = inspect(toy_text_data.folder)
    (side,) = inspection.sides
    assert (inspection.noun, inspection.pairs, inspection.joint, side.name) == ("lines", None, False, "text")
    assert [one.name for one in inspection.vocabularies] == ["text"]
    assert side.train.words.total == side.train.pieces.total == int(toy_text_data.train.lengths.sum())


def test_what_is_no_prepared_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a folder; expected one that `nmt prepare` made"):
        inspect(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"holds no prepared data: manifest\.json is missing"):
        inspect(tmp_path)


def test_data_of_another_format_version_are_refused(make_folder: MakeFolder) -> None:
    path = make_folder() / "manifest.json"
    tree = json.loads(path.read_bytes())
    path.write_text(json.dumps({**tree, "format_version": 1}))
    with pytest.raises(DataError, match=f"has format version 1, but this version of nmt reads {FORMAT_VERSION}"):
        inspect(path.parent)


def test_altered_data_are_refused(make_folder: MakeFolder) -> None:
    folder = make_folder()
    with (folder / "vocab.src.tsv").open("a") as file:
        file.write("c\t0\n")
    with pytest.raises(DataError, match=r"vocab\.src\.tsv was altered"):
        inspect(folder)


def test_sides_of_a_joint_vocabulary_that_list_other_pieces_are_refused(make_folder: MakeFolder) -> None:
    folder = make_folder()
    path, manifest = folder / "vocab.src.tsv", folder / "manifest.json"
    path.write_text(path.read_text() + "c\t0\n")
    tree = json.loads(manifest.read_bytes())
    tree["files"][path.name] = {"bytes": path.stat().st_size, "sha256": sha256(path)}
    manifest.write_text(json.dumps(tree))
    with pytest.raises(DataError, match=r"vocab\.src\.tsv and .*vocab\.tgt\.tsv list other pieces, expected those of"):
        inspect(folder)


def test_data_without_statistics_are_incomplete(make_folder: MakeFolder) -> None:
    folder = make_folder()
    (folder / STATISTICS).unlink()
    manifest = read_manifest(folder)
    files = {name: record for name, record in record_files(folder).items() if name in manifest.files}
    write_manifest(folder, Manifest(**{**dict(manifest), "files": files}))
    with pytest.raises(DataError, match=r"is incomplete: statistics\.json is missing; prepare it again with --force"):
        inspect(folder)
