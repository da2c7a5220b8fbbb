"""The spans of a line that no model sees, and what remains of the line without them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from nmt.errors import UsageError

_BUILT_IN: Final = re.compile(
    r"""
    </?[A-Za-z_][\w:.-]*+(?:\s[^<>"']*+(?:"[^"]*+"[^<>"']*+|'[^']*+'[^<>"']*+)*+)?/?>   # <b> </b> <br/> <a href="...">
    | </?\d++/?>                                                                        # <1> </1>
    | <!--(?:(?!<!--|-->).)*+--> | <[!?][^<>]*+>                                        # <!-- x -->
    | &(?:[A-Za-z][A-Za-z0-9]++|\#\d++|\#[xX][0-9A-Fa-f]++);                            # &nbsp; &#160;
    | \{{2,3}[^{}]*+\}{2,3} | [$%#]?\{\s?[^{}\s]*+\s?\}                                 # {{ x }} {name} ${var}
    | %(?:\d++\$|\([^()]++\))[-+0\#']*\d*(?:\.\d++)?(?:hh?|ll?|[Lqjzt])?[a-zA-Z@]       # %1$s %(name)s
    | (?<!\d)%[-+0\#']*(?:\d++|\*)?(?:\.(?:\d++|\*))?(?:hh?|ll?|[Lqjzt])?[diouxXeEfFgGcsrp@]   # %s, but not in 5%s
    | %%
    """,
    re.VERBOSE,
)
_TAG: Final = re.compile(r"<(?P<slash>/?)(?P<name>\w[\w:.-]*)")
_ALONE: Final = frozenset(
    ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr")
)
OPENING: Final = "([{<«‹„‚“‘¿¡\"'「『（【《"  # noqa: RUF001 (these marks are meant)
CLOSING: Final = ")]}>»›”’“‘\"'.,;:!?…%」』）】》。、，！？；：؟،؛।"  # noqa: RUF001


@dataclass(frozen=True)
class Span:
    """A piece of a line that no model sees, and where it stood."""

    text: str
    word: int
    """The word of the plain text that it stood in or before; the number of words if behind all of them."""
    offset: int
    """How many characters of that word came before it."""
    before: str
    """White space between it and what came before; empty too at the start of a line."""
    after: str
    """White space between it and what followed."""
    glued_left: bool
    """Whether a word, or a word and other spans, came before it without white space."""
    glued_to: str
    """The character that came behind it without white space, other spans aside; empty if none did."""
    splits: bool
    """Whether the words on its two sides hung together through it alone, as in `10&nbsp;km`."""


@dataclass(frozen=True)
class Marked:
    """A line without its spans, and the spans in the order of the line."""

    plain: str
    """The words with single spaces between them; the line itself where it has no spans."""
    spans: tuple[Span, ...]


def compile_pattern(text: str) -> re.Pattern[str]:
    """Compile a user's own regular expression for `extract`.

    Raises:
        UsageError: It is not a regular expression, or it is empty.
    """
    if not text:
        raise UsageError("the markup pattern is empty; expected a Python regular expression")
    try:
        return re.compile(text)
    except re.error as error:
        raise UsageError(f"markup pattern {text!r} is not a Python regular expression: {error}") from error


def extract(line: str, own: re.Pattern[str] | None = None) -> Marked:
    """Take out tags, entities, `{name}`, `{{x}}`, `${var}`, printf codes, and whatever the pattern `own` matches.

    Of two spans that overlap the first is taken, of two that start together the longer. Punctuation that followed a
    span is joined to the word before it: of `Hello {name}, come` remains `Hello, come`.
    """
    chunks = _chunks(line, own)
    if not any(isinstance(atom, re.Match) for chunk in chunks for atom in chunk.atoms):
        return Marked(line, ())
    words: list[str] = []
    spans: list[Span] = []
    joined = False
    for index, chunk in enumerate(chunks):
        has_neighbour = index > 0 and bool(chunks[index - 1].text)
        joined = has_neighbour and (joined or chunk.is_tail())
        _take(chunk, joined, words, spans)
        joined = chunk.is_lead()
    return Marked(" ".join(words), tuple(spans))


@dataclass(frozen=True)
class _Chunk:
    """What stands between white space."""

    atoms: list[str | re.Match[str]]
    """Text, and spans as what matched them."""
    before: str
    after: str

    @property
    def text(self) -> str:
        return "".join(atom for atom in self.atoms if isinstance(atom, str))

    def is_tail(self) -> bool:
        """Tell whether it is spans, then punctuation that closes."""
        last = self.atoms[-1]
        return len(self.atoms) > 1 and isinstance(last, str) and self.text == last and not last.strip(CLOSING)

    def is_lead(self) -> bool:
        """Tell whether it is punctuation that opens, then spans."""
        first = self.atoms[0]
        return len(self.atoms) > 1 and isinstance(first, str) and self.text == first and not first.strip(OPENING)


def _chunks(line: str, own: re.Pattern[str] | None) -> list[_Chunk]:
    runs: list[list[str | re.Match[str]]] = [[]]
    gaps = [""]
    start = 0
    for match in [*_matches(line, own), None]:
        for run in re.findall(r"\s+|\S+", line[start : match.start() if match else len(line)]):
            if run.isspace():
                runs.append([])
                gaps.append(run)
            else:
                runs[-1].append(run)
        if match:
            runs[-1].append(match)
            start = match.end()
    gaps.append("")
    return [_Chunk(atoms, *gaps[i : i + 2]) for i, atoms in enumerate(runs) if atoms]


def _matches(line: str, own: re.Pattern[str] | None) -> Iterator[re.Match[str]]:
    searches = {pattern: _search(pattern, line, 0) for pattern in (own, _BUILT_IN) if pattern}
    while found := [match for match in searches.values() if match]:
        match = min(found, key=lambda match: (match.start(), -match.end()))
        yield match
        for pattern, other in searches.items():
            if other and other.start() < match.end():
                searches[pattern] = _search(pattern, line, match.end())


def _search(pattern: re.Pattern[str], line: str, start: int) -> re.Match[str] | None:
    return next((match for match in pattern.finditer(line, start) if match[0]), None)


def _take(chunk: _Chunk, joined: bool, words: list[str], spans: list[Span]) -> None:
    """Append the words of a chunk, the first to the last word if `joined`, and its spans."""
    text = chunk.text
    lead, core_end = len(text) - len(text.lstrip(OPENING)), len(text.rstrip(CLOSING))
    seen, splits = 0, False
    for i, atom in enumerate(chunk.atoms):
        if isinstance(atom, str):
            if joined:
                words[-1] += atom
            else:
                words.append(atom)
            seen, splits, joined = seen + len(atom), False, True
            continue
        splits = splits or (lead < seen < core_end and tag_of(atom[0]) is None)
        place = (len(words) - 1, len(words[-1])) if joined or seen else (len(words), 0)
        before = "" if i else chunk.before
        after = "" if atom is not chunk.atoms[-1] else chunk.after
        spans.append(Span(atom[0], *place, before, after, seen > 0, text[seen : seen + 1], splits))
        joined = joined and not splits


def tag_of(text: str) -> re.Match[str] | None:
    """Return what a span opens or closes: None for anything else, also for tags that stand alone."""
    match = _TAG.match(text) if text.endswith(">") and not text.endswith("/>") else None
    return None if match and match["name"].lower() in _ALONE else match
