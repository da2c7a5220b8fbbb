"""Texts from formats in which a text can hold anything, line ends too."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Final

from nmt.corpus.reading import OnBadUtf8, Pair, normalise
from nmt.corpus.sources.blocks import Block
from nmt.corpus.sources.cutting import LONGEST
from nmt.errors import DataError

_BREAKS: Final = re.compile(r" *[\n\r\t][\n\r\t ]*")
_SURROGATES: Final = re.compile("[\ud800-\udfff]")


Unit = tuple[str, str, int]
"""Source, target, and the number of where they stand."""


@dataclass(frozen=True)
class StringsBlock(Block[Pair]):
    """Texts that have been taken out of their file, but are not normalised."""

    units: tuple[Unit, ...] = field(repr=False)
    file: str
    noun: str
    """What the numbers count: lines or units."""
    on_bad_utf8: OnBadUtf8

    def __len__(self) -> int:
        return len(self.units)

    def records(self) -> list[Pair]:
        """Normalise the texts."""
        if not self.units:
            return []
        src, tgt, places = zip(*self.units, strict=True)

        def where(row: int) -> str:
            return f"{self.file}, {self.noun} {places[row]}"

        sides = (to_lines(texts, where, self.on_bad_utf8) for texts in (src, tgt))
        return list(map(Pair, *sides, repeat(self.file), places))


def cut_strings(
    units: Iterable[Unit], size: int, *, file: str, noun: str, on_bad_utf8: OnBadUtf8
) -> Iterator[StringsBlock]:
    """Put texts into blocks of at most `size`.

    Args:
        units: They may be of any length: fewer of long ones are taken together.
        size: At least 1.
        file: Where all of them are from.
        noun: What their numbers count: lines or units.
        on_bad_utf8: What halves of surrogate pairs lead to.
    """
    taken: list[Unit] = []
    length = 0
    for unit in units:
        taken.append(unit)
        length += len(unit[0]) + len(unit[1])
        if len(taken) == size or length >= LONGEST:
            yield StringsBlock(tuple(taken), file, noun, on_bad_utf8)
            taken, length = [], 0
    if taken:
        yield StringsBlock(tuple(taken), file, noun, on_bad_utf8)


def to_lines(texts: Sequence[str], where: Callable[[int], str], on_bad_utf8: OnBadUtf8) -> list[str]:
    """Normalise texts; line ends and tabs in them become spaces.

    Args:
        texts: Any strings.
        where: Says for the index of a text what an error calls it.
        on_bad_utf8: Whether half of a surrogate pair, which is no character and has no bytes in UTF-8, is an error or
            becomes U+FFFD.

    Raises:
        DataError: A text holds half of a surrogate pair.
    """
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        texts = [_without_halves(text, row, where, on_bad_utf8) for row, text in enumerate(texts)]
    return [normalise(_BREAKS.sub(" ", text) if _has_breaks(text) else text) for text in texts]


def _has_breaks(text: str) -> bool:
    return "\n" in text or "\t" in text or "\r" in text


def _without_halves(text: str, row: int, where: Callable[[int], str], on_bad_utf8: OnBadUtf8) -> str:
    half = _SURROGATES.search(text)
    if half and on_bad_utf8 == "error":
        raise DataError(
            f"{where(row)}: U+{ord(half[0]):04X} is half of a surrogate pair, no character; "
            "--on-bad-utf8 replace puts U+FFFD in its place"
        )
    return _SURROGATES.sub("\ufffd", text)
