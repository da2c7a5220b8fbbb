"""Which fields of a record hold the source and the target: those that are named, or a guess from what there is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from nmt.errors import DataError

Field = tuple[str, ...]
"""Where a text is: a name, or several where records lie in records."""

Tree = Mapping[str, Any]
"""The fields of a record by name; what is a mapping itself holds fields, all else is a text or cannot be used."""

_USUAL: Final = (("src", "tgt"), ("source", "target"))
_MOST: Final = 12
_LONGEST: Final = 40


@dataclass(frozen=True)
class Wanted:
    """What the settings of a corpus say about its fields."""

    src_field: str | None = None
    tgt_field: str | None = None
    src_lang: str | None = None
    tgt_lang: str | None = None

    def find(self, tree: Tree, where: str) -> tuple[Field, Field]:
        """Return the fields of source and target, or raise a `DataError` that begins with `where`.

        Without `src_field` and `tgt_field`, they are fields called as `src_lang` and `tgt_lang`, or "src" and "tgt", or
        "source" and "target"; next to each other, at the top or within another field such as "translation".
        """
        if self.src_field is not None and self.tgt_field is not None:
            src, tgt = _resolve(tree, self.src_field), _resolve(tree, self.tgt_field)
            if src and tgt:
                return src, tgt
            raise DataError(f"{where}: {describe(tree)}; expected {self.src_field} and {self.tgt_field}")
        guesses = (*([(self.src_lang, self.tgt_lang)] if self.src_lang and self.tgt_lang else ()), *_USUAL)
        inner = [((name,), fields) for name, fields in tree.items() if isinstance(fields, Mapping)]
        for names in guesses:
            for parent, fields in [((), tree), *inner]:
                src_name, tgt_name = (_named(fields, name) for name in names)
                if src_name and tgt_name:
                    return (*parent, src_name), (*parent, tgt_name)
        expected = ", ".join(f"{src} and {tgt}" for src, tgt in guesses)
        languages = "" if self.src_lang and self.tgt_lang else ", or languages that src_lang and tgt_lang name"
        raise DataError(
            f"{where}: {describe(tree)}; expected {expected}{languages}; src_field and tgt_field name any others"
        )


GUESS: Final = Wanted()
"""Nothing is known about the fields."""


def describe(tree: Tree) -> str:
    """Say in a few words what fields there are."""
    names = [
        f"{shown(name)}.{shown(inner)}" if inner else shown(name)
        for name, value in tree.items()
        for inner in (value if isinstance(value, Mapping) and value else ("",))
    ]
    if not names:
        return "found no fields"
    more = f" and {len(names) - _MOST} more" if len(names) > _MOST else ""
    return f"found the fields {', '.join(names[:_MOST])}{more}"


def shown(text: str) -> str:
    """Return text from a file in a form that can be shown in a line."""
    short = text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
    return short if short.isprintable() and short.strip() else ascii(short)


def first_line(error: Exception) -> str:
    """Return what an error of a library says, without the advice that some add on further lines; characters that
    cannot be shown, which may be from a damaged file, are written as escapes."""
    line = next(iter(str(error).splitlines()), "") or type(error).__name__
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in line)


def is_language(found: str, wanted: str) -> bool:
    """Whether a language, such as "en-US", is the wanted one, or a variety of it where "en" is wanted."""
    given, asked = (text.strip().lower().replace("_", "-") for text in (found, wanted))
    return given == asked or given.startswith(asked + "-")


def _named(tree: Tree, wanted: str) -> str | None:
    if wanted in tree:
        return wanted
    key = wanted.lower().replace("_", "-")
    return next((name for name in tree if name.lower().replace("_", "-") == key), None)


def _resolve(tree: Tree, name: str) -> Field | None:
    """Find the field of a name with dots, which stand between fields or are part of their names."""
    if name in tree:
        return (name,)
    head, dot, rest = name.partition(".")
    inner = tree.get(head)
    found = _resolve(inner, rest) if dot and isinstance(inner, Mapping) else None
    return (head, *found) if found else None
