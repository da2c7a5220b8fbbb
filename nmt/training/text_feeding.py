"""What an update of a language model is made from: the next pieces of all parts of a text."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from nmt.batching import Segment
from nmt.training.distributed import Ranks
from nmt.training.feeding import UpdateData, ahead
from nmt.training.state import Position
from nmt.training.stream import Parts


@dataclass(frozen=True)
class TextFeed:
    """Cuts the passes over a text into updates, and every segment into the rows of the processes that share it.

    A pass reads every piece once. A position counts the pieces read in each part, so the length of the segments may
    change within a pass.
    """

    parts: Parts
    steps: int
    """Pieces of each part in a segment."""
    accumulate: int
    carries: bool
    """Whether a segment starts where the one before has ended; false: from zeros, as the first of a pass does."""
    ranks: Ranks
    pin: bool
    """Put segments into page-locked memory, from which a GPU copies without waiting."""

    def updates(self, position: Position) -> Iterator[UpdateData]:
        """Yield updates from `position` on, without end."""
        return ahead(self._updates(position))

    def steps_left(self, position: Position, *, max_epochs: int) -> int:
        """Count the updates from `position` to the end of `max_epochs` passes."""
        if position.epoch >= max_epochs:
            return 0
        this_pass = len(self._starts(position.pairs))
        return self._updates_of(this_pass) + (max_epochs - position.epoch - 1) * self._updates_of(self.segments)

    @property
    def segments(self) -> int:
        """Segments of a pass."""
        return len(self._starts(0))

    def _starts(self, column: int) -> range:
        return range(column, self.parts.columns, self.steps)

    def _updates_of(self, segments: int) -> int:
        return -(-segments // self.accumulate)

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
