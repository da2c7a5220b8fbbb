"""The order of the data: which pairs a pass has and which share a batch, and what is left of it from any position."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from nmt.batching import Batches, BatchPlan, RowNumbers, plan_epoch
from nmt.errors import DataError
from nmt.training.pairs import TrainingPairs
from nmt.training.state import Position

MOST: Final = 2**32
"""Pairs that can be numbered with 32 bits."""


@dataclass(frozen=True)
class Share:
    """So many pairs of the training text, each seen `weight` times in a pass."""

    pairs: int
    weight: float = 1.0

    @property
    def copies(self) -> int:
        """Times that every pair is seen in every pass."""
        return int(self.weight)

    @property
    def sampled(self) -> int:
        """Pairs that are seen once more, others in every pass."""
        return round((self.weight - self.copies) * self.pairs)

    @property
    def drawn(self) -> int:
        """Pairs of a pass."""
        return self.copies * self.pairs + self.sampled


def pairs_of_pass(shares: Sequence[Share]) -> int:
    """Count the pairs of a pass.

    Raises:
        DataError: There are too many, or none.
    """
    stored, drawn = sum(share.pairs for share in shares), sum(share.drawn for share in shares)
    if max(stored, drawn) > MOST:
        raise DataError(
            f"a pass would have {max(stored, drawn):,} pairs to draw from or to see, expected at most {MOST:,}"
        )
    if not drawn:
        raise DataError(f"no pass has a pair: there are {stored:,} in all, and the weights of the corpora leave none")
    return drawn


def draw_rows(shares: Sequence[Share], *, seed: int, epoch: int) -> RowNumbers | None:
    """Draw the rows of a pass: as many copies of each as its weight has ones, and a sample for the fraction.

    Args:
        shares: The corpora, whose rows lie end to end.
        seed: Of the run.
        epoch: Number of the pass.

    Returns:
        Row numbers, those of a corpus behind those of the corpora before it; None: every row once.
    """
    if all(share.weight == 1 for share in shares):
        return None
    parts, first = list[RowNumbers](), 0
    for number, share in enumerate(shares, start=1):
        rows = np.arange(first, first + share.pairs, dtype=np.uint32)
        parts.append(np.repeat(rows, share.copies))
        if share.sampled:
            np.random.default_rng([seed, epoch, number]).shuffle(rows)
            parts.append(np.sort(rows[: share.sampled]))
        first += share.pairs
    return np.concatenate(parts)


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
