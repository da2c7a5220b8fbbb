"""The spans of a line that no model sees, and what remains of the line without them."""

import html
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from nmt.errors import UsageError
from nmt.markup.regions import Region
from nmt.markup.scanning import Scanned, Stretch, scan, tag_of

_BLOCKS: Final = re.compile(
    r"""address|article|aside|blockquote|body|caption|dd|div|dl|dt|fieldset|figcaption|figure|footer|form|h[1-6]|head
    |header|html|legend|li|main|menu|nav|ol|optgroup|option|p|section|select|summary|table|tbody|td|tfoot|th|thead
    |title|tr|ul""",
    re.VERBOSE | re.IGNORECASE,
)
"""Elements whose words never hang together with those outside."""
OPENING: Final = "([{<«‹„‚“‘¿¡\"'「『（【《"  # noqa: RUF001 (these marks are meant)
CLOSING: Final = ")]}>»›”’“‘\"'.,;:!?…%」』）】》。、，！？；：؟،؛।"  # noqa: RUF001


@dataclass(frozen=True)
class Span:
    """A stretch of a line that no model sees, and where it stood."""

    text: str
    word: int
    """The word of the plain text that it stood in or before; the number of words if behind all of them."""
    offset: int
    """How many characters of that word came before it."""
    before: str
    """White space between it and what came before; empty too at the start of a line."""
    after: str
    """White space between it and what followed; empty too at the end of a line."""
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
    """The words with single spaces between them; the text itself where there are no spans."""
    spans: tuple[Span, ...]
    lead: str = ""
    """What stands before all words and spans: white space, and what was open before."""
    tail: str = ""
    """What stands behind all words and spans: white space, and what goes on in the next line."""
    spellings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """For a character that the line has as a reference such as `&amp;`, how each one of it was written, in order."""
    opened: Region | None = None
    """What is open at the end of the line."""
    lacks: bool = False
    """Whether some of the spans are no markup, but what no model can read."""


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


def extract(
    line: str,
    own: re.Pattern[str] | None = None,
    opened: Region | None = None,
    *,
    unread: Callable[[str], Sequence[Stretch]] | None = None,
) -> Marked:
    """Take out what `scan` finds, and the white space at the ends of the line.

    Punctuation that followed a span is joined to the word before it: of `Hello {name}, come` remains `Hello, come`.
    References to letters and punctuation marks, as in `R&amp;D`, become what they stand for. Text is put in Unicode
    NFC, markup is not.

    Args:
        line: As it stands in the document.
        own: A user's pattern: what it matches is a span too.
        opened: What is open at the start of the line.
        unread: Finds what else is taken out of the text between markup.
    """
    found = scan(line, opened, own)
    if unread is not None:
        starts, ends = (
            [found.start, *(stretch.end for stretch in found.stretches)],
            [stretch.start for stretch in found.stretches],
        )
        texts = zip(starts, [*ends, found.end], strict=True)
        more = [
            Stretch(start + stretch.start, start + stretch.end)
            for start, end in texts
            for stretch in unread(line[start:end])
        ]
        if more:
            return replace(take_out(line, replace(found, stretches=sorted([*found.stretches, *more]))), lacks=True)
    return take_out(line, found)


def take_out(line: str, found: Scanned) -> Marked:
    """Take out what was found, and the white space at the ends of the line; for the details see `extract`."""
    body = line[found.start : found.end]
    edges = found.end - len(body.lstrip()), found.start + len(body.rstrip())
    start = min(edges[0], *(stretch.start for stretch in found.stretches[:1]), found.end)
    end = max(edges[1], *(stretch.end for stretch in found.stretches[-1:]), start)
    chunks = _chunks(line, start, end, found.stretches)
    words: list[str] = []
    spans: list[Span] = []
    joined = False
    for index, chunk in enumerate(chunks):
        has_neighbour = index > 0 and bool(chunks[index - 1].text)
        joined = has_neighbour and (joined or chunk.is_tail())
        _take(chunk, joined, words, spans)
        joined = chunk.is_lead()
    plain = " ".join(words) if spans else "".join(chunk.text + chunk.after for chunk in chunks)
    spellings = _spellings(line, start, end, found.stretches)
    return Marked(plain, tuple(spans), line[:start], line[end:], spellings, found.opened)


@dataclass(frozen=True)
class _Kept:
    """What no model sees."""

    text: str


@dataclass(frozen=True)
class _Chunk:
    """What stands between white space."""

    atoms: list[str | _Kept]
    """Text, and spans."""
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


def _chunks(line: str, start: int, end: int, stretches: list[Stretch]) -> list[_Chunk]:
    runs: list[list[str | _Kept]] = [[]]
    gaps = [""]
    for text, stretch in _alternating(line, start, end, stretches):
        for run in re.findall(r"\s+|\S+", text):
            if run.isspace():
                runs.append([])
                gaps.append(run)
            else:
                _append(runs[-1], run)
        if stretch and stretch.character:
            _append(runs[-1], stretch.character)
        elif stretch:
            runs[-1].append(_Kept(line[stretch.start : stretch.end]))
    gaps.append("")
    return [_Chunk(atoms, *gaps[i : i + 2]) for i, atoms in enumerate(runs) if atoms]


def _append(atoms: list[str | _Kept], text: str) -> None:
    if atoms and isinstance(last := atoms[-1], str):
        atoms[-1] = last + text
    else:
        atoms.append(text)


def _alternating(line: str, start: int, end: int, stretches: list[Stretch]) -> Iterator[tuple[str, Stretch | None]]:
    """Give each stretch with the text before it, and the text behind the last one."""
    for stretch in stretches:
        yield unicodedata.normalize("NFC", line[start : stretch.start]), stretch
        start = stretch.end
    yield unicodedata.normalize("NFC", line[start:end]), None


def _spellings(line: str, start: int, end: int, stretches: list[Stretch]) -> dict[str, tuple[str, ...]]:
    characters = {stretch.character for stretch in stretches} - {""}
    spellings: dict[str, list[str]] = {character: [] for character in characters}
    for text, stretch in _alternating(line, start, end, stretches) if characters else ():
        for character in characters.intersection(text):
            spellings[character] += [character] * text.count(character)
        if stretch and stretch.character:
            spellings[stretch.character].append(line[stretch.start : stretch.end])
    return {character: tuple(written) for character, written in spellings.items()}


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
        splits = splits or (lead < seen < core_end and _splits(atom.text))
        place = (len(words) - 1, len(words[-1])) if joined or seen else (len(words), 0)
        before = "" if i else chunk.before
        after = "" if atom is not chunk.atoms[-1] else chunk.after
        spans.append(Span(atom.text, *place, before, after, seen > 0, text[seen : seen + 1], splits))
        joined = joined and not splits


def _splits(text: str) -> bool:
    """Tell whether a span between letters parts two words, as a tag in a word or a soft hyphen does not."""
    if tag := tag_of(text):
        return _BLOCKS.fullmatch(tag["name"]) is not None
    return any(unicodedata.category(character) != "Cf" for character in html.unescape(text))
