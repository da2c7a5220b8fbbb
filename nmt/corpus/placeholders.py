"""Numbers and URLs as [NUM] and [URL], which a model copies by position instead of spelling them out.

All numbers of a sentence have the same placeholder, so that a model learns one word for them, however many there are;
which is which in a translation is told by the attention with which each was written.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from nmt.corpus.numbers import BEGINS, GLUED, NUMBER, number_for, number_value, number_with
from nmt.surfaces import SPACE_MARK

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

_URL: Final = re.compile(_PATTERNS["url"])
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
    return _URL.sub("", text) if "://" in text or "www." in text else text


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
        src: The pieces of the masked source.
        tgt: The pieces of the translation.
        attention: How much each target piece read of each source piece, [T, S]; None: nobody knows.
        written: What the translation begins with; what it holds literally needs no placeholder.
    """
    left = unwritten(originals, written)
    filling: dict[Kind, list[str | None]] = {}
    lost: list[str] = []
    for kind, all_texts in originals.items():
        rows, columns = _places(tgt, kind), _places(src, kind)
        known = attention is not None and len(columns) == len(all_texts)
        texts = [all_texts[index] for index in left[kind]]
        size = max(len(rows), len(texts))
        weights = np.zeros((size, size), dtype=np.float64)
        if attention is not None and known:
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
