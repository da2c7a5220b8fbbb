import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nmt.errors import DataError
from nmt.io.files import sha256
from nmt.prepared import PreparedText
from nmt.prepared.manifest import FORMAT_VERSION, Manifest, read_manifest, record_files, write_manifest
from nmt.prepared.statistics import STATISTICS
from nmt.report.gathering import Vocabulary, inspect, read_vocabulary

MakeFolder = Callable[..., Path]
PIECES = ("<pad>", "<unk>", "<s>", "</s>", "a", "b", "c", "d")


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
    with pytest.raises(DataError, match=rf"was prepared with settings that are unknown here: data\.{key} = "):
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


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('{"src": ', '{"other": ', r"it has columns \['other', 'tgt'\], expected \['src', 'tgt'\]$"),
        ('"news": {', '"sport": {', r"it has sets \['sport'\], expected \['news'\]$"),
    ],
)
def test_statistics_of_other_data_are_damaged(make_folder: MakeFolder, old: str, new: str, message: str) -> None:
    folder = make_folder()
    path, manifest = folder / STATISTICS, folder / "manifest.json"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    tree = json.loads(manifest.read_bytes())
    tree["files"][path.name] = {"bytes": path.stat().st_size, "sha256": sha256(path)}
    manifest.write_text(json.dumps(tree))
    with pytest.raises(DataError, match=rf"statistics\.json is damaged: {message}"):
        inspect(folder)


def test_data_without_statistics_are_incomplete(make_folder: MakeFolder) -> None:
    folder = make_folder()
    (folder / STATISTICS).unlink()
    manifest = read_manifest(folder)
    files = {name: record for name, record in record_files(folder).items() if name in manifest.files}
    write_manifest(folder, Manifest(**{**dict(manifest), "files": files}))
    with pytest.raises(DataError, match=r"is incomplete: statistics\.json is missing; prepare it again with --force"):
        inspect(folder)


def vocabulary(*counts: int) -> Vocabulary:
    """Counts of <unk>, </s>, a, b, c, d."""
    unknown, ends, *others = counts
    return Vocabulary("joint", PIECES, np.array([0, unknown, 0, ends, *others]))


def test_ends_of_sentences_are_no_running_pieces() -> None:
    one = vocabulary(2, 100, 5, 1, 0, 2)
    assert one.running == 10
    assert one.unknown_share == 0.2


def test_coverage_counts_the_most_frequent_pieces_against_all_running_ones() -> None:
    one = vocabulary(2, 100, 1, 5, 0, 2)
    assert one.by_frequency.tolist() == [5, 7, 4, 6]
    assert one.coverage == pytest.approx([0.5, 0.7, 0.8, 0.8])


@pytest.mark.parametrize(("share", "needed"), [(0.5, 1), (0.51, 2), (0.7, 2), (0.8, 3), (0.81, None)])
def test_a_share_needs_so_many_pieces_or_cannot_be_covered(share: float, needed: int | None) -> None:
    assert vocabulary(2, 100, 1, 5, 0, 2).needed(share) == needed


def test_pieces_that_never_occur_are_told_from_rare_ones() -> None:
    one = vocabulary(0, 0, 3, 0, 4, 1)
    assert one.unused == ["b"]
    assert one.rare(3) == ["a", "d"]


def test_counts_of_two_texts_are_added() -> None:
    both = vocabulary(1, 1, 1, 0, 0, 0).with_counts_of(vocabulary(0, 1, 2, 3, 0, 0), "joint")
    assert both.counts.tolist() == [0, 1, 0, 2, 3, 3, 0, 0]


def test_special_pieces_do_not_count_as_occurring() -> None:
    assert [vocabulary(5, 2, *others).occurs for others in ((0, 0, 0, 0), (0, 1, 0, 0))] == [False, True]


def test_a_text_of_nothing_is_covered_by_nothing() -> None:
    assert (vocabulary(0, 0, 0, 0, 0, 0).unknown_share, vocabulary(0, 0, 0, 0, 0, 0).needed(0.5)) == (0.0, None)


def test_a_file_has_a_piece_and_a_count_in_each_line_and_pieces_may_be_anything(tmp_path: Path) -> None:
    path = tmp_path / "vocab.tsv"
    path.write_bytes("a\t3\n\t\t1\n\u2028\r\t2\n".encode())
    one = read_vocabulary(path, "text")
    assert (one.pieces, one.counts.tolist(), len(one)) == (("a", "\t", "\u2028\r"), [3, 1, 2], 3)


@pytest.mark.parametrize("content", [b"a\t3\nb\n", b"a\tmany\n", b"\xff\t1\n"])
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "vocab.tsv"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_vocabulary(path, "text")
    assert str(caught.value) == f"{path} is damaged: expected a piece, a tab and a count in every line"


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^cannot read .*: Is a directory$"):
        read_vocabulary(tmp_path, "text")


def test_every_unit_has_its_lengths(make_folder: MakeFolder) -> None:
    source, _ = inspect(make_folder()).sides
    assert [source.lengths(unit).total for unit in ("pieces", "words", "characters")] == [10, 3, 8]


def test_every_set_is_named(make_folder: MakeFolder) -> None:
    _, target = inspect(make_folder()).sides
    assert {name: column.unknown for name, column in target.sets.items()} == {"training": 1, "validation: news": 1}
