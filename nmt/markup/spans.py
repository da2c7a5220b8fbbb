"""The spans of a line that no model sees or can read, which of them belong together, and what remains of the line."""

import html
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from nmt.errors import UsageError
from nmt.markup.scanning import Region, Scanned, Stretch, scan, tag_of

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


@dataclass(frozen=True)
class Node:
    """A span, or a pair of tags with what it holds."""

    first: int
    last: int
    """The closing tag; for a single span, itself."""
    children: list["Node"] = field(default_factory=list)


def tree(spans: tuple[Span, ...]) -> Node:
    """Return a root, not itself a span, with the spans below it.

    A closing tag belongs to the last open tag of its name; tags opened since then are single.
    So is any other without a partner.
    """
    closer_of: dict[int, int] = {}
    opened: list[tuple[str, int]] = []
    waiting: Counter[str] = Counter()
    for i, span in enumerate(spans):
        tag = tag_of(span.text)
        name = tag["name"].lower() if tag else ""
        if tag and not tag["slash"]:
            opened.append((name, i))
            waiting[name] += 1
        elif waiting[name]:
            other, opener = opened.pop()
            while other != name:  # nobody closed it
                waiting[other] -= 1
                other, opener = opened.pop()
            waiting[name] -= 1
            closer_of[opener] = i
    path = [Node(-1, len(spans))]
    for i in range(len(spans)):
        if i == path[-1].last:
            path.pop()
            continue
        node = Node(i, closer_of.get(i, i))
        path[-1].children.append(node)
        if node.last > i:
            path.append(node)
    return path[0]


_JOINER: Final = "\u200d"
_VARIATION, _KEYCAP = "\ufe0f", "\u20e3"


def find_unread(text: str, known: frozenset[str], readable: Sequence[tuple[int, int]] = ()) -> list[Stretch]:
    """Find what is taken out of a text before a model reads it: unknown symbols, emoji among them, and whole words.

    A word of which some letters are known stays, and so does punctuation, which tells where sentences end: the model
    reads `<unk>` there. Emoji are taken as a whole, with the joiners and variations in them.

    Args:
        text: Any text.
        known: The characters that the model can read; white space need not be among them.
        readable: Where, from start to end, all is known whatever its characters: what is masked.
    """
    unknown = set(text) - known
    if not any(unicodedata.category(character)[0] in "LMNS" for character in unknown):
        return []  # as of nearly every line
    stretches: list[Stretch] = []
    start = 0
    while start < len(text):
        end = _end_of_run(text, start, known)
        is_masked = any(first < end and start < last for first, last in readable)
        if end > start and not is_masked and _is_taken(text, start, end):
            stretches.append(Stretch(start, end))
        start = max(end, start + 1)
    return stretches


def is_wordless(text: str) -> bool:
    """Tell whether a text has no letter of any script."""
    return not any(unicodedata.category(character)[0] == "L" for character in text)


def _end_of_run(text: str, start: int, known: frozenset[str]) -> int:
    """Return where the unknown characters of one kind, of words or symbols, end that start here."""
    end, is_word = start, _is_of_a_word(text[start])
    while end < len(text):
        character = text[end]
        goes_on = end > start and not is_word and (_extends(character) or text[end - 1] == _JOINER)
        is_symbol = unicodedata.category(character)[0] == "S"
        if not goes_on and (character in known or not (_is_of_a_word(character) if is_word else is_symbol)):
            break
        end += 1
    return end


def _is_taken(text: str, start: int, end: int) -> bool:
    """Tell whether an unknown run is a symbol, or a whole word."""
    is_whole = not _is_of_a_word(text[start - 1 : start]) and not _is_of_a_word(text[end : end + 1])
    return is_whole or not _is_of_a_word(text[start])


def _is_of_a_word(character: str) -> bool:
    return character != "" and unicodedata.category(character)[0] in "LMN" and not _extends(character)


def _extends(character: str) -> bool:
    """Tell whether a character belongs to the emoji before it."""
    tones_and_tags = "\U0001f3fb" <= character <= "\U0001f3ff" or "\U000e0020" <= character <= "\U000e007f"
    return character in (_JOINER, _VARIATION, _KEYCAP) or tones_and_tags
