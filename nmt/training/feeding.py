"""The training pairs as they are read: in which order, padded into batches, noised and segmented anew if requested."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from nmt.batching import (
    LONGEST_ROW,
    Batch,
    Batches,
    BatchPlan,
    Lengths,
    RowNumbers,
    TargetBatch,
    TrainingBatch,
    plan_epoch,
    source_batch,
    target_batch,
)
from nmt.errors import DataError
from nmt.text.sequences import FlatSequences, Rows, Sequences
from nmt.text.vocab import PAD
from nmt.training.distributed import Ranks
from nmt.training.state import Position

MOST: Final = 2**32
"""Pairs that can be numbered with 32 bits."""
_BLOCK = 2000
"""Pairs noised and segmented at a time when only their lengths are wanted."""


class Resample(Protocol):
    """Something that segments sentences anew."""

    def resample(self, rows: FlatSequences, numbers: Rows, *, seed: int) -> FlatSequences:
        """Return rows segmented anew: a function of each, its number in the corpus and the seed."""
        ...


class AddNoise(Protocol):
    """Something that noises pairs."""

    def noise(
        self, src: FlatSequences, tgt: FlatSequences, numbers: Rows, *, seed: int
    ) -> tuple[FlatSequences, FlatSequences]:
        """Return pairs, some of them noised: a function of each, its number in the corpus and the seed."""
        ...


@dataclass(frozen=True)
class TrainingPairs:
    """The corpus, or some of its pairs."""

    src: Sequences
    tgt: Sequences
    reverse_source: bool
    resamplers: tuple[Resample, Resample] | None = None
    """Segment sources and targets anew in each epoch; None: they stay as they were prepared."""
    noiser: AddNoise | None = None
    """Noises some pairs in each epoch, before they are segmented anew."""
    right_to_left: bool = False
    """Whether targets are learnt from their last piece to their first."""

    def __len__(self) -> int:
        return len(self.src)

    def take(self, rows: Rows, *, seed: int) -> "TrainingPairs":
        """Return the pairs of `rows` alone, in that order, noised and segmented as in the epoch that has this seed."""
        src, tgt = self.src.take(rows), self.tgt.take(rows)
        if self.noiser is not None:
            src, tgt = self.noiser.noise(src, tgt, rows, seed=seed)
        if self.resamplers is not None:
            of_src, of_tgt = self.resamplers
            src, tgt = of_src.resample(src, rows, seed=seed), of_tgt.resample(tgt, rows, seed=seed)
        return TrainingPairs(src, tgt, self.reverse_source, right_to_left=self.right_to_left)

    def lengths(self, *, seed: int) -> tuple[Lengths, Lengths]:
        """Return the lengths of all sources and targets in the epoch that has this seed, in 4 bytes a pair.

        Raises:
            DataError: There is a pair that no batch can hold.
        """
        if self.resamplers is None and self.noiser is None:
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
        sources = source_batch(src, all_rows, reverse_source=self.reverse_source)
        return Batch(sources, target_batch(tgt, all_rows, right_to_left=self.right_to_left))


def _narrow(lengths: NDArray[np.int32], first: int = 0) -> Lengths:
    if lengths.max(initial=0) > LONGEST_ROW:
        row = int(lengths.argmax())
        raise DataError(
            f"training pair {first + row + 1:,} has a side of {lengths[row]:,} pieces, "
            f"expected at most {LONGEST_ROW:,}; prepare the data with a smaller data.max_pieces"
        )
    return lengths.astype(np.uint16)


@dataclass(frozen=True)
class Share:
    """So many pairs of the training text, each seen `weight` times in an epoch."""

    pairs: int
    weight: float = 1.0

    @property
    def copies(self) -> int:
        """Times that every pair is seen in every epoch."""
        return int(self.weight)

    @property
    def sampled(self) -> int:
        """Pairs that are seen once more, others in every epoch."""
        return round((self.weight - self.copies) * self.pairs)

    @property
    def drawn(self) -> int:
        """Pairs of an epoch."""
        return self.copies * self.pairs + self.sampled


def pairs_of_epoch(shares: Sequence[Share]) -> int:
    """Count the pairs of an epoch.

    Raises:
        DataError: There are too many, or none.
    """
    stored, drawn = sum(share.pairs for share in shares), sum(share.drawn for share in shares)
    if max(stored, drawn) > MOST:
        raise DataError(
            f"an epoch would have {max(stored, drawn):,} pairs to draw from or to see, expected at most {MOST:,}"
        )
    if not drawn:
        raise DataError(f"no epoch has a pair: there are {stored:,} in all, and the weights of the corpora leave none")
    return drawn


def draw_rows(shares: Sequence[Share], *, seed: int, epoch: int) -> RowNumbers | None:
    """Sample the rows of an epoch: as many copies of each as its weight has ones, and a sample for the fraction.

    Returns:
        Row numbers, those of a corpus after those of the corpora before it; None: every row once.
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


@dataclass
class DataOrder:
    """Epochs over the pairs, a pure function of the seed.

    A position counts pairs, so the batch size may change within an epoch: what was seen under the old one is left out
    of the plan for the new one, and still every pair is seen in every epoch as often as it was drawn for it.
    """

    pairs: TrainingPairs
    batch_tokens: int
    seed: int
    shares: tuple[Share, ...] = ()
    """The corpora in the pairs, end to end, and how often an epoch sees each; none: every pair once."""
    _last: tuple[int, BatchPlan] | None = field(default=None, init=False, repr=False)
    """The epoch planned last, and its plan: it is asked for more than once, and takes seconds for many pairs."""
    _ahead: "Future[tuple[int, BatchPlan]] | None" = field(default=None, init=False, repr=False)

    def plan(self, epoch: int) -> BatchPlan:
        """Cut a whole epoch into batches."""
        if self._ahead is not None:
            self._last, self._ahead = self._ahead.result(), None
        if self._last is None or self._last[0] != epoch:
            self._last = None  # makes room
            self._last = self._whole(epoch)
        return self._last[1]

    def plan_ahead(self, epoch: int) -> None:
        """Begin to plan an epoch in the background, while the caller does something else."""
        worker = ThreadPoolExecutor(max_workers=1)
        self._ahead = worker.submit(self._whole, epoch)
        worker.shutdown(wait=False)

    @property
    def padding(self) -> float:
        """Share of padding in the epoch planned last."""
        return (self._last[1] if self._last else self.plan(0)).padding

    def epoch_seed(self, epoch: int) -> int:
        """Mix run seed and epoch into the seed of that epoch's noise and segmentation."""
        return int(np.random.SeedSequence([self.seed, epoch]).generate_state(1)[0])

    def left(self, position: Position) -> tuple[Position, Batches]:
        """Return `position`, its last part one of this order's batch size, and the batches of its epoch to come."""
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

    def _whole(self, epoch: int) -> tuple[int, BatchPlan]:
        rows = draw_rows(self.shares, seed=self.seed, epoch=epoch)
        return epoch, self._plan(epoch, rows, self.batch_tokens)

    def _plan(self, epoch: int, rows: RowNumbers | None, batch_tokens: int) -> BatchPlan:
        src, tgt = self.pairs.lengths(seed=self.epoch_seed(epoch))
        return plan_epoch(src, tgt, batch_tokens=batch_tokens, seed=self.seed, epoch=epoch, rows=rows)


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
    """Cuts the epochs into updates, and every batch into the parts of the processes that share it."""

    order: DataOrder
    accumulate: int
    ranks: Ranks
    pin: bool
    """Put batches into page-locked memory, from which a GPU copies without waiting."""

    def updates(self, position: Position) -> Iterator[UpdateData]:
        """Yield updates from `position` on, without end."""
        return ahead(self._updates(position))

    def steps_left(self, position: Position, *, max_epochs: int) -> int:
        """Count the updates from `position` to the end of `max_epochs` epochs. Those that are sampled, noised or
        segmented anew differ by a few batches; this one stands for those to come."""
        if position.epoch >= max_epochs:
            return 0
        this_epoch = len(self.order.left(position)[1])
        whole = len(self.order.plan(position.epoch).batches)
        further = max_epochs - position.epoch - 1
        return updates_of(this_epoch, self.accumulate) + further * updates_of(whole, self.accumulate)

    @property
    def padding(self) -> float:
        """Share of padding among the cells of an epoch."""
        return self.order.padding

    def _updates(self, position: Position) -> Iterator[UpdateData]:
        while True:
            place, batches = self.order.left(position)
            *before, (budget, seen) = place.parts
            seed = self.order.epoch_seed(place.epoch)
            for first in range(0, len(batches), self.accumulate):
                last = min(first + self.accumulate, len(batches))
                group = [batches[index] for index in range(first, last)]
                seen += sum(len(rows) for rows in group)
                is_last = last == len(batches)
                after = Position(place.epoch + 1) if is_last else Position(place.epoch, (*before, (budget, seen)))
                taken = [self.order.pairs.take(rows, seed=seed) for rows in group]
                yield UpdateData(tuple(map(self._part, taken)), sum(pairs.pieces() for pairs in taken), after)
            position = Position(place.epoch + 1)
            del batches  # makes room for those of the next epoch

    def _part(self, pairs: TrainingPairs) -> Batch:
        rows = np.arange(len(pairs))
        mine = rows[self.ranks.rank :: self.ranks.size]
        batch = pairs.batch(mine if len(mine) else rows[:1])
        if not len(mine):  # every process has to take part in every update: a pair without pieces to learn
            batch = Batch(batch.src, TargetBatch.of(batch.tgt.inputs, torch.full_like(batch.tgt.outputs, PAD)))
        return batch.pinned() if self.pin else batch


T = TypeVar("T")


def updates_of(batches: int, accumulate: int) -> int:
    """Count the updates that batches make, `accumulate` each; the last may have fewer."""
    return -(-batches // accumulate)


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
