"""A synchronous grammar: it derives a sentence once and says it in English and in French."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources.abc import Traversable
from itertools import accumulate
from math import prod
from pathlib import Path
from typing import Final

from nmt.errors import DataError
from tools.phrasebook.inflection import agreement as agreement_of
from tools.phrasebook.lexicon import Entry, Lexicon, read_lexicon, read_table
from tools.phrasebook.rules import SELF, Piece, Rule, read_rules
from tools.phrasebook.spelling import Spelling, make_spelling

Draw = Callable[[], float]
"""A source of random numbers in [0, 1)."""

RULE_FILES = ("noun_phrases.toml", "verb_phrases.toml", "sentences.toml")
START = "sentence"
FOLDER: Final = Path(__file__).parent
"""Where the built-in grammar is."""


@dataclass(frozen=True, slots=True, eq=False)
class Derivation:
    """A rule and what fills its slots."""

    rule: Rule
    children: tuple["Derivation | Entry", ...]
    head: Entry | None
    agreement: int

    @classmethod
    def make(cls, rule: Rule, children: tuple["Derivation | Entry", ...]) -> "Derivation":
        """Fill the slots of a rule; the whole takes its head, and what agrees with it, from the rule's head slot."""
        if rule.head is None:
            return cls(rule, children, None, rule.fixed_agreement)
        child = children[rule.head]
        own = child.agreement if rule.person is None else agreement_of(rule.person, child.agreement & 1)
        return cls(rule, children, child.head if isinstance(child, Derivation) else child, own)

    def entries(self) -> Iterator[Entry]:
        """Yield every dictionary entry below, in the order of the slots."""
        for child in self.children:
            if isinstance(child, Derivation):
                yield from child.entries()
            else:
                yield child


class Grammar:
    """Rules, dictionary and spelling, ready to derive sentences."""

    def __init__(self, *, rules: dict[str, tuple[Rule, ...]], lexicon: Lexicon, spelling: Spelling) -> None:
        """Prepare the alternatives of each category for drawing."""
        self.lexicon = lexicon
        self._spelling = spelling
        self.rules = rules
        self._cumulated = {
            category: tuple(accumulate(rule.weight for rule in alternatives))
            for category, alternatives in rules.items()
        }

    def derive(self, draw: Draw) -> Derivation | None:
        """Draw a sentence: rules by weight, words evenly; None where a word of the vocabulary came twice."""
        derivation = self._derive(START, draw)
        vocabulary = [entry for entry in derivation.entries() if not entry.closed]
        return derivation if len(set(vocabulary)) == len(vocabulary) else None

    def english(self, derivation: Derivation) -> str:
        """Say a derivation in English."""
        return self._spelling.english(_text(derivation, "en", ""))

    def french(self, derivation: Derivation) -> str:
        """Say a derivation in French."""
        return self._spelling.french(_text(derivation, "fr", ""))

    def count(self) -> int:
        """Count the derivations, those with a repeated word included."""

        @cache
        def count(category: str) -> int:
            if category in self.lexicon.categories:
                return len(self.lexicon.categories[category])
            return sum(prod(count(inner) for inner in rule.categories) for rule in self.rules[category])

        return count(START)

    def _derive(self, category: str, draw: Draw) -> Derivation:
        rule = self._choose(category, draw)
        words = self.lexicon.categories
        children: list[Derivation | Entry] = []
        for inner in rule.categories:
            if inner in words:
                entries = words[inner]
                children.append(entries[int(draw() * len(entries))])
            else:
                children.append(self._derive(inner, draw))
        return Derivation.make(rule, tuple(children))

    def _choose(self, category: str, draw: Draw) -> Rule:
        weights = self._cumulated[category]
        point = draw() * weights[-1]
        return next(rule for rule, weight in zip(self.rules[category], weights, strict=True) if point < weight)


def read_grammar(folder: Traversable) -> Grammar:
    """Read a grammar's folder: dictionary, rules and spelling.

    Raises:
        DataError: A file is missing or malformed; file and entry are named.
    """
    lexicon = read_lexicon(folder)
    rules = read_rules({file: read_table(folder, file) for file in RULE_FILES}, lexicon)
    if START not in rules:
        raise DataError(f"no rule of {', '.join(RULE_FILES)} makes {START!r}")
    entries = lexicon.entries()
    plurals = {form for entry in entries for form in entry.fr.get("before", ())[2:4] if form}
    spelling = make_spelling(
        read_table(folder, "spelling.toml"),
        aspirated={form for entry in entries if entry.aspirated for form in entry.fr[""]},
        plural_adjectives=plurals,
    )
    return Grammar(rules=rules, lexicon=lexicon, spelling=spelling)


def _text(node: Derivation, language: str, variant: str) -> str:
    template = node.rule.templates.get(f"{language}_{variant}" if variant else language)
    if template is None:  # no variant of its own
        template = node.rule.templates[language]
    return "".join(piece if isinstance(piece, str) else _fill(piece, node, language) for piece in template)


def _fill(piece: Piece, node: Derivation, language: str) -> str:
    child = piece.constant or node.children[piece.slot]
    if isinstance(child, Derivation):
        if piece.text:
            return _text(child, language, piece.form)
        assert child.head is not None  # read_rules has checked it
        child = child.head
    if piece.target is None:
        agreement = piece.fixed
    else:
        agreement = node.agreement if piece.target == SELF else node.children[piece.target].agreement
    return (child.en if language == "en" else child.fr)[piece.form][agreement]
