"""Cut a text where a reader would pause: into its sentences, or because it is too long for a model."""

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate, pairwise
from typing import Final

# A word with the space after it; in scripts without spaces, a clause up to its full stop.
_UNIT: Final = re.compile(r"[^\s。！？｡]*+[。！？｡]++\s*+|[^\s。！？｡]++\s*+")  # noqa: RUF001 (these stops are meant)
OTHER_STOPS: Final = "؟۔।॥։።፧།༎။។៕"  # noqa: RUF001
"""Arabic, Urdu, Hindi, Armenian, Ethiopic, Tibetan, Burmese and Khmer ones."""
_SENTENCE_END: Final = re.compile(rf"[.!?…;:。！？｡؛{OTHER_STOPS}]['\"’”»)\]]*\s*$")  # noqa: RUF001

# A stop with the closing marks after it; French has a space before the mark, German opens a quotation with it.
_STOP: Final = re.compile(
    rf"(?<![.!?…{OTHER_STOPS}])(?P<stop>[.!?…{OTHER_STOPS}]++)(?:\s?»|[\"'’”“‘)\]«])*\s|[。！？｡]++(?P<quoted>[」』）”’\"']*+)"  # noqa: RUF001
)
_BEFORE_SENTENCE: Final = re.compile(r"(?:[-–—]\s)?[\"'“‘«»„‚(\[¿¡]*\s?")  # noqa: RUF001
_WIDE_END: Final = re.compile(r"[。！？｡][」』）”’\"']*$")  # noqa: RUF001
_LAST_LETTERS: Final = re.compile(r"(?P<dot>\.)?(?P<letters>[^\W\d_]+)$")
# Those that a capital letter often follows within a sentence.
_ABBREVIATIONS: Final = re.compile(
    r"bkz|doç|esim|ns|sn|डॉ|प्रो|पं|bzw|ca|cf|col|dott|dr|etc|evtl|fr|gen|ggf|hon|hr|jr|lt|mgr|mlles?|mm|mmes?|mrs?|ms|prof|rev|sgt|sig|sra?|st|usw|vgl|vs",
    re.IGNORECASE,
)

Count = Callable[[Sequence[str]], list[int]]
"""Counts the pieces of each text."""


def split_text(text: str, *, count: Count, limit: int) -> list[str]:
    """Cut `text` into parts of at most `limit` pieces, which together are the text without the spaces at the cuts.

    As much as fits goes into a part; it ends after a sentence where one ends in its second half, else after a word, and
    within a word only where that alone is too long. A single character is never cut, however many pieces it has.
    """
    if len(text) < 2 or count([text])[0] <= limit:
        return [text]
    units = [piece for unit in _counted(_UNIT.findall(text), count) for piece in _cut_unit(*unit, limit=limit)]
    parts = _pack(_counted(units, count), limit)
    if len(parts) == 1:  # counts of units need not add up to the count of their text
        middle = len(text) // 2
        parts = [text[:middle].strip(), text[middle:].strip()]
    return [smaller for part in parts if part for smaller in split_text(part, count=count, limit=limit)]


def split_sentences(text: str) -> list[str]:
    """Cut a paragraph into its sentences; joined by single spaces they are the text with its white space normalised.

    A sentence ends at a stop before white space and something other than a small letter, unless the stop belongs to a
    single capital or a letter that knows no case (`J. Smith`, `z.B. Hunde`), a common abbreviation, or a number of one
    or two digits (`3. Mai`); and no full stop ends one before a digit (`No. 5`). Chinese and Japanese stops need no
    white space; what they end is joined by nothing, as `join_sentences` does.
    """
    text = " ".join(text.split())
    ends = [match.end() for match in _STOP.finditer(text) if _ends_sentence(text, match)]
    return [part for start, end in pairwise([0, *ends, len(text)]) if (part := text[start:end].strip())]


def join_sentences(sentences: Iterable[str]) -> str:
    """Join sentences by single spaces, but by nothing after a Chinese or Japanese stop or white space.

    Empty ones are left out.
    """
    joined: list[str] = []
    for sentence in filter(None, sentences):
        if joined and not joined[-1][-1].isspace() and not _WIDE_END.search(joined[-1]):
            joined.append(" ")
        joined.append(sentence)
    return "".join(joined)


def _ends_sentence(text: str, match: re.Match[str]) -> bool:
    if match["stop"] is None:  # a Chinese or Japanese one: after a quotation the sentence goes on
        return not match["quoted"] or text[match.end() : match.end() + 1] in tuple(" 「『“（")  # noqa: RUF001
    before = _BEFORE_SENTENCE.match(text, match.end())
    first = text[before.end() : before.end() + 1] if before else ""
    if first.islower() or not first.isalnum():
        return False
    return match["stop"] != "." or (not first.isdigit() and not _is_abbreviated(text, match.start()))


def _is_abbreviated(text: str, stop: int) -> bool:
    word = text[text.rfind(" ", 0, stop) + 1 : stop].lstrip("([\"'“‘«»„‚¿¡-–—")  # noqa: RUF001
    if _ABBREVIATIONS.fullmatch(word) or (len(word) <= 2 and word.isdigit()):
        return True
    last = _LAST_LETTERS.search(word)
    if last is None or len(last["letters"]) != 1:
        return False
    letter = last["letters"]
    if last["dot"] is not None or letter.lower() != letter.upper():
        return last["dot"] is not None or letter.isupper()
    return unicodedata.east_asian_width(letter) not in "FW"  # a Korean or Chinese one is a word


def _counted(units: Sequence[str], count: Count) -> list[tuple[str, int]]:
    return list(zip(units, count(units), strict=True))


def _cut_unit(unit: str, pieces: int, *, limit: int) -> list[str]:
    if pieces <= limit:
        return [unit]
    size = max(1, limit - 1)  # as a rule a text has at most one piece more than characters
    cuts = [0]
    while cuts[-1] + size < len(unit):
        cut = cuts[-1] + size
        while cut > cuts[-1] + 1 and unicodedata.category(unit[cut])[0] == "M":  # a sign on the letter before
            cut -= 1
        cuts.append(cut)
    return [unit[start:end] for start, end in pairwise([*cuts, len(unit)])]


def _pack(units: Sequence[tuple[str, int]], limit: int) -> list[str]:
    parts: list[str] = []
    current: list[tuple[str, int]] = []
    size = 0
    for unit, pieces in units:
        if current and size + pieces > limit:
            sizes = list(accumulate(size for _, size in current))
            ends = [
                i
                for i, (text, _) in enumerate(current, start=1)
                if _SENTENCE_END.search(text) and 2 * sizes[i - 1] > sizes[-1]
            ]
            cut = ends[-1] if ends else len(current)
            parts.append("".join(text for text, _ in current[:cut]).strip())
            current = current[cut:]
            size -= sizes[cut - 1]
        current.append((unit, pieces))
        size += pieces
    return [*parts, "".join(text for text, _ in current).strip()]
