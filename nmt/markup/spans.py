"""The spans of a line that no model sees or can read, and what remains of the line."""

import html
import re
import unicodedata
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
    """The word of the plain text that it stood in or before; the number of words if after all of them."""
    offset: int
    """How many characters of that word came before it."""
    before: str
    """White space between it and what came before; empty too at the start of a line."""
    after: str
    """White space between it and what followed; empty too at the end of a line."""
    glued_left: bool
    """Whether a word, or a word and other spans, came before it without white space."""
    glued_to: str
    """The character that came after it without white space, other spans aside; empty if none did."""
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
    """What stands after all words and spans: white space, and what goes on in the next line."""
    spellings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """For a character that the line has as a reference such as `&amp;`, how each one of it was written, in order."""
    opened: Region | None = None
    """What is open at the end of the line."""
    lacks: bool = False
    """Whether some of the spans are no markup, but what no model can read."""

    def translated(self, words: Mapping[str, str], normalise: Callable[[str], str]) -> "Marked":
        """Put what `words` has for a span, once normalised, into its place."""
        spans = (replace(span, text=words.get(normalise(span.text), span.text)) for span in self.spans)
        return replace(self, spans=tuple(spans))


def compile_pattern(text: str) -> re.Pattern[str]:
    """Compile a user's own regular expression for `extract`; a UsageError if it is empty or wrong."""
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
    unread: Callable[[str], Sequence[Stretch]] = lambda text: (),
) -> Marked:
    """Take out what `scan` finds, what `unread` finds in the text between, and the white space at the ends of the line.

    Punctuation that followed a span is joined to the word before it: of `Hello {name}, come` remains `Hello, come`.
    References to letters and punctuation marks, as in `R&amp;D`, become what they stand for. Text is put in Unicode
    NFC, markup is not.
    """
    found = scan(line, opened, own)
    starts = [found.start, *(stretch.end for stretch in found.stretches)]
    ends = [*(stretch.start for stretch in found.stretches), found.end]
    more = [
        Stretch(start + stretch.start, start + stretch.end)
        for start, end in zip(starts, ends, strict=True)
        for stretch in unread(line[start:end])
    ]
    marked = take_out(line, replace(found, stretches=sorted([*found.stretches, *more])))
    return replace(marked, lacks=bool(more))


def take_out(line: str, found: Scanned) -> Marked:
    """Take out what was found, and the white space at the ends of the line; for the details see `extract`."""
    body = line[found.start : found.end]
    start = min(found.end - len(body.lstrip()), *(stretch.start for stretch in found.stretches[:1]), found.end)
    end = max(found.start + len(body.rstrip()), *(stretch.end for stretch in found.stretches[-1:]), start)
    mark = next(code for code in map(chr, range(0xD800, 0xE000)) if code not in line)  # what stands for a span
    text, kept, spellings = _with_marks(line, start, end, found.stretches, mark)
    words: list[str] = []
    spans: list[Span] = []
    opens = has_words = False  # what stands before
    for run in re.finditer(r"(\s*)(\S+)(?=(\s*))", text):
        behind, ahead = run[2].lstrip(mark), run[2].rstrip(mark)
        closes = run[2] != behind != "" and not behind.strip(CLOSING)
        spans += _take(run, mark, kept, words, joined=has_words and (opens or closes))
        opens, has_words = run[2] != ahead != "" and not ahead.strip(OPENING), ahead != ""
    return Marked(" ".join(words) if spans else text, tuple(spans), line[:start], line[end:], spellings, found.opened)


def _with_marks(
    line: str, start: int, end: int, stretches: list[Stretch], mark: str
) -> tuple[str, Iterator[str], dict[str, tuple[str, ...]]]:
    """Return the text with a mark in the place of each span, the spans, and the spellings for `Marked`."""
    parts: list[str] = []
    kept: list[str] = []
    spellings: dict[str, list[str]] = {stretch.character: [] for stretch in stretches if stretch.character}
    for stretch in [*stretches, Stretch(end, end)]:
        text, written = unicodedata.normalize("NFC", line[start : stretch.start]), line[stretch.start : stretch.end]
        for character in spellings:
            spellings[character] += [character] * text.count(character)
        parts.append(text)
        if stretch.character:
            spellings[stretch.character].append(written)
            parts.append(stretch.character)
        elif written:
            kept.append(written)
            parts.append(mark)
        start = stretch.end
    return "".join(parts), iter(kept), {character: tuple(all_) for character, all_ in spellings.items()}


def _take(run: re.Match[str], mark: str, kept: Iterator[str], words: list[str], *, joined: bool) -> list[Span]:
    """Return the spans of what stands between white space, and append its words, the first to the last if `joined`."""
    before, chunk, after = run.groups()
    text = chunk.replace(mark, "")
    lead, core_end = len(text) - len(text.lstrip(OPENING)), len(text.rstrip(CLOSING))
    spans: list[Span] = []
    seen, splits = 0, False
    atoms = re.findall(f"{mark}|[^{mark}]+", chunk)
    for i, atom in enumerate(atoms):
        if atom != mark:
            if joined:
                words[-1] += atom
            else:
                words.append(atom)
            seen, splits, joined = seen + len(atom), False, True
            continue
        written = next(kept)
        splits = splits or (lead < seen < core_end and _splits(written))
        place = (len(words) - 1, len(words[-1])) if joined or seen else (len(words), 0)
        gaps = ("" if i else before), (after if i == len(atoms) - 1 else "")
        spans.append(Span(written, *place, *gaps, seen > 0, text[seen : seen + 1], splits))
        joined = joined and not splits
    return spans


def _splits(text: str) -> bool:
    """Tell whether a span between letters parts two words, as a tag in a word or a soft hyphen does not."""
    if tag := tag_of(text):
        return _BLOCKS.fullmatch(tag["name"]) is not None
    return any(unicodedata.category(character) != "Cf" for character in html.unescape(text))


_JOINER: Final = "\u200d"
_EXTENDS: Final = re.compile("[\u200d\ufe0f\u20e3\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f]")
"""What belongs to the emoji before it."""
_UNREAD: Final = re.compile(r"(?<![Ww])w+(?![Ww])|s(?:[sej]|(?<=j).)*")
"""Among the letters of `_unread_kind`: words of which nothing is known, and symbols."""


def find_unread(text: str, known: frozenset[str], readable: Sequence[tuple[int, int]] = ()) -> list[Stretch]:
    """Find what is taken out of a text before a model reads it: unknown symbols, emoji among them, and whole words.

    A word of which some letters are known stays, and so does punctuation, which tells where sentences end: the model
    reads `<unk>` there. Emoji are taken as a whole, with the joiners and variations in them.

    Args:
        text: Any text.
        known: The characters that the model can read; white space need not be among them.
        readable: Where, from start to end, all is known whatever its characters: what is masked.
    """
    if not any(unicodedata.category(character)[0] in "LMNS" for character in set(text) - known):
        return []  # as of nearly every line
    kinds = "".join([_unread_kind(character, is_known=character in known) for character in text])
    found = [Stretch(*match.span()) for match in _UNREAD.finditer(kinds)]
    return [one for one in found if not any(start < one.end and one.start < end for start, end in readable)]


def _unread_kind(character: str, *, is_known: bool) -> str:
    """Tell unknown symbols (s), joiners (j), what extends emoji (e), unknown and known characters of words (w, W), and
    any other (.)."""
    category = unicodedata.category(character)[0]
    if category == "S" and not is_known:
        return "s"
    if _EXTENDS.match(character):
        return "j" if character == _JOINER else "e"
    if category in "LMN":
        return "W" if is_known else "w"
    return "."
