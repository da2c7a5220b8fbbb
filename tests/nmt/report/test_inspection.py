import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nmt.config import Settings
from nmt.corpus.cleaning import REASONS, Reason
from nmt.errors import DataError
from nmt.io.files import sha256
from nmt.prepared import PreparedText
from nmt.prepared.manifest import (
    FORMAT_VERSION,
    Manifest,
    prepared_sections,
    read_manifest,
    record_files,
    write_manifest,
)
from nmt.prepared.statistics import LONGEST, STATISTICS, Lengths, RejectedExample
from nmt.report.inspection import (
    Bar,
    UnknownCharacter,
    Vocabulary,
    cut_texts,
    explain,
    inspect,
    length_bars,
    percent,
    ratio_bars,
    read_vocabulary,
    unknown_characters,
    visible,
)
from nmt.report.page import inspection_tree, to_page

MakeFolder = Callable[..., Path]
PIECES = ("<pad>", "<unk>", "<s>", "</s>", "a", "b", "c", "d")


def test_both_sides_of_pairs_are_there_with_what_is_known_of_them(make_folder: MakeFolder) -> None:
    inspection = inspect(make_folder())
    assert inspection.noun == "pairs"
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
    assert [(one.name, one.running) for one in inspection.vocabularies] == [("source", 10), ("target", 8)]


def test_settings_that_are_not_the_defaults_are_known(make_folder: MakeFolder) -> None:
    inspection = inspect(make_folder(sections={"data": {"src_lang": "en", "max_pieces": 128}}))
    assert inspection.changed_settings == {"data.src_lang": "en", "tokenizer.kind": "char"}
    assert inspection.settings["data.max_pieces"] == 128


def test_settings_that_were_not_recorded_are_as_they_were_before_they_could_be_set(make_folder: MakeFolder) -> None:
    folder = make_folder()
    tree = json.loads((folder / "manifest.json").read_bytes())
    tree["settings"] = {"data": {"of_the_future": 1}, "tokenizer": {}}
    (folder / "manifest.json").write_text(json.dumps(tree))
    inspection = inspect(folder)
    assert inspection.settings["data.max_pieces"] == 128
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
    assert (inspection.noun, inspection.pairs, side.name) == ("lines", None, "text")
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
    assert one.occurring(0, 0) == ["b"]
    assert one.occurring(1, 3) == ["a", "d"]


def test_unknown_pieces_alone_have_no_curves(make_folder: MakeFolder) -> None:
    inspection, nothing = inspect(make_folder()), vocabulary(5, 2, 0, 0, 0, 0)
    sides = tuple(replace(side, vocabulary=nothing) for side in inspection.sides)
    assert "<polyline" in to_page(inspection)
    assert "<polyline" not in to_page(replace(inspection, sides=sides))


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


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (0, 7, "0.00%"),
        (1, 8, "12.5%"),
        (1, 16, "6.25%"),
        (1, 10_000, "0.01%"),
        (1, 10_001, "< 0.01%"),
        (3, 3, "100.0%"),
        (0, 0, "0.00%"),
    ],
)
def test_a_share_has_as_many_digits_as_it_needs(part: int, whole: int, text: str) -> None:
    assert percent(part, whole) == text


@pytest.mark.parametrize(
    ("character", "shown", "code", "name"),
    [
        ("a", "a", "U+0061", "LATIN SMALL LETTER A"),
        ("\u0301", "\u25cc\u0301", "U+0301", "COMBINING ACUTE ACCENT"),
        ("\u00a0", "", "U+00A0", "NO-BREAK SPACE"),
        ("\u202e", "", "U+202E", "RIGHT-TO-LEFT OVERRIDE"),
        ("\x07", "", "U+0007", "control character"),
        ("\ue000", "", "U+E000", "private use"),
        ("\U0001f642", "\U0001f642", "U+1F642", "SLIGHTLY SMILING FACE"),
    ],
)
def test_a_character_is_shown_with_its_code_and_name(character: str, shown: str, code: str, name: str) -> None:
    one = UnknownCharacter(character, 0, 0)
    assert (one.shown, one.code, one.name) == (shown, code, name)


def test_control_characters_and_half_pairs_become_something_to_look_at() -> None:
    assert visible("a\x1b[31m\n\x7f\x9b\ud800\u05d0") == "a\u241b[31m\u240a\u2421\ufffd\ufffd\u05d0"


def lengths_of(*values: int) -> Lengths:
    lengths = Lengths.empty()
    lengths.add(np.array(values, dtype=np.int64))
    return lengths


def test_short_lengths_have_a_bar_each() -> None:
    assert length_bars(lengths_of(1, 3, 3), most=10) == [Bar("0", 0), Bar("1", 1), Bar("2", 0), Bar("3", 2)]


@pytest.mark.parametrize(
    ("longest", "first", "last"),
    [
        (9, "0", "9"),
        (10, "0\u20131", "10\u201311"),
        (19, "0\u20131", "18\u201319"),
        (20, "0\u20134", "20\u201324"),
        (49, "0\u20134", "45\u201349"),
        (50, "0\u20139", "50\u201359"),
        (199, "0\u201319", "180\u2013199"),
        (1200, "0\u2013199", "1,200\u20131,399"),
    ],
)
def test_longer_ones_share_bars_of_a_round_width(longest: int, first: str, last: str) -> None:
    bars = length_bars(lengths_of(longest), most=10)
    assert (bars[0].name, bars[-1].name, bars[-1].rows) == (first, last, 1)


def test_what_is_much_longer_than_the_rest_is_the_tail() -> None:
    bars = length_bars(lengths_of(*[3] * 1999, 500, 70_000), most=10)
    assert bars == [*(Bar(f"{one}", 0) for one in range(3)), Bar("3", 1999), Bar("4\u201370,000", 2, tail=True)]


def test_no_row_is_lost_when_all_are_longer_than_the_histogram() -> None:
    bars = length_bars(lengths_of(LONGEST, LONGEST + 5), most=10)
    assert sum(bar.rows for bar in bars) == 2
    assert bars[-1] == Bar("4,000\u20134,005", 2, tail=True)


def test_nothing_has_no_bars() -> None:
    assert length_bars(Lengths.empty(), most=10) == []


def test_ratios_run_from_the_smallest_to_the_largest(make_folder: MakeFolder) -> None:
    # 2 for 4 characters and 4 for 2: eight bars for each factor of two.
    bars = ratio_bars(inspect(make_folder(train=[("ab a", "ab"), ("ab", "ab a")])))
    assert len(bars) == 17
    assert (bars[0], bars[8], bars[-1]) == (Bar("0.50", 1), Bar("1.00", 0), Bar("2.00", 1))


def test_the_most_frequent_characters_of_training_and_validation_come_first(make_folder: MakeFolder) -> None:
    folder = make_folder(train=[("a", "zzxxxyw")])
    _, target = inspect(folder).sides
    # "z" stands in the validation text as well.
    assert unknown_characters(target, most=3) == [
        UnknownCharacter("x", 3, 0),
        UnknownCharacter("z", 2, 1),
        UnknownCharacter("w", 1, 0),
    ]


def test_text_that_is_whole_is_shown_as_it_is() -> None:
    assert cut_texts(RejectedExample(1, "f", 1, ("abc", "ab"), (3, 4))) == ["abc", "ab \u2026 (4 characters)"]


def data(**changes: Any) -> dict[str, Any]:
    return {**prepared_sections(Settings())["data"], **changes}


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_has_an_explanation(reason: Reason) -> None:
    assert explain(reason, data()) != explain("one of the future", data()) == "unknown to this version of nmt"


@pytest.mark.parametrize(
    ("reason", "changes", "words"),
    [
        ("too_long", {"max_characters": 2500}, "more characters than data.max_characters = 2,500"),
        ("length_ratio", {"max_length_ratio": 1.5}, "more than data.max_length_ratio = 1.5 times the characters"),
        ("repetition", {"max_repeats": 3}, "more times in a row than data.max_repeats = 3"),
        ("symbols", {"max_symbol_share": 0.4}, "than data.max_symbol_share = 40%"),
        ("script", {"min_script_share": 0.5, "src_lang": "en"}, "= 50% (data.src_lang = en, data.tgt_lang = unknown)"),
        ("overlap", {"drop_overlap": ["source", "pair"]}, "(data.drop_overlap = source, pair)"),
        ("overlap", {}, "(data.drop_overlap = none)"),
        ("too_many_pieces", {"max_pieces": 99}, "more pieces than data.max_pieces = 99"),
    ],
)
def test_an_explanation_names_the_setting_and_its_value(reason: Reason, changes: dict[str, Any], words: str) -> None:
    assert words in explain(reason, data(**changes))


def test_everything_the_page_shows_is_there_for_programs(make_folder: MakeFolder) -> None:
    tree = json.loads(json.dumps(inspection_tree(inspect(make_folder()))))
    assert tree["counts"]["rejected"] == {"empty": 0, "length_ratio": 1, "copy": 1}
    assert tree["counts"]["overlap"] == {"validation": {"source": 1, "target": 2, "pair": 0}}
    assert tree["inputs"][0]["path"] == "a&b.en"
    assert tree["settings"]["tokenizer"]["kind"] == "char"


def test_lengths_have_their_mean_quantiles_and_histogram(make_folder: MakeFolder) -> None:
    words = inspection_tree(inspect(make_folder()))["sides"]["source"]["lengths"]["words"]
    assert words["quantiles"]["0.5"] == 1
    assert (words["mean"], words["total"], words["largest"], words["counts"]) == (1.5, 3, 2, [0, 1, 1])


def test_ratios_are_named_by_their_middle(make_folder: MakeFolder) -> None:
    tree = inspection_tree(inspect(make_folder(train=[("ab a", "ab"), ("a", "a")])))
    assert tree["ratios"] == {"0.5000": 1, "1.0000": 1}


def test_unknown_pieces_are_counted_for_each_set(make_folder: MakeFolder) -> None:
    unknown = inspection_tree(inspect(make_folder()))["sides"]["target"]["unknown"]
    assert unknown["training"] == {"pieces": 8, "unknown": 1, "sentences": 2, "sentences_with_unknown": 1}
    assert unknown["validation"]["news"]["unknown"] == 1
    assert {one["character"]: one["name"] for one in unknown["characters"]} == {
        "\u0301": "COMBINING ACUTE ACCENT",
        "z": "LATIN SMALL LETTER Z",
    }


def test_the_vocabulary_says_how_many_pieces_cover_how_much(make_folder: MakeFolder) -> None:
    joint = inspection_tree(inspect(make_folder()))["vocabularies"]["joint"]
    assert (joint["size"], joint["running_pieces"], joint["unused"], joint["at_most_5_times"]) == (7, 18, 0, 2)
    assert (joint["pieces_to_cover"]["0.8"], joint["pieces_to_cover"]["0.9"]) == (3, None)


def test_examples_say_where_they_stand(make_folder: MakeFolder) -> None:
    examples = inspection_tree(inspect(make_folder()))["examples"]
    assert examples["copy"] == [{"file": "a&b.en", "line": 2, "texts": ["same", "same"]}]
