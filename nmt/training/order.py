"""The order of the data: which pairs share a batch, and what is left of a pass from any position."""

from dataclasses import dataclass

import numpy as np

from nmt.batching import BatchPlan, plan_epoch
from nmt.sequences import Rows
from nmt.training.pairs import TrainingPairs
from nmt.training.state import Position


@dataclass(frozen=True)
class DataOrder:
    """Passes over the pairs, a pure function of the seed.

    A position counts pairs, so the batch size may change within a pass: what was seen under the old one is left out of
    the plan for the new one, and still every pair is seen once in every pass.
    """

    pairs: TrainingPairs
    batch_tokens: int
    seed: int

    def first_plan(self) -> BatchPlan:
        """Cut the first pass into batches."""
        src, tgt = self.pairs.lengths(seed=self.pass_seed(0))
        return plan_epoch(src, tgt, batch_tokens=self.batch_tokens, seed=self.seed, epoch=0)

    def pass_seed(self, epoch: int) -> int:
        """Mix run seed and pass into the seed of how words are cut in that pass."""
        return int(np.random.SeedSequence([self.seed, epoch]).generate_state(1)[0])

    def left(self, position: Position) -> tuple[Position, list[Rows]]:
        """Return the batches of the current pass that are still to come.

        Args:
            position: Where to begin.

        Returns:
            The position, its last part one of this order's batch size; and the batches, in their order.
        """
        parts = position.parts
        if not parts or parts[-1][0] != self.batch_tokens:
            parts = (*parts, (self.batch_tokens, 0))
        src, tgt = self.pairs.lengths(seed=self.pass_seed(position.epoch))
        rows = np.arange(len(self.pairs))
        batches: list[Rows] = []
        for batch_tokens, seen in parts:
            plan = plan_epoch(src[rows], tgt[rows], batch_tokens=batch_tokens, seed=self.seed, epoch=position.epoch)
            ends = np.cumsum([len(batch) for batch in plan.batches])
            batches = [rows[batch] for batch in plan.batches[np.searchsorted(ends, seen, side="right") :]]
            rows = np.sort(np.concatenate(batches))
        return Position(position.epoch, parts), batches
