"""What runs on over several lines of a document and is kept as it is: comments, scripts, code, tags, messages.

Each of these classes says what is open at some place. A line is read with what was open at the end of the line before,
so lines can be read one by one as they arrive, and no line waits for a later one.
"""

import re
from dataclasses import dataclass, replace
from typing import Final, Protocol

LINES: Final = 100
"""Lines after which a tag, a message, or code within a sentence is taken for unclosed, and text is text again."""

ALONE: Final = frozenset(
    ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr")
)
"""Elements without an end tag."""
_RAW: Final = frozenset(("script", "style", "textarea"))
"""Elements that end at the first end tag of their name."""
_INLINE: Final = frozenset(("code", "kbd", "samp", "var"))
"""Elements whose words stand in a sentence, but are none of its language."""
_NESTED: Final = _INLINE | {"pre", "math"}
"""Elements that may hold others of their name."""

_ATTRIBUTE: Final = r"""(?:
    [^\s"'<>/=]++\s*+=\s*+(?:"[^"]*+"|'[^']*+'|[^\s"'<>`]++)
    | (?:[@:\#*\[(]|[\w.]++[-:])[^\s"'<>/=]*+                       # @click #item data-x v-else xml:x
    | (?:allowfullscreen|async|autofocus|autoplay|checked|controls|default|defer|disabled|download|hidden|inert|ismap
        |itemscope|loop|multiple|muted|nomodule|novalidate|open|playsinline|readonly|required|reversed|selected)
  )(?=[\s/>]|$)"""
_IN_A_TAG: Final = re.compile(
    rf"""\s*+(?:"[^"]*+"|'[^']*+')?(?:\s*+{_ATTRIBUTE})*+\s*+
    (?:(?P<end>/?>) | /?$ | [^\s"'<>/=]++\s*+=\s*+(?:$|(?P<quote>["'])(?:(?!(?P=quote))[^<>])*+$))""",
    re.VERBOSE | re.IGNORECASE,
)
_KEPT: Final = re.compile(
    r"""\btranslate\s*=\s*["']?no\b|\bclass\s*=\s*(["'])(?:[^"']*\s)?notranslate(?:\s[^"']*)?\1""", re.IGNORECASE
)
_BRACES: Final = re.compile(r"''|'[{}#|](?:[^']|'')*+'|[{}]")
"""Braces of a message, and what apostrophes quote."""


class Region(Protocol):
    """What is open at a place in a line."""

    def read(self, line: str, start: int) -> tuple[int, "Region | None"]:
        """Return how far it goes in a line from `start`, and what is open there; `start` and None if it was text."""
        ...


def through(line: str, start: int, region: Region | None) -> tuple[int, Region | None]:
    """Return how far what is open at `start` goes, with what follows it directly, and what is open at the end."""
    while region is not None:
        start, region = region.read(line, start)
        if start == len(line):
            break
    return start, region


def is_old(region: Region | None) -> bool:
    """Tell whether what is open has gone on for as many lines as it may, where there is a limit."""
    return isinstance(region, Element | Tag | Message) and region.lines == LINES


@dataclass(frozen=True)
class Section:
    """A comment, a CDATA section, a processing instruction or a declaration, up to its end mark."""

    end: str

    def read(self, line: str, start: int) -> tuple[int, Region | None]:
        """See `Region`."""
        found = line.find(self.end, start)
        return (len(line), self) if found < 0 else (found + len(self.end), None)


@dataclass(frozen=True)
class Element:
    """The content of an element that is not translated, with its end tag."""

    name: str
    """In small letters."""
    depth: int = 1
    """Elements of the name that are open in each other."""
    lines: int = 0
    """Lines that it has gone on for."""

    def read(self, line: str, start: int) -> tuple[int, Region | None]:
        """See `Region`."""
        depth = self.depth
        slash = "(/)" if self.name in _RAW else "(/?)"
        tags = re.compile(rf"<{slash}{re.escape(self.name)}(?=[\s/>]|$)[^<>]*+>?", re.IGNORECASE)
        for match in tags.finditer(line, start):
            if match[1]:
                depth -= 1
            elif not match[0].endswith("/>"):
                depth += 1
            if not depth:
                return match.end(), None if match[0].endswith(">") else Tag("")
        if self.name in _INLINE and self.lines == LINES:
            return start, None
        return len(line), replace(self, depth=depth, lines=self.lines + 1)


@dataclass(frozen=True)
class Tag:
    """A tag behind its name or one of its attributes."""

    name: str
    """In small letters; empty for an end tag."""
    quote: str = ""
    """The mark that ends the value of an attribute that is open."""
    kept: bool = False
    """Whether an attribute says that the element is not to be translated."""
    lines: int = 0
    """Lines that it has gone on for."""

    def read(self, line: str, start: int) -> tuple[int, Region | None]:
        """See `Region`."""
        position = start
        if self.quote:
            found = line.find(self.quote, start)
            position = len(line) if found < 0 else found
            if re.search(r"<[A-Za-z/]", line[start:position]):
                return start, None
            if found < 0:
                return self._gone_on(line, start, self.quote)
        match = _IN_A_TAG.match(line, position + len(self.quote))
        if not match:
            return start, None
        if not match["end"]:
            return self._gone_on(line, start, match["quote"] or "")
        kept = self.kept or bool(_KEPT.search(line, start, match.end()))
        return match.end(), content(self.name, kept=kept) if match["end"] == ">" else None

    def _gone_on(self, line: str, start: int, quote: str) -> tuple[int, Region | None]:
        if self.lines == LINES:
            return start, None
        kept = self.kept or bool(_KEPT.search(line, start))
        return len(line), Tag(self.name, quote, kept, self.lines + 1)


def content(name: str, *, kept: bool) -> Element | None:
    """Return the content of an element that is not translated, because of its name or because its tag says so."""
    is_kept = name in _RAW or name in _NESTED or (kept and name not in ALONE)
    return Element(name) if name and is_kept else None


def says_kept(tag: str) -> bool:
    """Tell whether a tag says that its element is not to be translated."""
    return bool(_KEPT.search(tag))


@dataclass(frozen=True)
class Message:
    """A message in ICU's format, such as `{n, plural, one {# book} other {# books}}`, behind its first brace."""

    depth: int = 1
    """Braces that are open."""
    lines: int = 0
    """Lines that it has gone on for."""

    def read(self, line: str, start: int) -> tuple[int, Region | None]:
        """See `Region`."""
        depth = self.depth
        for match in _BRACES.finditer(line, start):
            depth += {"{": 1, "}": -1}.get(match[0], 0)
            if not depth:
                return match.end(), None
        return (start, None) if self.lines == LINES else (len(line), Message(depth, self.lines + 1))


@dataclass(frozen=True)
class MessageHead:
    """The first lines of a message, up to its comma: it is one if the next line with text says of which type."""

    def read(self, line: str, start: int) -> tuple[int, Region | None]:
        """See `Region`."""
        if not line[start:].strip():
            return len(line), self
        match = re.compile(r"\s*(?:plural|selectordinal|select|choice)\b").match(line, start)
        return (match.end(), Message()) if match else (start, None)
