"""The training pairs as they are read: padded into batches, their words cut anew in every pass where that is wanted."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from nmt.batching import LONGEST_ROW, Batch, Lengths, source_batch, target_batch
from nmt.errors import DataError
from nmt.sequences import FlatSequences, Rows, Sequences

_BLOCK = 2000
"""Pairs cut at a time when only their lengths are wanted."""


class Resample(Protocol):
    """Something that cuts sentences into pieces anew."""

    def resample(self, rows: Sequences, wanted: Rows, *, seed: int) -> FlatSequences:
        """Return the `wanted` rows in that order, cut anew: a function of the rows and the seed."""
        ...


@dataclass(frozen=True)
class TrainingPairs:
    """The corpus, or some of its pairs."""

    src: Sequences
    tgt: Sequences
    reverse_source: bool
    resamplers: tuple[Resample, Resample] | None = None
    """Cut sources and targets anew in each pass; None: they stay as they were prepared."""

    def __len__(self) -> int:
        return len(self.src)

    def take(self, rows: Rows, *, seed: int) -> "TrainingPairs":
        """Return the pairs of `rows` alone, in that order, cut as in the pass that has this seed."""
        if self.resamplers is None:
            return TrainingPairs(self.src.take(rows), self.tgt.take(rows), self.reverse_source)
        src, tgt = self.resamplers
        return TrainingPairs(
            src.resample(self.src, rows, seed=seed), tgt.resample(self.tgt, rows, seed=seed), self.reverse_source
        )

    def lengths(self, *, seed: int) -> tuple[Lengths, Lengths]:
        """Return the lengths of all sources and targets in the pass that has this seed, in 4 bytes a pair.

        Raises:
            DataError: There is a pair that no batch can hold.
        """
        if self.resamplers is None:
            return _narrow(self.src.lengths), _narrow(self.tgt.lengths)
        src, tgt = np.empty(len(self), dtype=np.uint16), np.empty(len(self), dtype=np.uint16)
        for first in range(0, len(self), _BLOCK):
            rows = np.arange(first, min(first + _BLOCK, len(self)))
            block = self.take(rows, seed=seed)
            src[rows], tgt[rows] = _narrow(block.src.lengths, first), _narrow(block.tgt.lengths, first)
        return src, tgt

    def pieces(self) -> int:
        """Count the target pieces, `</s>` included."""
        return int(self.tgt.lengths.sum(dtype=np.int64)) + len(self)

    def batch(self, rows: Rows) -> Batch:
        """Pad the pairs of `rows`."""
        src, tgt, all_rows = self.src.take(rows), self.tgt.take(rows), np.arange(len(rows))
        return Batch(source_batch(src, all_rows, reverse_source=self.reverse_source), target_batch(tgt, all_rows))


def _narrow(lengths: NDArray[np.int32], first: int = 0) -> Lengths:
    if lengths.max(initial=0) > LONGEST_ROW:
        row = int(lengths.argmax())
        raise DataError(
            f"training pair {first + row + 1:,} has a side of {lengths[row]:,} pieces, "
            f"expected at most {LONGEST_ROW:,}; prepare the data with a smaller data.max_pieces"
        )
    return lengths.astype(np.uint16)
