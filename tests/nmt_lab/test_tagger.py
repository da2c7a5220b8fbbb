import re
from collections.abc import Callable
from importlib.resources import files

import pytest
import torch

from nmt.corpus.grammar import Grammar, read_grammar
from nmt.corpus.phrasebook import random_numbers
from nmt_lab import tagger
from nmt_lab.common import Labeller, Options
from nmt_lab.tagger import HIDDEN, MARKS, TAGS, draw_sentences, encode, give_tags, learn, mark, tag_of


@pytest.fixture(scope="module")
def grammar() -> Grammar:
    return read_grammar(files("nmt_data") / "phrasebook")


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
    assert TAGS[tag_of(category)] == tag


def test_marks_change_nothing_else_of_a_sentence(grammar: Grammar) -> None:
    draw, marks = random_numbers(1), re.compile(f"[{''.join(MARKS)}]")
    derivations = [found for found in (grammar.derive(draw) for _ in range(100)) if found]
    for derivation in derivations:
        assert marks.sub("", grammar.english(mark(derivation, "sentence"))) == grammar.english(derivation)


def test_words_have_the_tags_of_the_dictionary(grammar: Grammar) -> None:
    sentences = draw_sentences(grammar, 300, seed=1)
    found = {" ".join(word for word, _ in sentence): [TAGS[tag] for _, tag in sentence] for sentence in sentences}
    assert len(found) == 300
    assert found["this is pierre's house"] == ["other", "other", "name", "noun"]
    assert found["the belts cost twenty-nine euros"] == ["other", "noun", "verb", "number", "other"]
    assert found["the lesson was very boring"] == ["other", "noun", "other", "other", "adjective"]


def test_unknown_words_are_hidden_and_no_tag_stands_behind_a_sentence() -> None:
    ids, tags, lengths = encode([[("a", 0), ("fish", 1)], [("swims", 2)]], {HIDDEN: 0, "a": 1, "swims": 2})
    assert ids.tolist() == [[1, 0], [2, 0]]
    assert tags.tolist() == [[0, 1], [2, -1]]
    assert lengths.tolist() == [2, 1]


def test_both_ways_a_hidden_word_is_known_by_what_follows() -> None:
    numbers = {HIDDEN: 0, "red": 1, "fish": 2, "the": 3, ".": 4}
    sentences = [[("red", 3), ("fish", 1)], [("the", 0), (".", 0)]] * 8
    torch.manual_seed(0)
    network = Labeller("gru", symbols=5, units=8, classes=len(TAGS), bidirectional=True)
    learn(network, sentences, numbers, Options(units=8, steps=80))
    ids, lengths = torch.tensor([[0, 2], [0, 4]]), torch.tensor([2, 2])
    assert give_tags(network, ids, lengths)[:, 0].tolist() == [3, 0]


@pytest.mark.slow
def test_who_reads_both_ways_knows_more_of_the_hidden_words(run: Callable[..., list[str]]) -> None:
    lines = run(tagger)[1:]
    hidden = [float(line.split("correctly, ")[1].split("%")[0]) for line in lines]
    assert hidden[1] > 90 > hidden[0]
    assert all(float(line.split(": ")[1].split("%")[0]) > 99 for line in lines)
