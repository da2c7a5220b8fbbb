"""Texts from formats in which a text can hold anything, line ends too."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Final, NamedTuple

from nmt.corpus.reading import Fault, OnBadUtf8, Pair, normalise
from nmt.corpus.sources.blocks import Block
from nmt.corpus.sources.lines import BYTES_AT_ONCE, LONGEST_LINE
from nmt.errors import DataError

_BREAKS: Final = re.compile(r" *[\n\r\t][\n\r\t ]*")
_SURROGATES: Final = re.compile("[\ud800-\udfff]")


class Unit(NamedTuple):
    """A source and its translation, as they stand in their file."""

    src: str
    tgt: str
    place: int
    """The number of where they stand."""
    fault: Fault | None = None
    """Why they could not be read: then both are empty."""


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
        src, tgt, places, faults = zip(*self.units, strict=True)

        def where(row: int) -> str:
            return f"{self.file}, {self.noun} {places[row]}"

        sides = (to_lines(texts, where, self.on_bad_utf8) for texts in (src, tgt))
        return list(map(Pair, *sides, repeat(self.file), places, faults))


def cut_strings(
    units: Iterable[Unit], size: int, *, file: str, noun: str, on_bad_utf8: OnBadUtf8
) -> Iterator[StringsBlock]:
    """Put texts into blocks of at most `size`.

    Args:
        units: Fewer of long ones are taken together; those longer than a line may be are empty from here on.
        size: At least 1.
        file: Where all of them are from.
        noun: What their numbers count: lines or units.
        on_bad_utf8: What halves of surrogate pairs lead to.
    """
    taken: list[Unit] = []
    length = 0
    for unit in units:
        is_too_long = max(len(unit.src), len(unit.tgt)) > LONGEST_LINE
        taken.append(Unit("", "", unit.place, "too_long") if is_too_long else unit)
        length += len(taken[-1].src) + len(taken[-1].tgt)
        if len(taken) == size or length >= BYTES_AT_ONCE:
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
    return [
        normalise(_BREAKS.sub(" ", text) if "\n" in text or "\t" in text or "\r" in text else text) for text in texts
    ]


def _without_halves(text: str, row: int, where: Callable[[int], str], on_bad_utf8: OnBadUtf8) -> str:
    half = _SURROGATES.search(text)
    if half and on_bad_utf8 == "error":
        raise DataError(
            f"{where(row)}: U+{ord(half[0]):04X} is half of a surrogate pair, no character; "
            "--on-bad-utf8 replace puts U+FFFD in its place"
        )
    return _SURROGATES.sub("\ufffd", text)
