"""The training pairs as they are read: padded into batches, their words cut anew in every pass where that is wanted."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from nmt.batching import Batch, source_batch, target_batch
from nmt.sequences import FlatSequences, Rows

_BLOCK = 2000
"""Pairs cut at a time when only their lengths are wanted."""


class Resample(Protocol):
    """Something that cuts sentences into pieces anew."""

    def resample(self, rows: FlatSequences, wanted: Rows, *, seed: int) -> FlatSequences:
        """Return the `wanted` rows in that order, cut anew: a function of the rows and the seed."""
        ...


@dataclass(frozen=True)
class TrainingPairs:
    """The corpus, or some of its pairs."""

    src: FlatSequences
    tgt: FlatSequences
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

    def lengths(self, *, seed: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Return the lengths of all sources and targets in the pass that has this seed."""
        if self.resamplers is None:
            return self.src.lengths, self.tgt.lengths
        src, tgt = np.empty_like(self.src.lengths), np.empty_like(self.tgt.lengths)
        for first in range(0, len(self), _BLOCK):
            rows = np.arange(first, min(first + _BLOCK, len(self)))
            block = self.take(rows, seed=seed)
            src[rows], tgt[rows] = block.src.lengths, block.tgt.lengths
        return src, tgt

    def words(self) -> int:
        """Count the target words, `</s>` included."""
        return int(self.tgt.lengths.sum(dtype=np.int64)) + len(self)

    def batch(self, rows: Rows) -> Batch:
        """Pad the pairs of `rows`."""
        return Batch(source_batch(self.src, rows, reverse_source=self.reverse_source), target_batch(self.tgt, rows))
