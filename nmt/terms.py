"""Terminology: which words a translation must have, because their source has its terms."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple, Self

from nmt.corpus.invisible import clean
from nmt.corpus.reading import normalise, read_lines
from nmt.errors import DataError
from nmt.unspaced import continues, is_sign
from nmt.wording import counted

_TURKISH: Final = str.maketrans("I\u0130", "\u0131i")
"""Capitals whose small letters are others in Turkish and Azerbaijani."""
_WITH_DOTS: Final = str.maketrans("I\u0130\u0131", "iii")


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

    @property
    def length(self) -> int:
        """Characters, spaces between words counted."""
        return sum(len(word.text) + word.spaced for word in self.words)


@dataclass(frozen=True)
class Terminology:
    """Source terms and their translations."""

    _terms: dict[str, list[_Term]] = field(default_factory=dict)
    """The terms by their first word, case folded, whether or not its i have dots."""

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a file of source term <tab> target term lines; lines that start with # and blank lines are comments.

        Raises:
            DataError: The file cannot be read, a line is not two terms, or a source term has two different targets.
        """
        terms: dict[str, list[_Term]] = {}
        known: dict[tuple[_Word, ...], _Term] = {}
        for number, columns in _entries(path):
            source, target = columns
            first_letter = next((i for i, character in enumerate(source) if character.isalpha()), 0)
            exact = any(character.isupper() for character in source[first_letter + 1 :])
            term = _Term(tuple(_words(source)), target, exact, number)
            key = term.words if term.exact else _fold(term.words)
            other = known.setdefault(key, term)
            if other.target != term.target:
                raise DataError(
                    f"{path}, line {number}: found the target {term.target!r} for a source term that has "
                    f"{other.target!r} in line {other.line}; expected one target for each source term"
                )
            if other is term:
                terms.setdefault(_key(term.words[0]), []).append(term)
        return cls(terms)

    @property
    def targets(self) -> list[str]:
        """All target terms, in no special order."""
        return [term.target for terms in self._terms.values() for term in terms]

    def required(self, text: str) -> list[str]:
        """Return the target terms that the translation of `text` must have, one for each occurrence, in source order.

        Terms match whole words (in scripts without spaces, any characters with the marks on them), whatever their case
        unless the term has a capital beyond its first letter; the small letter of I is that of English or that
        of Turkish. Where matches overlap the longest counts, then the one of exact case, then the first.
        """
        words = list(_words(normalise(text)))
        found = [(start, term) for start in range(len(words)) for term in self._matches(words, start)]
        found.sort(key=lambda match: (-match[1].length, not match[1].exact, match[0]))
        taken: set[int] = set()
        chosen: list[tuple[int, str]] = []
        for start, term in found:
            covered = range(start, start + len(term.words))
            if taken.isdisjoint(covered):
                taken.update(covered)
                chosen.append((start, term.target))
        return [target for _, target in sorted(chosen)]

    def _matches(self, words: list[_Word], start: int) -> Iterator[_Term]:
        for term in self._terms.get(_key(words[start]), ()):
            there = (words[start]._replace(spaced=False), *words[start + 1 : start + len(term.words)])
            if (there == term.words) if term.exact else _same(there, term.words):
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
            found = counted(len(columns), "column")
            raise DataError(f"{path}, line {number}: found {found}, expected 2: source term <tab> target term")
        if not all(map(clean, columns)):
            side = "target" if clean(columns[0]) else "source"
            raise DataError(f"{path}, line {number}: found no {side} term, expected source term <tab> target term")
        yield number, (columns[0], columns[1])


def _words(text: str) -> Iterator[_Word]:
    """Cut a text into words, single marks, and single characters of scripts without spaces, with the vowel and tone
    signs on them; what nobody sees counts for nothing."""
    word, spaced = "", False
    for character in clean(text):
        if word and (is_sign(character) or (_is_of_words(word[-1]) and _is_of_words(character))):
            word += character
            continue
        if word:
            yield _Word(word, spaced)
            spaced = False
        word, spaced = ("", True) if character.isspace() else (character, spaced)
    if word:
        yield _Word(word, spaced)


def _is_of_words(character: str) -> bool:
    return continues(character) or character == "_"


def _key(word: _Word) -> str:
    return word.text.translate(_WITH_DOTS).casefold()


def _same(words: tuple[_Word, ...], others: tuple[_Word, ...]) -> bool:
    """Tell whether words differ in their case only, in Turkish or in any other language."""
    turkish, others_turkish = (
        tuple(word._replace(text=word.text.translate(_TURKISH)) for word in side) for side in (words, others)
    )
    return _fold(words) == _fold(others) or _fold(turkish) == _fold(others_turkish)


def _fold(words: tuple[_Word, ...]) -> tuple[_Word, ...]:
    return tuple(word._replace(text=word.text.casefold()) for word in words)
