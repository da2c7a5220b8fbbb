"""Cut a text that is too long for a model where a reader would pause."""

import re
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Final

# A word with the space behind it; in scripts without spaces, a clause up to its full stop.
_UNIT: Final = re.compile(r"[^\s。！？｡]*+[。！？｡]++\s*+|[^\s。！？｡]++\s*+")  # noqa: RUF001 (these stops are meant)
_SENTENCE_END: Final = re.compile(r"[.!?…;:。！？｡]['\"’”»)\]]*\s*$")  # noqa: RUF001

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


def _counted(units: Sequence[str], count: Count) -> list[tuple[str, int]]:
    return list(zip(units, count(units), strict=True))


def _cut_unit(unit: str, pieces: int, *, limit: int) -> list[str]:
    if pieces <= limit:
        return [unit]
    size = max(1, limit - 1)  # as a rule a text has at most one piece more than characters
    return [unit[start : start + size] for start in range(0, len(unit), size)]


def _pack(units: Sequence[tuple[str, int]], limit: int) -> list[str]:
    parts: list[str] = []
    current: list[tuple[str, int]] = []
    size = 0
    for unit, pieces in units:
        if current and size + pieces > limit:
            cut = _best_cut(current)
            parts.append(_text_of(current[:cut]))
            current = current[cut:]
            size = sum(count for _, count in current)
        current.append((unit, pieces))
        size += pieces
    return [*parts, _text_of(current)]


def _text_of(units: Sequence[tuple[str, int]]) -> str:
    return "".join(text for text, _ in units).strip()


def _best_cut(units: Sequence[tuple[str, int]]) -> int:
    sizes = list(accumulate(count for _, count in units))
    ends = [
        i for i, (text, _) in enumerate(units, start=1) if _SENTENCE_END.search(text) and 2 * sizes[i - 1] > sizes[-1]
    ]
    return ends[-1] if ends else len(units)
