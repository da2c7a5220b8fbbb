"""Sentences of the phrasebook with the class of each word, which the dictionary knows, for `nmt lab tagger`."""

import dataclasses
import re
from typing import Final

from tools.phrasebook.grammar import Derivation, Grammar
from tools.phrasebook.lexicon import Entry
from tools.phrasebook.pairs import LONGEST, Pair, random_numbers

TAGS: Final = ("other", "noun", "verb", "adjective", "number", "name")
NAMES: Final = ("phrase name", "phrase man's name", "phrase woman's name", "phrase city", "phrase country")
MARKS: Final = tuple(chr(0xE000 + number) for number in range(len(TAGS)))
"""Characters that stand in no text: one behind a word says its tag."""


def tag_of(category: str) -> str:
    """Return the tag of the words of a category of the dictionary, such as "noun food"."""
    if category in NAMES:
        return "name"
    kind = category.partition(" ")[0].replace("gradable", "adjective")
    return kind if kind in TAGS else "other"


def mark(node: Derivation, category: str) -> Derivation:
    """Put marks behind all words of a derivation that come from the dictionary."""

    def marked(child: Derivation | Entry, category: str) -> Derivation | Entry:
        if isinstance(child, Derivation):
            return mark(child, category)
        behind = MARKS[TAGS.index(tag_of(category))]
        forms = {name: tuple(re.sub(r"\S+", rf"\g<0>{behind}", text) for text in of) for name, of in child.en.items()}
        return child if child.closed else dataclasses.replace(child, en=forms)

    categories = node.rule.categories
    return Derivation.make(node.rule, tuple(marked(*each) for each in zip(node.children, categories, strict=True)))


def tagged_sentences(grammar: Grammar, count: int, *, seed: int) -> list[Pair]:
    """Draw different sentences: their words, in lower case and without punctuation, and as many tags."""
    draw, sentences = random_numbers(seed), dict[str, str]()
    while len(sentences) < count:
        derivation = grammar.derive(draw)
        words = grammar.english(mark(derivation, "sentence")).lower().split() if derivation else []
        if 1 < len(words) <= LONGEST:
            tags = (
                next((tag for tag, each in zip(TAGS, MARKS, strict=True) if each in word), "other") for word in words
            )
            sentences[re.sub(rf"[{''.join(MARKS)}.,?!]", "", " ".join(words))] = " ".join(tags)
    return list(sentences.items())
