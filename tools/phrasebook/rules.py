"""The rules of a synchronous grammar: pairs of templates with slots, read from TOML, checked against the dictionary."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from nmt.errors import DataError
from tools.phrasebook.inflection import PERSONS, parse_agreement
from tools.phrasebook.lexicon import Entry, Lexicon

SELF: Final = -1
"""The target of a piece that agrees with the very phrase it stands in."""

_KEYS = frozenset({"makes", "slots", "each", "weight", "head", "number", "agreement"})
_FIELD = re.compile(r"\{([^{}]*)\}")
_NAME = re.compile(r"(?P<name>[^.@]+)(?:\.(?P<form>[^.@]+))?(?:@(?P<target>[^.@]+))?")


@dataclass(frozen=True, slots=True)
class Piece:
    """A place in a template that is filled from a slot, or from a constant of the dictionary."""

    slot: int
    constant: Entry | None
    form: str
    text: bool
    """Filled with the text of a phrase, in the variant `form`; otherwise with a form of its head."""
    target: int | None
    """The slot to agree with, or `SELF`; None: the agreement is `fixed`."""
    fixed: int


Template = tuple[str | Piece, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """One way to make a category: what fills its slots, and how it is said in each language."""

    where: str
    makes: str
    categories: tuple[str, ...]
    weight: float
    head: int | None
    """The slot whose word gives the forms and the gender of the whole."""
    person: str | None
    """The person of the whole; None: that of its head."""
    fixed_agreement: int
    """The agreement of a whole that has no head."""
    templates: dict[str, Template]
    """"en", "fr" and variants such as "fr_negated"."""


def read_rules(files: Mapping[str, Mapping[str, Any]], lexicon: Lexicon) -> dict[str, tuple[Rule, ...]]:
    """Compile the [[rule]] tables of some TOML files, keyed by file name, into the rules for each category.

    Raises:
        DataError: A rule does not fit the dictionary or the other rules; file and rule are named.
    """
    lists = {name: kinds for table in files.values() for name, kinds in table.get("lists", {}).items()}
    drafts = [draft for file, table in files.items() for draft in _drafts(file, table, lists)]
    variants: dict[str, set[str]] = {}
    for draft in drafts:
        names = {key.partition("_")[2] for key in draft.templates}
        variants.setdefault(draft.makes, set()).update(names)
    rules: dict[str, list[Rule]] = {}
    for draft in drafts:
        rules.setdefault(draft.makes, []).append(draft.compile(lexicon, variants))
    compiled = {category: tuple(alternatives) for category, alternatives in rules.items()}
    _Checker(compiled, lexicon).check()
    return compiled


@dataclass(frozen=True, slots=True)
class _Draft:
    """A rule as written, for one of the kinds it is written for."""

    where: str
    makes: str
    slots: dict[str, str]
    table: Mapping[str, Any]
    weight: float

    @property
    def templates(self) -> dict[str, str]:
        return {key: value for key, value in self.table.items() if key.partition("_")[0] in ("en", "fr")}

    def compile(self, lexicon: Lexicon, variants: Mapping[str, set[str]]) -> Rule:
        for name, category in self.slots.items():
            if category not in lexicon.categories and category not in variants:
                raise DataError(f"{self.where}: slot {name!r} asks for {category!r}, which no word and no rule gives")
            if name != self.table.get("head") and not re.search(rf"{{{name}[.@}}]", self.templates["en"]):
                raise DataError(f"{self.where}: slot {name!r} is not in the English template {self.templates['en']!r}")
        names = list(self.slots)
        head = self.table.get("head")
        if head is not None and head not in names:
            raise DataError(f"{self.where}: head is {head!r}; expected one of the slots {', '.join(names)}")
        fixed = parse_agreement(self.table.get("agreement", "3s m"))
        if fixed is None:
            raise DataError(f"{self.where}: agreement is {self.table['agreement']!r}; expected for example '3p f'")
        person = {None: None, "singular": "3s", "plural": "3p"}[self.table.get("number")]
        return Rule(
            where=self.where,
            makes=self.makes,
            categories=tuple(self.slots.values()),
            weight=self.weight,
            head=None if head is None else names.index(head),
            person=person,
            fixed_agreement=fixed,
            templates={key: tuple(self._parse(text, lexicon, variants)) for key, text in self.templates.items()},
        )

    def _parse(self, text: str, lexicon: Lexicon, variants: Mapping[str, set[str]]) -> Iterator[str | Piece]:
        for index, part in enumerate(_FIELD.split(text)):
            if index % 2:
                yield self._piece(part, lexicon, variants)
            elif part:
                yield part

    def _piece(self, text: str, lexicon: Lexicon, variants: Mapping[str, set[str]]) -> Piece:
        match = _NAME.fullmatch(text)
        if match is None:
            raise DataError(
                f"{self.where}: cannot read {{{text}}}; expected {{slot}}, {{slot.form}} or {{slot.form@slot}}"
            )
        name, form, target = match["name"], match["form"] or "", match["target"]
        names = list(self.slots)
        if name not in names and name not in lexicon.constants:
            raise DataError(f"{self.where}: unknown slot {{{text}}}; expected one of {', '.join(names)}")
        slot = names.index(name) if name in names else -1
        return Piece(
            slot=slot,
            constant=None if name in names else lexicon.constants[name],
            form=form,
            text=name in names and target is None and form in variants.get(self.slots[name], ()),
            target=SELF if target == "self" else names.index(target) if target in names else None,
            fixed=0 if target is None or target == "self" or target in names else self._person(target),
        )

    def _person(self, target: str) -> int:
        fixed = parse_agreement(target if " " in target else f"{target} m")
        if fixed is None:
            expected = ", ".join(["self", *self.slots, *PERSONS])
            raise DataError(f"{self.where}: nothing to agree with is called {target!r}; expected one of {expected}")
        return fixed


def _drafts(file: str, table: Mapping[str, Any], lists: Mapping[str, Sequence[str]]) -> Iterator[_Draft]:
    for number, rule in enumerate(table.get("rule", []), start=1):
        where = f"{file}: rule {number} ({rule.get('makes', 'makes is missing')})"
        for key in ("makes", "en", "fr"):
            if key not in rule:
                raise DataError(f"{where}: {key} is missing; expected makes, en and fr")
        unknown = sorted(key for key in set(rule) - _KEYS if key.partition("_")[0] not in ("en", "fr"))
        if unknown:
            raise DataError(f"{where}: unknown key {unknown[0]!r}; expected one of {', '.join(sorted(_KEYS))}")
        if rule.get("number", "plural") not in ("singular", "plural"):
            raise DataError(f"{where}: number is {rule['number']!r}; expected singular or plural")
        each = rule.get("each", [""])
        kinds = lists.get(each, []) if isinstance(each, str) else each
        if not kinds:
            raise DataError(f"{where}: each is {each!r}; expected kinds, or one of the lists {', '.join(lists)}")
        for kind in kinds:
            slots = {name: category.replace("*", kind) for name, category in rule.get("slots", {}).items()}
            weight = rule.get("weight", 1) / (1 if "*" in rule["makes"] else len(kinds))
            yield _Draft(where, rule["makes"].replace("*", kind), slots, rule, weight)


@dataclass(frozen=True, slots=True)
class _Checker:
    """Whether the compiled rules can always be expanded: no circles, and every form that is asked for exists."""

    rules: dict[str, tuple[Rule, ...]]
    lexicon: Lexicon

    def check(self) -> None:
        for category in self.rules:
            self._refuse_circles(category, ())
        for alternatives in self.rules.values():
            for rule in alternatives:
                for key, template in rule.templates.items():
                    for piece in template:
                        if isinstance(piece, Piece) and not piece.text:
                            self._check_form(rule, piece, key)

    def _refuse_circles(self, category: str, path: tuple[str, ...]) -> None:
        if category in path:
            raise DataError(f"the rules run in a circle: {' -> '.join((*path, category))}")
        for rule in self.rules.get(category, ()):
            for inner in rule.categories:
                self._refuse_circles(inner, (*path, category))

    def _check_form(self, rule: Rule, piece: Piece, key: str) -> None:
        heads = self._heads(rule.categories[piece.slot], rule) if piece.constant is None else [piece.constant]
        for entry in heads:
            forms = entry.en if key.startswith("en") else entry.fr
            if piece.form not in forms:
                raise DataError(
                    f"{rule.where}: {key} asks for the form {piece.form!r} of {entry.name}; "
                    f"expected one of {', '.join(repr(form) for form in forms)}"
                )

    def _heads(self, category: str, asking: Rule) -> list[Entry]:
        if category in self.lexicon.categories:
            return list(self.lexicon.categories[category])
        heads: list[Entry] = []
        for rule in self.rules[category]:
            if rule.head is None:
                raise DataError(f"{asking.where}: asks for a form of {category!r}, but {rule.where} has no head")
            heads += self._heads(rule.categories[rule.head], asking)
        return heads
