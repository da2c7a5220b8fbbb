"""What of a line is markup: read from left to right, with what is open from the lines before.

In a document these stay as they are, over line ends too: comments, CDATA, processing instructions, declarations; the
elements `script`, `style`, `textarea`, `pre`, `code`, `kbd`, `samp`, `var`, `math`, and those with `translate="no"` or
the class `notranslate`; tags with all their attributes; messages in ICU's format.

A tag begins with `<` or `</` and a letter; a `<` before anything else is text. One that goes over the line end has to
go on with attributes, as `name=value` or well-known names without a value, or with what an open quote holds, without
tags; else it was none, and text goes on.

What is open at some place is said by a `Region`. A line is read with what was open at the end of the line before, so
lines can be read one by one as they arrive, and no line waits for a later one.
"""

import html
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, Protocol

from nmt.io.lines import Begun

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


def through(line: str, start: int, region: Region | None) -> tuple[int, Region | None]:
    """Return how far what is open at `start` goes, with what follows it directly, and what is open at the end."""
    while region is not None:
        start, region = region.read(line, start)
        if start == len(line):
            break
    return start, region


@dataclass(frozen=True)
class Comment:
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
    """A tag after its name or one of its attributes."""

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


@dataclass(frozen=True)
class Message:
    """A message in ICU's format, such as `{n, plural, one {# book} other {# books}}`, after its first brace."""

    depth: int = 1
    lines: int = 0

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


_TAG: Final = r"""
    <(?P<slash>/?)(?P<name>[A-Za-z_][\w:.-]*+|\d++(?=/?>))         # <b> </b> <br/> <1> </1>
    (?:\s[^<>"']*+(?:"[^"]*+"[^<>"']*+|'[^']*+'[^<>"']*+)*+)?/?>   # <a href="...">
"""
_A_TAG: Final = re.compile(_TAG, re.VERBOSE)
_COMMENT_ENDS: Final = {"<!--": "-->", "<![CDATA[": "]]>", "<?": "?>", "<!": ">"}
_BUILT_IN: Final = re.compile(
    _TAG
    + r"""
    | (?P<comment><!--|<!\[CDATA\[|<\?(?=xml\b|php\b|=)|<!(?=(?i:doctype|entity|element|attlist|notation)\b))
    | <[!?][^<>]*+>
    | (?P<unclosed></?[A-Za-z_][\w:.-]*+(?=[\s/]|$))                                         # <a, then its attributes
    | (?P<reference>&(?:[A-Za-z][A-Za-z0-9]++|\#\d++|\#[xX][0-9A-Fa-f]++);)                  # &nbsp; &#160;
    | (?P<message>\{\s*[\w.-]+\s*,\s*(?:plural|selectordinal|select|choice)\b)              # {n, plural, one {} ...}
    | (?P<head>\{\s*[\w.-]+\s*,\s*$)
    | \{\s*[\w.-]+\s*,\s*(?:number|date|time|spellout|ordinal|duration)\b(?:[^{}']|'[^']*')*+\}   # {d, date, short}
    | \{{2,3}[^{}]*+\}{2,3} | [$%#]?\{\s?[^{}\s]*+\s?\}                                     # {{ x }} {name} ${var}
    | %(?:\d++\$|\([^()]++\))[-+0\#']*\d*(?:\.\d++)?(?:hh?|ll?|[Lqjzt])?[a-zA-Z@]            # %1$s %(name)s
    | (?<!\d)%[-+0\#']*(?:\d++|\*)?(?:\.(?:\d++|\*))?(?:hh?|ll?|[Lqjzt])?[diouxXeEfFgGcsrp@]   # %s, but not in 5%s
    | %%
    """,
    re.VERBOSE,
)
_JOINERS: Final = "\u200c\u200d"


class Stretch(NamedTuple):
    """A stretch of a line that is no text."""

    start: int
    end: int
    character: str = ""
    """What a character reference stands for, where that is text."""


@dataclass(frozen=True)
class Scanned:
    """What of a line is markup."""

    start: int
    """How far what was open before goes."""
    stretches: list[Stretch]
    end: int
    """Where what goes on in the next line begins."""
    opened: Region | None
    """What is open at the end of the line."""


def scan(line: str, opened: Region | None = None, own: re.Pattern[str] | None = None) -> Scanned:
    """Find the markup of a line, given what is open at its start, and whatever a user's pattern `own` matches.

    Of two stretches that overlap the first is taken, of two that start together the one whose pattern is longer.
    """
    start, opened = through(line, 0, opened)
    if opened:
        return Scanned(len(line), [], len(line), opened)
    stretches: list[Stretch] = []
    searches = {pattern: _search(pattern, line, start) for pattern in (own, _BUILT_IN) if pattern}
    while found := [match for match in searches.values() if match]:
        match = min(found, key=lambda match: (match.start(), -match.end()))
        end, left = (match.end(), None) if match.re is own else _follow(match)
        if left is None and end == match.start():  # it opens nothing
            searches[match.re] = _search(match.re, line, match.end())
            continue
        if left is not None:
            return Scanned(start, stretches, match.start(), left)
        character = ""
        if match.re is not own and match["reference"]:  # of a letter, digit or mark, not of a space or a symbol
            meant = unicodedata.normalize("NFC", html.unescape(match[0]))
            is_text = len(meant) == 1 and (unicodedata.category(meant)[0] in "LNP" or meant in _JOINERS)
            character = meant if is_text else ""
        stretches.append(Stretch(match.start(), end, character))
        for pattern, other in searches.items():
            if other and other.start() < end:
                searches[pattern] = _search(pattern, line, end)
    return Scanned(start, stretches, len(line), None)


def left_open(lines: Iterable[str], opened: Region | None = None, own: re.Pattern[str] | None = None) -> Region | None:
    """Return what is open after lines, given what was open before them; for the arguments see `scan`."""
    for line in lines:
        opened = scan(line, opened, own).opened
    return opened


class Unclosed:
    """What of a document is open, and where that was opened."""

    def __init__(self, own: re.Pattern[str] | None = None) -> None:
        self._own = own
        self._opened: Region | None = None
        self._lines = 0
        self._goes_on = False
        """Whether the last section was one of a line that goes on."""
        self._place = 0, ""

    @property
    def place(self) -> tuple[int, str] | None:
        """The number of the line in which it was opened, counted from 1, and the line from there on; None: none is."""
        return self._place if self._opened else None

    def read(self, lines: Iterable[str]) -> list[tuple[int, str]]:
        """Go on with the next lines; return the places of what was open for too long, so that these are text again."""
        given_up = []
        for line in lines:
            self._lines += not self._goes_on
            self._goes_on = isinstance(line, Begun)
            found = scan(line, self._opened, self._own)
            goes_on = found.opened is not None and found.end == len(line)
            is_old = isinstance(self._opened, Element | Tag | Message) and self._opened.lines == LINES
            if found.start == 0 and not goes_on and is_old:
                given_up.append(self._place)
            if found.end < len(line):
                self._place = self._lines, line[found.end :]
            self._opened = found.opened
        return given_up


def tag_of(text: str) -> re.Match[str] | None:
    """Return what a stretch opens or closes: None for anything else, also for tags that stand alone."""
    match = _A_TAG.fullmatch(text)
    return None if not match or text.endswith("/>") or match["name"].lower() in ALONE else match


def _search(pattern: re.Pattern[str], line: str, start: int) -> re.Match[str] | None:
    return next((match for match in pattern.finditer(line, start) if match[0]), None)


def _follow(match: re.Match[str]) -> tuple[int, Region | None]:
    """Return how far what matched goes, and what is open there; its own start, if it is text after all."""
    line, end = match.string, match.end()
    if match["comment"]:
        # `<!-->` is a whole comment, so the end may overlap with the start
        return Comment(_COMMENT_ENDS[match["comment"]]).read(line, match.start() + 2)
    if match["message"]:
        return through(line, end, Message())
    if match["head"]:
        return end, MessageHead()
    if match["unclosed"]:
        name = match["unclosed"].removeprefix("<").lower()
        reached, left = Tag("" if name.startswith("/") else name).read(line, end)
        return (match.start(), None) if left is None else (reached, left)
    if match["name"] and not match["slash"] and not match[0].endswith("/>"):
        return through(line, end, content(match["name"].lower(), kept=bool(_KEPT.search(match[0]))))
    return end, None
