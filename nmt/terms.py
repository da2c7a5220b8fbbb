"""Terminology: which words a translation must have, because their source has its terms."""

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Final, NamedTuple, Self

from nmt.corpus.invisible import clean
from nmt.corpus.reading import normalise, read_lines
from nmt.errors import DataError

# Thai to Burmese, Khmer, kana and ideographs: scripts that do not show where a word ends.
_WITHOUT_SPACES: Final = (
    *(range(0x0E00, 0x0F00), range(0x1000, 0x10A0), range(0x1780, 0x1800), range(0x3040, 0x3100)),
    *(range(0x3400, 0xA000), range(0xF900, 0xFB00), range(0x20000, 0x40000)),
)


class _Word(NamedTuple):
    text: str
    spaced: bool
    """Whether white space comes before it."""


@dataclass(frozen=True)
class _Term:
    words: tuple[_Word, ...]
    target: str
    exact: bool
    """Whether capitals matter."""
    line: int


@dataclass(frozen=True)
class Terminology:
    """Source terms and their translations."""

    _terms: dict[str, list[_Term]] = field(default_factory=dict)
    """The terms by their first word, case folded."""

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a file of source term <tab> target term lines; lines that start with # and blank lines are comments.

        Raises:
            DataError: The file cannot be read, a line is not two terms, or a source term has two different targets.
        """
        terms: dict[str, list[_Term]] = {}
        known: dict[tuple[_Word, ...], _Term] = {}
        for number, columns in _entries(path):
            term = _make_term(*columns, number)
            key = term.words if term.exact else _fold(term.words)
            other = known.setdefault(key, term)
            if other.target != term.target:
                raise DataError(
                    f"{path}, line {number}: found the target {term.target!r} for a source term that has "
                    f"{other.target!r} in line {other.line}; expected one target for each source term"
                )
            if other is term:
                terms.setdefault(key[0].text.casefold(), []).append(term)
        return cls(terms)

    @property
    def targets(self) -> list[str]:
        """All target terms, in no special order."""
        return [term.target for terms in self._terms.values() for term in terms]

    def required(self, text: str) -> list[str]:
        """Return the target terms that the translation of `text` must have, one for each occurrence, in source order.

        Terms match whole words (in scripts without spaces, any characters), whatever their case unless the term has a
        capital beyond its first letter. Where matches overlap the longest counts, then the one of exact case, then the
        first.
        """
        words = list(_words(normalise(text)))
        found = [(start, term) for start in range(len(words)) for term in self._matches(words, start)]
        found.sort(key=lambda match: (-_length(match[1].words), not match[1].exact, match[0]))
        taken: set[int] = set()
        chosen: list[tuple[int, str]] = []
        for start, term in found:
            covered = range(start, start + len(term.words))
            if taken.isdisjoint(covered):
                taken.update(covered)
                chosen.append((start, term.target))
        return [target for _, target in sorted(chosen)]

    def _matches(self, words: list[_Word], start: int) -> Iterator[_Term]:
        for term in self._terms.get(words[start].text.casefold(), ()):
            there = tuple(words[start : start + len(term.words)])
            there = (there[0]._replace(spaced=False), *there[1:])
            if (there == term.words) if term.exact else (_fold(there) == _fold(term.words)):
                yield term


def load_dictionary(path: Path) -> dict[str, str]:
    """Read a file of source word <tab> target word lines, in the form of a terminology; the last of equal ones counts.

    Raises:
        DataError: The file cannot be read, or a line is not two words.
    """
    return dict(columns for _, columns in _entries(path))


def _entries(path: Path) -> Iterator[tuple[int, tuple[str, str]]]:
    """Read numbered lines of two columns; lines that start with # and blank lines are comments."""
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        columns = [normalise(column) for column in line.split("\t")]
        if len(columns) != 2:
            found = f"{len(columns)} column" + ("s" if len(columns) > 1 else "")
            raise DataError(f"{path}, line {number}: found {found}, expected 2: source term <tab> target term")
        if not all(map(clean, columns)):
            side = "target" if clean(columns[0]) else "source"
            raise DataError(f"{path}, line {number}: found no {side} term, expected source term <tab> target term")
        yield number, (columns[0], columns[1])


def _make_term(source: str, target: str, number: int) -> _Term:
    first_letter = next((i for i, character in enumerate(source) if character.isalpha()), 0)
    exact = any(character.isupper() for character in source[first_letter + 1 :])
    return _Term(tuple(_words(source)), target, exact, number)


def _words(text: str) -> Iterator[_Word]:
    """Cut a text into words, single marks, and single characters of scripts without spaces; what nobody sees counts
    for nothing."""
    spaced = False
    for (is_space, _), characters in groupby(
        enumerate(clean(text)), key=lambda item: (item[1].isspace(), _group(*item))
    ):
        if not is_space:
            yield _Word("".join(character for _, character in characters), spaced)
        spaced = is_space


def _group(index: int, character: str) -> int:
    """Return what neighbours of one word have in common: -1 for letters, marks and digits, else their own place."""
    if character.isspace():
        return -1
    if any(ord(character) in script for script in _WITHOUT_SPACES):
        return index
    return -1 if unicodedata.category(character)[0] in "LMN" or character == "_" else index


def _fold(words: tuple[_Word, ...]) -> tuple[_Word, ...]:
    return tuple(word._replace(text=word.text.casefold()) for word in words)


def _length(words: tuple[_Word, ...]) -> int:
    return sum(len(word.text) + word.spaced for word in words)
