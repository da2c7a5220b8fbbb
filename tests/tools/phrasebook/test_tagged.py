import re
from importlib.resources import files

import pytest

from tools.phrasebook.grammar import Grammar, read_grammar
from tools.phrasebook.pairs import random_numbers
from tools.phrasebook.tagged import MARKS, mark, tag_of, tagged_sentences


@pytest.fixture(scope="module")
def grammar() -> Grammar:
    return read_grammar(files("tools.phrasebook"))


@pytest.mark.parametrize(
    ("category", "tag"),
    [
        ("noun food", "noun"),
        ("gradable food", "adjective"),
        ("verb told", "verb"),
        ("number counted", "number"),
        ("phrase woman's name", "name"),
        ("phrase weekday", "other"),
        ("auxiliary auxiliary", "other"),
    ],
)
def test_the_tag_of_a_word_is_said_by_its_category(category: str, tag: str) -> None:
    assert tag_of(category) == tag


def test_marks_change_nothing_else_of_a_sentence(grammar: Grammar) -> None:
    draw, marks = random_numbers(1), re.compile(f"[{''.join(MARKS)}]")
    derivations = [found for found in (grammar.derive(draw) for _ in range(100)) if found]
    for derivation in derivations:
        assert marks.sub("", grammar.english(mark(derivation, "sentence"))) == grammar.english(derivation)


def test_words_have_the_tags_of_the_dictionary(grammar: Grammar) -> None:
    found = dict(tagged_sentences(grammar, 300, seed=1))
    assert len(found) == 300
    assert found["this is pierre's house"] == "other other name noun"
    assert found["the belts cost twenty-nine euros"] == "other noun verb number other"
    assert found["the lesson was very boring"] == "other noun other other adjective"
