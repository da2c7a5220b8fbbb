"""What an update is made from: padded batches, assembled by a background thread while the one before is in use."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch

from nmt.batching import Batch, TargetBatch, TrainingBatch
from nmt.training.distributed import Ranks
from nmt.training.order import DataOrder
from nmt.training.pairs import TrainingPairs
from nmt.training.state import Position
from nmt.vocab import PAD

T = TypeVar("T")


@dataclass(frozen=True)
class UpdateData:
    """What one update is made from."""

    batches: tuple[TrainingBatch, ...]
    """This process's part of each batch."""
    pieces: int
    """Target pieces of all processes."""
    after: Position
    """Where the next update begins."""


@dataclass(frozen=True)
class Feed:
    """Cuts the passes into updates, and every batch into the parts of the processes that share it."""

    order: DataOrder
    accumulate: int
    ranks: Ranks
    pin: bool
    """Put batches into page-locked memory, from which a GPU copies without waiting."""

    def updates(self, position: Position) -> Iterator[UpdateData]:
        """Yield updates from `position` on, without end."""
        return ahead(self._updates(position))

    def steps_left(self, position: Position, *, max_epochs: int) -> int:
        """Count the updates from `position` to the end of `max_epochs` passes.

        Passes that are drawn or cut anew differ by a few batches; this one stands for those to come.
        """
        if position.epoch >= max_epochs:
            return 0
        this_pass = len(self.order.left(position)[1])
        whole = len(self.order.plan(position.epoch).batches)
        return self._steps(this_pass) + (max_epochs - position.epoch - 1) * self._steps(whole)

    def _steps(self, batches: int) -> int:
        return -(-batches // self.accumulate)

    def _updates(self, position: Position) -> Iterator[UpdateData]:
        while True:
            place, batches = self.order.left(position)
            *before, (budget, seen) = place.parts
            seed = self.order.pass_seed(place.epoch)
            for first in range(0, len(batches), self.accumulate):
                last = min(first + self.accumulate, len(batches))
                group = [batches[index] for index in range(first, last)]
                seen += sum(len(rows) for rows in group)
                is_last = last == len(batches)
                after = Position(place.epoch + 1) if is_last else Position(place.epoch, (*before, (budget, seen)))
                taken = [self.order.pairs.take(rows, seed=seed) for rows in group]
                yield UpdateData(tuple(map(self._part, taken)), sum(pairs.pieces() for pairs in taken), after)
            position = Position(place.epoch + 1)
            del batches  # makes room for those of the next pass

    def _part(self, pairs: TrainingPairs) -> Batch:
        rows = np.arange(len(pairs))
        mine = rows[self.ranks.rank :: self.ranks.size]
        batch = pairs.batch(mine) if len(mine) else _emptied(pairs.batch(rows[:1]))
        return batch.pinned() if self.pin else batch


def _emptied(batch: Batch) -> Batch:
    """Keep the shape and lose the pieces: every process has to take part in every update."""
    return Batch(batch.src, TargetBatch.of(batch.tgt.inputs, torch.full_like(batch.tgt.outputs, PAD)))


def ahead(items: Iterator[T]) -> Iterator[T]:
    """Yield what an endless iterator gives; a thread makes the next item while one is in use.

    The thread is waited for at the end: one that is left running would be torn out of torch's code when Python exits.
    """
    with ThreadPoolExecutor(max_workers=1) as worker:
        waiting = worker.submit(next, items)
        while True:
            item = waiting.result()
            waiting = worker.submit(next, items)
            yield item
