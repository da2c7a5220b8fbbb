import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nmt.config import Settings
from nmt.corpus.cleaning import REASONS, Reason
from nmt.prepared.manifest import prepared_sections
from nmt.prepared.statistics import LONGEST, Lengths, RejectedExample
from nmt.report.gathering import inspect
from nmt.report.measures import (
    Bar,
    UnknownCharacter,
    cut_texts,
    explain,
    inspection_tree,
    length_bars,
    name_character,
    percent,
    ratio_bars,
    unknown_characters,
    visible,
)

MakeFolder = Callable[..., Path]


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
    named = name_character(character)
    assert (named.shown, named.code, named.name) == (shown, code, name)


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
