"""The order of the data: which pairs share a batch, and what is left of a pass from any position."""

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from nmt.batching import Batches, BatchPlan, RowNumbers, plan_epoch
from nmt.training.drawing import Share, draw_rows
from nmt.training.pairs import TrainingPairs
from nmt.training.state import Position

_Planned = tuple[int, BatchPlan]
"""A pass, and its plan."""


@dataclass
class DataOrder:
    """Passes over the pairs, a pure function of the seed.

    A position counts pairs, so the batch size may change within a pass: what was seen under the old one is left out of
    the plan for the new one, and still every pair is seen in every pass as often as it was drawn for it.
    """

    pairs: TrainingPairs
    batch_tokens: int
    seed: int
    shares: tuple[Share, ...] = ()
    """The corpora in the pairs, end to end, and how often a pass sees each; none: every pair once."""
    _last: _Planned | None = field(default=None, init=False, repr=False)
    """The plan made last: it is asked for more than once, and takes seconds for many pairs."""
    _ahead: "Future[_Planned] | None" = field(default=None, init=False, repr=False)

    def plan(self, epoch: int) -> BatchPlan:
        """Cut a whole pass into batches."""
        if self._ahead is not None:
            self._last, self._ahead = self._ahead.result(), None
        if self._last is None or self._last[0] != epoch:
            self._last = None  # makes room
            self._last = self._whole(epoch)
        return self._last[1]

    def plan_ahead(self, epoch: int) -> None:
        """Begin to plan a pass in the background, while the caller does something else."""
        worker = ThreadPoolExecutor(max_workers=1)
        self._ahead = worker.submit(self._whole, epoch)
        worker.shutdown(wait=False)

    @property
    def padding(self) -> float:
        """Share of padding in the pass planned last."""
        return (self._last[1] if self._last else self.plan(0)).padding

    def pass_seed(self, epoch: int) -> int:
        """Mix run seed and pass into the seed of how words are cut in that pass."""
        return int(np.random.SeedSequence([self.seed, epoch]).generate_state(1)[0])

    def left(self, position: Position) -> tuple[Position, Batches]:
        """Return the batches of the current pass that are still to come.

        Args:
            position: Where to begin.

        Returns:
            The position, its last part one of this order's batch size; and the batches, in their order.
        """
        parts, epoch = position.parts, position.epoch
        if not parts or parts[-1][0] != self.batch_tokens:
            parts = (*parts, (self.batch_tokens, 0))
        (first_tokens, seen), *others = parts
        if not others:
            return Position(epoch, parts), self.plan(epoch).batches.after(seen)
        self._last = None
        rows = draw_rows(self.shares, seed=self.seed, epoch=epoch)
        batches = self._plan(epoch, rows, first_tokens).batches.after(seen)
        for batch_tokens, seen in others:
            rows = batches.sorted_rows()
            batches = self._plan(epoch, rows, batch_tokens).batches.after(seen)
        return Position(epoch, parts), batches

    def _whole(self, epoch: int) -> _Planned:
        rows = draw_rows(self.shares, seed=self.seed, epoch=epoch)
        return epoch, self._plan(epoch, rows, self.batch_tokens)

    def _plan(self, epoch: int, rows: RowNumbers | None, batch_tokens: int) -> BatchPlan:
        src, tgt = self.pairs.lengths(seed=self.pass_seed(epoch))
        return plan_epoch(src, tgt, batch_tokens=batch_tokens, seed=self.seed, epoch=epoch, rows=rows)
