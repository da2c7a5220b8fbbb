import re
from importlib.resources import files
from pathlib import Path

import pytest

from nmt.errors import DataError
from tools.phrasebook.grammar import RULE_FILES, Grammar, read_grammar

TWO_DAYS = """
[[rule]]
makes = "sentence"
slots = { first = "phrase weekday", second = "phrase weekday" }
en = "{first}, {second}."
fr = "{first}, {second}."

[[rule]]
makes = "sentence"
weight = 3
slots = { thing = "thing" }
en = "I see {thing}."
en_negated = "no"
fr = "je vois {thing}."

[[rule]]
makes = "sentence"
slots = { thing = "thing" }
en = "I do not see {thing.negated}."
fr = "je ne vois pas {thing.negated}."

[[rule]]
makes = "thing"
slots = { noun = "noun home" }
head = "noun"
number = "plural"
en = "{a@self} {noun@self}"
en_negated = "{a.negated@self} {noun@self}"
fr = "{a@self} {noun@self}"
fr_negated = "{a.negated} {noun@self}"
"""


def write_grammar(folder: Path, rules: str) -> Path:
    for asset in files("tools.phrasebook").iterdir():
        if asset.name.endswith(".toml"):
            text = "" if asset.name in RULE_FILES else asset.read_text(encoding="utf-8")
            (folder / asset.name).write_text(text, encoding="utf-8")
    (folder / "sentences.toml").write_text(rules, encoding="utf-8")
    return folder


@pytest.fixture
def small(tmp_path: Path) -> Grammar:
    return read_grammar(write_grammar(tmp_path, TWO_DAYS))


def test_derivations_are_counted(small: Grammar) -> None:
    assert small.count() == 7 * 7 + 2 + 2


def test_a_rule_is_drawn_by_its_weight_and_a_word_evenly(small: Grammar) -> None:
    # weights 1, 3, 1: 0.2 and 0.79 draw the second rule; 0.5 of two homes is the flat
    for point in (0.2, 0.79):
        found = small.derive(iter([point, 0.0, 0.5]).__next__)
        assert found is not None
        assert (small.english(found), small.french(found)) == ("I see some flats.", "Je vois des appartements.")


def test_a_variant_is_said_where_it_is_asked_for(small: Grammar) -> None:
    found = small.derive(iter([0.8, 0.0, 0.5]).__next__)
    assert found is not None
    assert small.english(found) == "I do not see any flats."
    assert small.french(found) == "Je ne vois pas d'appartements."


def test_a_sentence_with_a_word_twice_is_dropped(small: Grammar) -> None:
    assert small.derive(iter([0.0, 0.5, 0.5]).__next__) is None
    found = small.derive(iter([0.0, 0.0, 0.5]).__next__)
    assert found is not None
    assert small.english(found) == "Monday, Thursday."
    assert [entry.name for entry in found.entries()] == ["phrase Monday/lundi", "phrase Thursday/jeudi"]


def test_a_grammar_without_sentences_is_refused(tmp_path: Path) -> None:
    folder = write_grammar(tmp_path, TWO_DAYS.replace('"sentence"', '"sentences"'))
    message = "no rule of noun_phrases.toml, verb_phrases.toml, sentences.toml makes 'sentence'"
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        read_grammar(folder)


def test_a_malformed_rule_file_is_named(tmp_path: Path) -> None:
    folder = write_grammar(tmp_path, "[[rule]")
    with pytest.raises(DataError, match=r"^sentences.toml is not valid TOML: "):
        read_grammar(folder)
