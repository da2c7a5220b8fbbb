"""The dictionary of a synchronous grammar: entries with all their English and French forms, read from TOML."""

import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources.abc import Traversable
from typing import Any

from nmt.errors import DataError
from tools.phrasebook.inflection import (
    GENDERS,
    Forms,
    agreement,
    conjugate,
    english_ing,
    english_past,
    english_plural,
    english_third,
    french_agreement,
    french_plural,
    parse_agreement,
    spread,
)

Table = Mapping[str, Any]

_THE = ("le", "la", "les", "les")
_COMMON_KEYS = frozenset({"en", "fr", "kinds", "gradable", "closed", "before_noun"})


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """A word or fixed phrase in both languages; each form is indexed by the agreement it stands in."""

    name: str
    agreement: int
    en: dict[str, Forms]
    fr: dict[str, Forms]
    closed: bool = False
    """Grammar rather than vocabulary: determiners, pronouns, auxiliaries."""
    aspirated: bool = False
    """Its French h is aspirated: no elision before it."""


@dataclass(frozen=True, slots=True)
class Lexicon:
    """The entries by category ("noun food"), and those that rules may name without a slot."""

    categories: dict[str, tuple[Entry, ...]]
    constants: dict[str, Entry]

    def entries(self) -> list[Entry]:
        """List every entry once."""
        unique = {entry.name: entry for entries in self.categories.values() for entry in entries}
        return list(unique.values())


@dataclass(frozen=True, slots=True)
class _Word:
    """A dictionary line: what its group and the line itself say."""

    where: str
    table: Table
    kinds: tuple[str, ...]

    @property
    def en(self) -> str:
        return _first(self.table["en"])

    @property
    def fr(self) -> str:
        return _first(self.table["fr"])

    def refuse_others(self, allowed: Sequence[str]) -> None:
        unknown = sorted(set(self.table) - _COMMON_KEYS - set(allowed))
        if unknown:
            raise DataError(f"{self.where}: unknown key {unknown[0]!r}; expected one of {', '.join(sorted(allowed))}")

    def forms(self, key: str) -> Forms:
        value = self.table[key]
        forms = [value] if isinstance(value, str) else value
        if not (isinstance(forms, list) and len(forms) in (1, 4, 5) and all(isinstance(form, str) for form in forms)):
            raise DataError(f"{self.where}: {key} is {value!r}; expected one form, or a list of four or five")
        return spread(forms)


def read_table(folder: Traversable, name: str) -> dict[str, Any]:
    """Read the TOML file `name` of a grammar's folder.

    Raises:
        DataError: The file is missing, or not TOML.
    """
    try:
        return tomllib.loads((folder / name).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"{name}: missing from the phrasebook's folder {folder}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{name} is not valid TOML: {error}") from error


def required(table: Table, key: str, where: str) -> Any:
    """Return what `table` has at `key`, or say that `where` lacks it."""
    if key not in table:
        raise DataError(f"{where}: {key} is missing")
    return table[key]


def read_lexicon(folder: Traversable) -> Lexicon:
    """Read the dictionary files of a grammar's folder and inflect every entry.

    Raises:
        DataError: An entry lacks a form, has an unknown key, or stands there twice; file and entry are named.
    """
    conjugation = read_table(folder, "conjugation.toml")

    def verb(word: _Word) -> Entry:
        return _verb(word, conjugation)

    builders: dict[str, tuple[str, Callable[[_Word], Entry]]] = {
        "noun": ("nouns.toml", _noun),
        "adjective": ("adjectives.toml", _adjective),
        "verb": ("verbs.toml", verb),
        "auxiliary": ("auxiliaries.toml", verb),
        "number": ("numbers.toml", _phrase),
        "phrase": ("phrases.toml", _phrase),
    }
    reader = _Reader()
    for part, (file, build) in builders.items():
        for word in _words(read_table(folder, file), file):
            reader.add(part, word, build(word))
    return Lexicon(
        categories={name: tuple(entries) for name, entries in reader.categories.items()}, constants=reader.constants
    )


@dataclass(slots=True)
class _Reader:
    """What has been read so far."""

    categories: dict[str, list[Entry]] = field(default_factory=dict)
    constants: dict[str, Entry] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)

    def add(self, part: str, word: _Word, built: Entry) -> None:
        name = f"{part} {word.en}/{word.fr}"
        if name in self.names:
            raise DataError(f"{word.where}: {name} is in the dictionary twice; expected one entry with both kinds")
        self.names.add(name)
        closed = part == "auxiliary" or bool(word.table.get("closed", False))
        entry = Entry(name, built.agreement, built.en, built.fr, closed, built.aspirated)
        if part == "auxiliary" or "word" in word.kinds:
            self.constants[word.en] = entry
        for kind in word.kinds:
            self.categories.setdefault(f"{part} {kind}", []).append(entry)
            if part == "adjective" and word.table.get("gradable", True):
                self.categories.setdefault(f"gradable {kind}", []).append(entry)


def _words(table: Table, file: str) -> Iterator[_Word]:
    groups = table.get("group")
    if not isinstance(groups, list) or not groups:
        raise DataError(f"{file}: no [[group]] of words; expected at least one")
    for group in groups:
        shared = {key: value for key, value in group.items() if key not in ("kinds", "words")}
        for line in group.get("words", []):
            where = f"{file}: entry {line.get('en')!r}"
            for language in ("en", "fr"):
                if language not in line:
                    raise DataError(f"{where}: {language} is missing; expected the {language} form of {line!r}")
            kinds = (*group.get("kinds", ()), *line.get("kinds", ()))
            if not kinds:
                raise DataError(f"{where}: kinds is missing; expected what the word can be used for")
            word = _Word(where, {**shared, **line}, tuple(dict.fromkeys(kinds)))
            word.forms("en")
            word.forms("fr")
            yield word


def _noun(word: _Word) -> Entry:
    word.refuse_others(("en_plural", "fr_plural", "gender", "feminine", "aspirated"))
    table = word.table
    if table.get("gender") not in GENDERS:
        raise DataError(f'{word.where}: gender is {table.get("gender", "missing")}; expected "m" or "f"')
    plural_en = table.get("en_plural", english_plural(word.en))
    plural_fr = table.get("fr_plural", french_plural(word.fr))
    feminine = table.get("feminine", word.fr)
    feminine_plural = french_plural(feminine) if "feminine" in table else plural_fr
    return Entry(
        name="",
        agreement=agreement("3s", GENDERS.index(table["gender"])),
        en={"": spread([word.en, word.en, plural_en, plural_en])},
        fr={"": spread([word.fr, feminine, plural_fr, feminine_plural])},
        aspirated=table.get("aspirated", False),
    )


def _adjective(word: _Word) -> Entry:
    word.refuse_others(("comparative", "superlative", "feminine", "plural", "before_vowel"))
    table = word.table
    forms = french_agreement(word.fr, table.get("feminine"), table.get("plural"))
    # "beau|bel" is settled by the next word, when the sentence is put together.
    attributive = (f"{forms[0]}|{table['before_vowel']}", *forms[1:]) if "before_vowel" in table else forms
    before = table.get("before_noun", False)
    return Entry(
        name="",
        agreement=0,
        en={
            "": spread([word.en]),
            "comparative": spread([table.get("comparative", f"more {word.en}")]),
            "superlative": spread([table.get("superlative", f"most {word.en}")]),
        },
        fr={
            "": spread(forms),
            "before": spread(attributive if before else [""]),
            "after": spread([""] if before else attributive),
            "best_before": spread([f"plus {form}" for form in attributive] if before else [""]),
            "best_after": spread(
                [""] if before else [f"{the} plus {form}" for the, form in zip(_THE, forms, strict=True)]
            ),
        },
    )


def _verb(word: _Word, conjugation: Table) -> Entry:
    word.refuse_others(("third", "past", "ing", "present", "with_be", "tail"))
    table, en = word.table, word.en
    infinitive = word.fr.removeprefix("se ").removeprefix("s'")
    reflexive = infinitive != word.fr
    with_be = reflexive or table.get("with_be", False)
    third = table.get("third", english_third(en))
    french = _conjugate(word, infinitive, conjugation)
    auxiliary = conjugation["patterns"]["être" if with_be else "avoir"]["present"]
    pronouns = ("me", "se", "nous", "vous", "se") if reflexive else ("",)
    return Entry(
        name="",
        agreement=0,
        en={
            "base": spread([en]),
            "present": word.forms("present") if "present" in table else spread([en, third, en, en, en]),
            "past": word.forms("past") if "past" in table else spread([english_past(en)]),
            "ing": spread([table.get("ing", english_ing(en))]),
        },
        fr={
            **{name: spread(forms) for name, forms in french.items()},
            "infinitive": spread([infinitive]),
            "auxiliary": spread(auxiliary),
            "participle": spread(french["agreed"] if with_be else french["agreed"][:1]),
            "clitic": spread(pronouns),
            "tail": spread([table.get("tail", "")]),
        },
    )


def _conjugate(word: _Word, infinitive: str, conjugation: Table) -> dict[str, Forms]:
    file = "conjugation.toml"
    patterns = required(conjugation, "patterns", file)
    fits = [suffix for suffix in patterns if infinitive.endswith(suffix)]
    if not fits:
        raise DataError(f"{word.where}: no pattern of {file} fits {infinitive!r}; expected an end such as 'er'")
    suffix = max(fits, key=len)
    for key in ("present", "future", "participle"):
        required(patterns[suffix], key, f"{file}: pattern {suffix!r}")
    return conjugate(infinitive.removesuffix(suffix), patterns[suffix], required(conjugation, "endings", file))


def _phrase(word: _Word) -> Entry:
    others = [key for key in word.table if key.startswith(("en_", "fr_"))]
    word.refuse_others(("agreement", *others))
    forms: dict[str, dict[str, Forms]] = {"en": {}, "fr": {}}
    for key in ("en", "fr", *others):
        language, _, name = key.partition("_")
        forms[language][name] = word.forms(key)
    own = parse_agreement(word.table.get("agreement", "3s m"))
    if own is None:
        raise DataError(f"{word.where}: agreement is {word.table['agreement']!r}; expected for example '3s f'")
    return Entry(name="", agreement=own, en=forms["en"], fr=forms["fr"])


def _first(value: str | Sequence[str]) -> str:
    return value if isinstance(value, str) else value[0]
