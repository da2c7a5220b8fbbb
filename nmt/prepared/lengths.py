"""Histograms of lengths, and of the ratios between them, that can be added up in any grouping."""

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import PlainSerializer, PlainValidator

Integers = NDArray[np.integer[Any]]

LONGEST: Final = 4000
"""Lengths from here on share the last bin of a histogram."""

_STEPS: Final = 8
"""Bins of a ratio for each factor of two."""
_REACH: Final = 6
"""Ratios beyond 2 to this power, or its inverse, share the outermost bins."""
RATIO_BINS: Final = 2 * _REACH * _STEPS + 1


def to_counts(counts: object, *, size: int) -> NDArray[np.int64]:
    """Turn a list of counts into an array, with zeros behind them.

    Raises:
        ValueError: It is no list of at most `size` whole numbers that are not negative.
    """
    if not (
        isinstance(counts, list)
        and len(counts) <= size
        and all(type(one) is int and 0 <= one < 2**63 for one in counts)
    ):
        raise ValueError(f"expected a list of counts, at most {size:,}")
    whole = np.zeros(size, dtype=np.int64)
    whole[: len(counts)] = counts
    return whole


LengthCounts = Annotated[
    NDArray[np.int64],
    PlainValidator(partial(to_counts, size=LONGEST + 1)),
    PlainSerializer(lambda counts: np.trim_zeros(counts, "b").tolist()),
]
"""How the counts of a histogram are stored: as a list without the zeros at its end."""
RatioCounts = Annotated[
    NDArray[np.int64],
    PlainValidator(partial(to_counts, size=RATIO_BINS)),
    PlainSerializer(lambda counts: counts.tolist()),
]


@dataclass
class Lengths:
    """How often each length occurs, in 32 KiB however many there are."""

    counts: LengthCounts
    """Rows of each length; the last place is for `LONGEST` and more, [LONGEST + 1]."""
    total: int
    """The sum of all lengths, exact."""
    largest: int
    """The largest length, exact."""

    @classmethod
    def empty(cls) -> "Lengths":
        """Make one of no lengths."""
        return cls(np.zeros(LONGEST + 1, dtype=np.int64), total=0, largest=0)

    def add(self, lengths: Integers) -> None:
        """Count more lengths."""
        self.counts += np.bincount(np.minimum(lengths, LONGEST), minlength=LONGEST + 1)
        self.total += int(lengths.sum(dtype=np.int64))
        self.largest = max(self.largest, int(lengths.max(initial=0)))

    def merge(self, other: "Lengths") -> None:
        """Count what another histogram has counted."""
        self.counts += other.counts
        self.total += other.total
        self.largest = max(self.largest, other.largest)

    @property
    def rows(self) -> int:
        """How many lengths there are."""
        return int(self.counts.sum())

    @property
    def mean(self) -> float:
        """The mean length; 0 of nothing."""
        return self.total / max(self.rows, 1)

    def quantile(self, share: float) -> int:
        """Return the smallest length that at least this share of the rows do not exceed; 0 of nothing.

        A length in the last bin is given as the largest one.
        """
        running = np.cumsum(self.counts)
        place = int(np.searchsorted(running, max(share * int(running[-1]), 1)))
        return min(place, self.largest) if place < LONGEST else self.largest


def count_ratios(src: Integers, tgt: Integers) -> NDArray[np.int64]:
    """Count pairs by the ratio of target to source length, [RATIO_BINS]; rows with a length of 0 are left out.

    Bin i holds ratios around `ratio_of_bin(i)`; equal lengths are in the middle of the middle bin.
    """
    real = (src > 0) & (tgt > 0)
    edges = np.exp2((np.arange(RATIO_BINS - 1) - (RATIO_BINS - 2) / 2) / _STEPS)
    counts: NDArray[np.int64] = np.bincount(np.searchsorted(edges, tgt[real] / src[real]), minlength=RATIO_BINS)
    return counts


def ratio_of_bin(index: int) -> float:
    """Return the ratio at the middle of a bin."""
    return float(2.0 ** ((index - RATIO_BINS // 2) / _STEPS))
