"""Histograms in so few bins that they can be looked at."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Final

from nmt.prepared.lengths import LONGEST, Lengths

_SHOWN: Final = 0.999
"""Share of the rows that the bins of equal width reach to; what is longer shares one bin."""


@dataclass(frozen=True)
class Bin:
    """How many rows have a length between two, both included."""

    first: int
    last: int
    rows: int
    tail: bool = False
    """Whether it holds everything that is longer than the other bins, and may be much wider."""

    @property
    def name(self) -> str:
        """Say which lengths it holds: "10-14", say."""
        if self.first == self.last:
            return f"{self.first:,}"
        return f"{self.first:,}\N{EN DASH}{self.last:,}"


def bins_of(lengths: Lengths, *, most: int) -> list[Bin]:
    """Put a histogram into at most `most` bins, of 1, 2, 5, 10, 20, 50 ... lengths each, and one more for the tail."""
    if not lengths.rows:
        return []
    reach = min(lengths.quantile(_SHOWN), LONGEST - 1)
    width = next(width for width in _widths() if reach // width < most)
    end = min((reach // width + 1) * width, LONGEST)
    bins = []
    for first in range(0, end, width):
        last = min(first + width, end) - 1
        bins.append(Bin(first, last, int(lengths.counts[first : last + 1].sum())))
    rest = int(lengths.counts[end:].sum())
    return [*bins, Bin(end, lengths.largest, rest, tail=True)] if rest else bins


def _widths() -> Iterator[int]:
    return (factor * 10**power for power in count() for factor in (1, 2, 5))
