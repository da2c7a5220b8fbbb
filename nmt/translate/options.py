"""How lines are to be translated; and terminology: words that follow from terms of the source."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple, Self

from pydantic import ConfigDict, Field, ModelWrapValidatorHandler, ValidationError, model_validator

from nmt.config import SearchSettings, Settings, change_settings
from nmt.config.load import describe_misfit
from nmt.errors import ConfigError, DataError, UsageError, counted
from nmt.io.lines import clean, normalise, read_lines
from nmt.search.sampling import Sampling
from nmt.shortlist.lexicon import MULTIPLE
from nmt.text.characters import continues, is_sign

Utility = Literal["chrf", "bleu"]

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
    length: int
    """Characters, spaces between words counted."""


@dataclass(frozen=True)
class Terminology:
    """Source terms and their translations."""

    _terms: dict[str, list[_Term]] = field(default_factory=dict)
    """The terms by their first word, case folded, whether or not its i have dots."""
    _path: Path = Path()
    """Where they were read."""

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a file of source term <tab> target term lines; lines that start with # and blank lines are comments.

        A DataError says which line is not two terms, or gives a source term another target than a line before.
        """
        terms: dict[str, list[_Term]] = {}
        known: dict[tuple[_Word, ...], _Term] = {}
        for number, (source, target) in _entries(path):
            first_letter = next((i for i, character in enumerate(source) if character.isalpha()), 0)
            exact = any(character.isupper() for character in source[first_letter + 1 :])
            words = tuple(_words(source))
            term = _Term(words, target, exact, number, sum(len(word.text) + word.spaced for word in words))
            other = known.setdefault(words if exact else _fold(words), term)
            if other.target != term.target:
                raise DataError(
                    f"{path}, line {number}: found the target {term.target!r} for a source term that has "
                    f"{other.target!r} in line {other.line}; expected one target for each source term"
                )
            if other is term:
                terms.setdefault(_key(words[0]), []).append(term)
        return cls(terms, path)

    def without_case(self) -> Self:
        """Return the same terms for text in small letters, in which they match whatever capitals they have.

        A DataError says which terms are then one, but have different targets.
        """
        every = [replace(term, exact=False) for some in self._terms.values() for term in some]
        known: dict[tuple[_Word, ...], _Term] = {}
        for term in every:
            other = known.setdefault(_fold(term.words), term)
            if other.target != term.target:
                raise DataError(
                    f"{self._path}: the terms of lines {other.line} and {term.line} are one in small letters, as the "
                    f"model reads text (data.lowercase): found the targets {other.target!r} and {term.target!r}, "
                    "expected one"
                )
        terms: dict[str, list[_Term]] = {}
        for term in known.values():
            terms.setdefault(_key(term.words[0]), []).append(term)
        return type(self)(terms, self._path)

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
        words = tuple(_words(normalise(text)))
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

    def _matches(self, words: tuple[_Word, ...], start: int) -> Iterator[_Term]:
        for term in self._terms.get(_key(words[start]), ()):
            there = (words[start]._replace(spaced=False), *words[start + 1 : start + len(term.words)])
            if there == term.words or (
                not term.exact
                and (_fold(there) == _fold(term.words) or _fold(there, _TURKISH) == _fold(term.words, _TURKISH))
            ):
                yield term


def load_dictionary(path: Path) -> dict[str, str]:
    """Read source word <tab> target word lines, a DataError as for terms; the last of equal ones counts."""
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
        if word and (is_sign(character) or all(continues(one) or one == "_" for one in (word[-1], character))):
            word += character
            continue
        if word:
            yield _Word(word, spaced)
            spaced = False
        word, spaced = ("", True) if character.isspace() else (character, spaced)
    if word:
        yield _Word(word, spaced)


def _key(word: _Word) -> str:
    return word.text.translate(_WITH_DOTS).casefold()


def _fold(words: tuple[_Word, ...], capitals: Mapping[int, int] = MappingProxyType({})) -> tuple[_Word, ...]:
    """Leave the case of words out of account, `capitals` having small letters of their own."""
    return tuple(word._replace(text=word.text.translate(capitals).casefold()) for word in words)


_SEARCH: Final = frozenset(SearchSettings.model_fields)


class Options(SearchSettings):
    """What a user asks of the translation of lines; the defaults ask for the best translation that the model knows.

    Settings of the search can be given by name; for those that are not, the model's own hold, whatever their defaults
    here say: `search` puts them together. A value out of range is a UsageError.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    n_best: int = 1
    """Translations of each line, at most the beam size; samples, where `sampling` says so."""
    lm_rescore: bool = False
    """Let the language model, if there is one, rescore the finished hypotheses of the beam instead of choosing their
    pieces too."""
    sampling: Sampling | None = None
    """Draw translations at random instead of searching for the best, without `beam_size` and `coverage_penalty`."""
    mbr: int = Field(default=0, ge=0, le=1000)
    """Of so many translations, the best of a beam at least as wide, or samples if `sampling` says so, take the one that
    is most like all of them (minimum Bayes risk; Kumar and Byrne, 2004); how much it is becomes its score. 0: take the
    most probable."""
    utility: Utility = "bleu"
    """The score of sentences that says, for `mbr`, how alike two translations are."""
    alignment: bool = False
    """Say which words belong together, which a model without attention cannot."""
    details: bool = False
    """Give the pieces of both sides, the attention between them, zero in a model without, and which words belong
    together by it, then none."""
    unknown: Mapping[str, str] | None = None
    """Let the model say that it does not know a word, and put the source word or its translation in here instead; what
    is carried over is looked up in here too."""
    document: bool = False
    """A line is a paragraph, whose sentences are translated one by one."""
    markup: bool = False
    """Lines are those of a document. Tags, placeholders, format codes and code come out as they went in, beside the
    words that the attention says or, in a model without, at the same share of the line; see `nmt.markup.scanning`."""
    tag: str | None = None
    """A piece such as "<news>" that is put before each sentence, as before those of a corpus in training."""
    keep: re.Pattern[str] | None = None
    """With `markup`: other spans that come out as they went in."""
    terms: Terminology | None = None
    """Words that have to appear because their source terms do."""
    required: tuple[str, ...] = ()
    """Words that have to appear in every translation."""
    forbidden: tuple[str, ...] = ()
    """Words that may appear in none, as whole words; what is copied from the source is not looked at."""
    prefix_after_tab: bool = False
    """What follows a tab in a line is how its translation has to begin."""

    @model_validator(mode="wrap")
    @classmethod
    def _refuse_what_is_out_of_range(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if isinstance(values, dict):  # None leaves a setting of the search to the model
            values = {name: value for name, value in values.items() if name not in _SEARCH or value is not None}
        try:
            return handler(values)
        except ValidationError as error:
            section = "search." if _SEARCH.intersection(error.errors()[0]["loc"]) else ""
            raise UsageError(f"settings: {describe_misfit(error, section)}") from error

    @property
    def attention(self) -> bool:
        """Whether it has to be known what was read for each word."""
        return self.alignment or self.details or self.markup or self.unknown is not None

    def text_of(self, line: str) -> tuple[str, str]:
        """Cut a line into what is to be translated and how its translation has to begin."""
        text, _, prefix = line.partition("\t") if self.prefix_after_tab else (line, "", "")
        return text, prefix

    def search(self, settings: Settings) -> SearchSettings:
        """Return the settings of the search: these where set, else the model's; a UsageError if they do not agree."""
        chosen = self.model_dump(include=set(SearchSettings.model_fields), exclude_unset=True)
        try:
            search = change_settings(settings, "search", chosen).search
        except ConfigError as error:
            raise UsageError(str(error)) from error
        if self.mbr and not self.sampling:
            search = search.model_copy(update={"beam_size": max(search.beam_size, self.mbr)})
        self._check(search)
        return search

    def _check(self, search: SearchSettings) -> None:
        if "precision" in self.model_fields_set:
            raise UsageError(f"search.precision = {self.precision} is chosen when a model is loaded; say it there")
        if self.mbr and not 1 <= self.n_best <= self.mbr:
            raise UsageError(
                f"{self.n_best} translations per line were requested, but mbr = {self.mbr} chooses among {self.mbr}"
            )
        if self.n_best < 1 or (self.n_best > search.beam_size and not self.sampling):
            raise UsageError(
                f"{self.n_best} translations per line were requested, but search.beam_size = {search.beam_size} "
                f"gives 1 to {search.beam_size}"
            )
        if self.sampling:
            self._check_sampling()
        if self.lm_rescore:
            self.check_rescoring(search)
        if search.min_length_ratio > search.max_length_ratio:
            raise UsageError(
                f"search.min_length_ratio = {search.min_length_ratio} is above "
                f"search.max_length_ratio = {search.max_length_ratio}"
            )
        if search.shortlist % MULTIPLE:
            raise UsageError(f"search.shortlist = {search.shortlist}: expected a multiple of {MULTIPLE}, or 0")
        if search.shortlist and (self.prefix_after_tab or self.required or self.terms):
            raise UsageError(
                f"search.shortlist = {search.shortlist} lacks pieces that a prefix, a term or a required word needs; "
                "use it without them, or set it to 0"
            )

    def check_rescoring(self, search: SearchSettings) -> None:
        """Refuse, with a UsageError, what leaves other models nothing to choose from."""
        if self.sampling or self.mbr:
            found = "samples" if self.sampling else "translations that are chosen by their likeness (mbr)"
            raise UsageError(f"{found} cannot be rescored by other models; leave one of them out")
        if search.beam_size == 1:
            raise UsageError("search.beam_size = 1 leaves nothing to rescore: set it to 2 or more")

    def _check_sampling(self) -> None:
        # what the model's own settings hold is no error
        for name in ("beam_size", "coverage_penalty"):
            if name in self.model_fields_set:
                found = f"search.{name} = {getattr(self, name)}"
                raise UsageError(f"{found} has no effect on sampling; leave one of them out")
        if self.required or self.terms:
            raise UsageError("required words cannot be combined with sampling; leave one of them out")


DEFAULT: Final = Options()
