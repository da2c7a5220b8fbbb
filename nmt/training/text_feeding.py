"""A text as a language model reads it: one stream of pieces, cut into parts that are read side by side."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from nmt.batching import Segment
from nmt.text.sequences import Sequences
from nmt.text.vocab import EOS, PAD
from nmt.training.distributed import Ranks
from nmt.training.feeding import UpdateData, ahead, updates_of
from nmt.training.state import Position

Places = NDArray[np.int64]


@dataclass(frozen=True)
class TextStream:
    """The sentences of a text end to end, `</s>` after each one; nothing of them is copied before it is read."""

    sentences: Sequences

    @cached_property
    def _ends(self) -> Places:
        """Where the piece after the `</s>` of each sentence is, [N]."""
        return np.cumsum(self.sentences.lengths + np.int64(1))

    def __len__(self) -> int:
        """Count the pieces, `</s>` included."""
        return int(self._ends[-1]) if len(self._ends) else 0

    def read(self, places: Places) -> NDArray[np.int64]:
        """Return the pieces at some places, of any shape; the one before the first is `</s>`."""
        sentence = np.searchsorted(self._ends, places, side="right")
        taken = self.sentences.take(sentence)
        within = places - (self._ends[sentence] - taken.lengths - 1)
        real = (within >= 0) & (within < taken.lengths)
        index = np.where(real, taken.starts + within, 0)
        return np.where(real, taken.values[index], EOS).astype(np.int64)


@dataclass(frozen=True)
class Parts:
    """A stream cut into `rows` equal parts, the last of which may be shorter (Zaremba et al., 2015, sec. 4.1)."""

    stream: TextStream
    rows: int

    @property
    def columns(self) -> int:
        """Pieces of each part."""
        return -(-len(self.stream) // self.rows)

    def pieces(self, first: int, last: int) -> int:
        """Count the pieces in the columns from `first` to before `last`, over all parts."""
        starts = np.arange(self.rows) * self.columns
        ends = np.minimum(starts + min(last, self.columns), len(self.stream))
        return int(np.maximum(ends - (starts + first), 0).sum())

    def segment(self, first: int, last: int, *, rows: Places, is_fresh: bool) -> Segment:
        """Read the columns from `first` to before `last` of some parts; after the end of the text is PAD."""
        places = rows[:, None] * self.columns + np.arange(first, min(last, self.columns))
        real = places < len(self.stream)
        known = np.where(real, places, 0)
        inputs, outputs = (np.where(real, self.stream.read(known - back), PAD) for back in (1, 0))
        return Segment.of(torch.from_numpy(inputs), torch.from_numpy(outputs), first_row=0, is_fresh=is_fresh)

    def segments(self, steps: int) -> Iterator[Segment]:
        """Read all parts from beginning to end, `steps` columns at a time."""
        rows = np.arange(self.rows)
        for first in range(0, self.columns, steps):
            yield self.segment(first, first + steps, rows=rows, is_fresh=first == 0)


@dataclass(frozen=True)
class TextFeed:
    """Cuts the epochs over a text into updates, and every segment into the rows of the processes that share it.

    An epoch reads every piece once. A position counts the pieces read in each part, so the length of the segments may
    change within an epoch.
    """

    parts: Parts
    steps: int
    """Pieces of each part in a segment."""
    accumulate: int
    carries: bool
    """Whether a segment starts where the one before has ended; false: from zeros, as the first of an epoch does."""
    ranks: Ranks
    pin: bool
    """Put segments into page-locked memory, from which a GPU copies without waiting."""

    def updates(self, position: Position) -> Iterator[UpdateData]:
        """Yield updates from `position` on, without end."""
        return ahead(self._updates(position))

    def steps_left(self, position: Position, *, max_epochs: int) -> int:
        """Count the updates from `position` to the end of `max_epochs` epochs."""
        if position.epoch >= max_epochs:
            return 0
        this_epoch, whole = len(self._starts(position.pairs)), self.segments
        further = max_epochs - position.epoch - 1
        return updates_of(this_epoch, self.accumulate) + further * updates_of(whole, self.accumulate)

    @property
    def segments(self) -> int:
        """Segments of an epoch."""
        return len(self._starts(0))

    @property
    def padding(self) -> float:
        """Share of the cells of an epoch that lie after the end of the text."""
        return 1 - len(self.parts.stream) / (self.parts.rows * self.parts.columns)

    def _starts(self, column: int) -> range:
        return range(column, self.parts.columns, self.steps)

    def _updates(self, position: Position) -> Iterator[UpdateData]:
        epoch, column, columns = position.epoch, position.pairs, self.parts.columns
        while True:
            starts = self._starts(column)[: self.accumulate]
            end = min(starts[-1] + self.steps, columns)
            after = Position(epoch + 1) if end == columns else Position(epoch, ((self.parts.rows, end),))
            yield UpdateData(tuple(map(self._segment, starts)), self.parts.pieces(column, end), after)
            epoch, column = after.epoch, after.pairs

    def _segment(self, first: int) -> Segment:
        mine = np.arange(self.ranks.rank, self.parts.rows, self.ranks.size)
        is_fresh = first == 0 or not self.carries
        segment = self.parts.segment(first, first + self.steps, rows=mine, is_fresh=is_fresh)
        return segment.pinned() if self.pin else segment
