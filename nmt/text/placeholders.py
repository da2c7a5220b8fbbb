"""Numbers and URLs as [NUM] and [URL], which a model copies by position instead of spelling them out.

All numbers of a sentence have the same placeholder, so that a model learns one word for them, however many there are;
which is which in a translation is told by the attention with which each was written.

One number each: 1,234.5 and 1.234,5 and 1'234 and 1 234; 12:30, 12h30 and 2024-05-15T12:30Z; 15/05/2024 and 10-20;
+32 475-12-34-56, (555) 123-4567 and 06 12 34 56 78; -5, €25, US$5, 25 €, 5 %, 20 °C, 5km; and codes such as
BE0768880101: capitals with four digits or more in a row. Other digits within words, as in MP3, 2nd and 1990s, are none.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from nmt.text import characters
from nmt.text.vocab import SPACE_MARK

# Scripts whose words stand beside digits without a space: Arabic, those without spaces between words, and Hangul.
GLUED: Final = f"\u0620-\u065f\u066e-\u06ef{characters.CHARACTERS}\uac00-\ud7af"
BEGINS: Final = rf"(?<![^\W{GLUED}])"
"""No letter or digit of another script comes before."""

_ENDS: Final = rf"(?![^\W{GLUED}])(?!\d)"
_BLANK: Final = "[ \u00a0\u2009\u202f]"
_BETWEEN: Final = "[.,:/'’\u2010-\u2013\u066b\u066c．，：／-]"  # noqa: RUF001 (these marks are meant)
_CURRENCY: Final = "[$¢-¥֏؋৲৳฿៛\u20a0-\u20cf﷼﹩＄￠￡￥￦]"  # noqa: RUF001
_UNITS: Final = (
    r"km/h|km²|m²|m³|kWh|kW|MW|GW|kHz|MHz|GHz|Hz|km|cm|mm|µm|kg|mg|ml|cl|dl|kB|KB|MB|GB|TB|mph|min|ms|px|pt|am|pm"
    r"|[mglLhWV]"
)
_PREFIX: Final = (
    rf"(?:(?<![^\s(\[])[+\-−])?+(?:(?:{BEGINS}[A-Z]{{1,2}})?+{_CURRENCY}{_BLANK}?+)?"  # noqa: RUF001
    rf"{BEGINS}(?<!\d)(?<!\d{_BETWEEN})"
)
_DIGITS: Final = (
    r"\d{4}-\d\d-\d\dT\d\d:\d\d(?:[:.]\d++)*+(?:Z|[+-]\d\d:?\d\d)?",  # a date with a time
    rf"(?<=\+)\d{{1,3}}(?:{_BLANK}?\(\d{{1,5}}\))?(?:[./-]\d++|{_BLANK}\d{{2,}}+)++",  # a telephone number
    rf"\d{{2,}}+(?:{_BLANK}\d{{2,}}+){{2,}}+",
    rf"0\d++(?:{_BLANK}\d{{2,}}+)++",
    rf"\d{{1,3}}(?:{_BLANK}\d{{3}})++(?!\d)(?:[.,\u066b]\d++)?+",  # thousands
    r"\d\d?h\d\d",
    rf"\d++(?:{_BETWEEN}\d++)*+",
)
_SUFFIX: Final = rf"(?:{_BLANK}?[%‰٪％]|{_BLANK}?°[CF]?|{_BLANK}?{_CURRENCY}(?!{_BLANK}?\d)|{_UNITS})?"  # noqa: RUF001

NUMBER: Final = (
    rf"(?:{_PREFIX}(?:{'|'.join(_DIGITS)}){_SUFFIX}{_ENDS}"
    rf"|\(\d{{2,5}}\){_BLANK}?\d{{3,}}+(?:[ ./-]\d{{2,}}+)++{_ENDS}"
    rf"|{BEGINS}(?=[0-9]*+[A-Z])(?=[A-Z0-9]*?[0-9]{{4}})[A-Z0-9]++{_ENDS})"
)
"""A regular expression of numbers."""

_ARABIC_SIGNS: Final = {"\u066a": "%", "\u066b": ".", "\u066c": ","}
_WIDE: Final = "CJK"
"""What letters of East Asia and full-width digits have in common."""


def number_value(number: str) -> tuple[str, ...]:
    """Return what two writings of a number have in common: its digits in order, and its letters and signs in any.

    Languages group and order by different marks: 1,234.5 € is €1.234,5, but neither 1,234.5 nor 12,345 %.
    """
    digits = "".join(str(unicodedata.decimal(one)) for one in number if one.isdecimal())
    others = sorted(
        one for one in unicodedata.normalize("NFKC", number) if unicodedata.category(one)[0] in "LS" or one in "%‰٪"
    )
    return digits, *others


def usual_zero(texts: Iterable[str]) -> str | None:
    """Return the zero of the digits that texts have most of; None: those are 0 to 9, or there are none."""
    counts = Counter(chr(ord(one) - unicodedata.decimal(one)) for text in texts for one in text if one.isdecimal())
    [(zero, _)] = counts.most_common(1) or [("0", 0)]
    return None if zero == "0" else zero


def number_with(zero: str, number: str) -> str:
    """Write a number with the digits that begin at `zero`; one that has letters of English stays as it is."""
    if any(one.isascii() and one.isalpha() for one in number):
        return number
    return "".join(chr(ord(zero) + unicodedata.decimal(one)) if one.isdecimal() else one for one in number)


def number_for(text: str, number: str) -> str:
    """Write a number for a text: with the digits 0 to 9 if the text has letters, but none of the script of its own."""
    digits = {_script_of(one) for one in number if one.isdecimal() and not one.isascii()}
    letters = {_script_of(one) for one in text if one.isalpha()} if digits else set[str]()
    return "".join(map(_western, number)) if letters and not digits & letters else number


def _script_of(character: str) -> str:
    if unicodedata.east_asian_width(character) in "FWH":
        return _WIDE
    return re.split("[ -]", unicodedata.name(character, "?").removeprefix("EXTENDED "))[0]


def _western(character: str) -> str:
    if character.isdecimal():
        return str(unicodedata.decimal(character))
    wide = unicodedata.east_asian_width(character) == "F"
    return _ARABIC_SIGNS.get(character) or (unicodedata.normalize("NFKC", character) if wide else character)


Kind = Literal["number", "url"]
Originals = dict[Kind, list[str]]
"""For every kind that was masked, what its placeholders stand for, in order."""
Filling = Mapping[Kind, Sequence[str | None]]
"""For every kind that was masked, what goes into each of its placeholders in a translation; None: nothing."""

PLACEHOLDERS: Final[dict[Kind, str]] = {"number": "[NUM]", "url": "[URL]"}

# A placeholder that the user typed is masked too: it stands for itself and comes back as it was.
_PATTERNS: Final[dict[Kind, str]] = {
    "url": (
        rf"(?P<url>\[URL\]|{BEGINS}(?i:https?://|www\.)"
        r"(?:\([^\s()]*+\)|\[[^\s\[\]]*+\]|[^\s()\[\]，。！？；：、）」』》])+"  # noqa: RUF001 (these marks are meant)
        r"(?<![.,;:!?'\"»}>…]))"
    ),
    "number": rf"(?P<number>\[NUM\]|{NUMBER})",
}

_NEVER: Final = "(?!)"


def mask(text: str, kinds: Sequence[Kind]) -> tuple[str, Originals]:
    """Replace what is of one of `kinds` by its placeholder; a number inside a masked URL belongs to the URL."""
    originals: Originals = {kind: [] for kind in PLACEHOLDERS if kind in kinds}

    def replace(match: re.Match[str]) -> str:
        kind: Kind = "url" if match.lastgroup == "url" else "number"
        originals[kind].append(match[0])
        return PLACEHOLDERS[kind]

    return re.sub(_pattern(kinds), replace, text), originals


def without_urls(text: str) -> str:
    """Leave URLs out of a text: they are in no language."""
    return re.sub(_PATTERNS["url"], "", text) if "://" in text or "www." in text else text


def masked_spans(text: str, kinds: Sequence[Kind]) -> list[tuple[int, int]]:
    """Say where `mask` finds something: from where to where."""
    return [match.span() for match in re.finditer(_pattern(kinds), text)]


def _pattern(kinds: Sequence[Kind]) -> str:
    return "|".join(pattern for kind, pattern in _PATTERNS.items() if kind in kinds) or _NEVER


def mask_pair(src: str, tgt: str, kinds: Sequence[Kind]) -> tuple[str, str]:
    """Mask a training pair, but leave a kind as it is unless both sides hold the same of it in the same order.

    Numbers are the same if their digits, units and signs are: 1,234.5 and 1.234,5 are. Pairs that reorder them teach a
    model which to read: masked, its numbers would all look alike, and no loss would tell one from another.
    """
    while True:
        masked_src, in_src = mask(src, kinds)
        masked_tgt, in_tgt = mask(tgt, kinds)
        same = [
            kind
            for kind in in_src
            if in_src[kind] == in_tgt[kind]
            or (kind == "number" and list(map(number_value, in_src[kind])) == list(map(number_value, in_tgt[kind])))
        ]
        if len(same) == len(in_src):
            return masked_src, masked_tgt
        kinds = same


def unmask(text: str, filling: Filling) -> str:
    """Fill the placeholders of each kind in order; those without anything to fill them are removed."""
    if not filling:
        return text
    waiting = {PLACEHOLDERS[kind]: iter(texts) for kind, texts in filling.items()}
    surplus = False

    def replace(match: re.Match[str]) -> str:
        nonlocal surplus
        original = next(waiting[match["placeholder"]], None)
        if original is None:
            surplus = True
            return ""
        return match["space"] + original

    filled = re.sub(f"(?P<space> ?)(?P<placeholder>{'|'.join(map(re.escape, waiting))})", replace, text)
    return filled.strip() if surplus else filled


@dataclass(frozen=True)
class Placed:
    """Where the originals of a source go in its translation."""

    filling: dict[Kind, list[str | None]]
    lost: tuple[str, ...]
    """Those that no placeholder of the translation stands for."""


def unwritten(originals: Originals, written: str) -> dict[Kind, list[int]]:
    """Return, for each kind, which originals do not stand in a text as they are."""
    left: dict[Kind, list[int]] = {}
    _, found = mask(written, list(originals))
    for kind, texts in originals.items():
        counts = Counter(found[kind])
        left[kind] = []
        for index, text in enumerate(texts):
            if counts[text] > 0:
                counts[text] -= 1
            else:
                left[kind].append(index)
    return left


def spaced(text: str) -> str:
    """Put spaces around placeholders that touch words or each other: `mask` leaves what touches a word as it is, so
    they never do; and two numbers side by side would be a third."""
    letter, placeholder = rf"[^\W{GLUED}]", "|".join(map(re.escape, PLACEHOLDERS.values()))
    return re.sub(rf"(?<={letter})(?={placeholder})|(?<=\[NUM\]|\[URL\])(?={letter}|{placeholder})", " ", text)


def fill(text: str, filling: Filling) -> str:
    """Fill the placeholders of a translation; where there may be some, it has neither two spaces side by side nor any
    at its ends but for those of what fills it."""
    return unmask(spaced(re.sub(" {2,}", " ", text).strip(" ")), filling) if filling else text


def written_for(text: str, filling: Filling, zero: str | None = None) -> dict[Kind, list[str | None]]:
    """Write the numbers that fill the placeholders of a translation in the digits that begin at `zero`; None: in those
    that they have, if its script may have them."""
    bare = unmask(text, {kind: [] for kind in filling})

    def write(number: str) -> str:
        return number_for(bare, number) if zero is None else number_with(zero, number)

    return {kind: [write(one) if kind == "number" and one else one for one in texts] for kind, texts in filling.items()}


def fill_pieces(pieces: Sequence[str], filling: Filling) -> list[str]:
    """Fill the placeholders in the pieces of a text, so that they have its words."""
    waiting = {PLACEHOLDERS[kind]: iter(texts) for kind, texts in filling.items()}
    pattern = "|".join(map(re.escape, waiting)) or _NEVER
    return [
        re.sub(pattern, lambda match: SPACE_MARK.join((next(waiting[match[0]], None) or "").split()), piece)
        for piece in pieces
    ]


def place(
    originals: Originals,
    src: Sequence[str],
    tgt: Sequence[str],
    attention: NDArray[np.float32] | None,
    *,
    written: str = "",
) -> Placed:
    """Find out which original each placeholder of a translation stands for: in order, unless attention tells another.

    Args:
        originals: What `mask` took out of the source.
        src: The pieces of the masked source, [S].
        tgt: Those of the translation, [T].
        attention: [T, S]; None: there is none.
        written: What the translation begins with; what it holds literally needs no placeholder.
    """
    left = unwritten(originals, written)
    filling: dict[Kind, list[str | None]] = {}
    lost: list[str] = []
    for kind, all_texts in originals.items():
        rows, columns = _places(tgt, kind), _places(src, kind)
        texts = [all_texts[index] for index in left[kind]]
        size = max(len(rows), len(texts))
        weights = np.zeros((size, size), dtype=np.float64)
        if attention is not None and len(columns) == len(all_texts):
            weights[: len(rows), : len(texts)] = attention[np.ix_(rows, [columns[index] for index in left[kind]])]
        order = _assign(weights)
        chosen = [texts[column] if column < len(texts) else None for column in order]
        filling[kind] = chosen[: len(rows)]
        lost += [texts[column] for column in sorted(order[len(rows) :]) if column < len(texts)]
    return Placed(filling, tuple(lost))


def _places(pieces: Sequence[str], kind: Kind) -> list[int]:
    """Return the piece of each placeholder; a piece that is a word may hold several."""
    return [index for index, piece in enumerate(pieces) for _ in range(piece.count(PLACEHOLDERS[kind]))]


def _assign(weights: NDArray[np.float64]) -> list[int]:
    """Give each row of a square a column of its own: in order at first, then two change places while that adds weight.

    Where every row reads a single column this finds it, however they are mixed.
    """
    order = list(range(len(weights)))
    changed = True
    while changed:
        changed = False
        for first in range(len(order)):
            for second in range(first + 1, len(order)):
                a, b = order[first], order[second]
                if weights[first, b] + weights[second, a] > weights[first, a] + weights[second, b] + 1e-6:
                    order[first], order[second], changed = b, a, True
    return order
