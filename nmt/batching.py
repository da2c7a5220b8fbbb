"""From flat id sequences to padded batches: length buckets under a token budget, in an order fixed by (seed, epoch)."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, ClassVar, Final, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nmt.errors import counted
from nmt.text.sequences import FlatSequences, Rows
from nmt.text.vocab import BOS, EOS, PAD

Lengths = NDArray[np.uint16]
RowNumbers = NDArray[np.uint32]

LONGEST_ROW: Final = 2**16 - 2
"""Pieces of the longest row that can be planned: with `</s>`, its length is a number of 16 bits."""
_BLOCK: Final = 1 << 16
"""Rows that are worked on at a time: what an array is indexed by takes 8 bytes each."""
_ROOM: Final = 1 << 20
"""Rows of which copies of 8 bytes each are no burden."""


class TrainingBatch(ABC):
    """What one forward pass of training reads: rows side by side."""

    size_setting: ClassVar[str]
    """The setting that says how large it is."""
    shorter_advice: ClassVar[str]
    """What makes its rows shorter."""

    @abstractmethod
    def __len__(self) -> int:
        """Count the rows."""

    @property
    @abstractmethod
    def cells(self) -> int:
        """How many ids it holds, padding counted."""

    @abstractmethod
    def describe(self) -> str:
        """Say how large it is."""

    @abstractmethod
    def _rows(self, first: int, last: int) -> Self:
        """Return some of the rows, as wide as before."""

    def halves(self) -> tuple[Self, Self]:
        """Cut the rows into two parts of the same width."""
        return self.part(0, 2), self.part(1, 2)

    def part(self, number: int, parts: int) -> Self:
        """Cut the rows into `parts` of the same width, and return part `number`, counted from 0; it may be empty."""
        first, last = (len(self) * each // parts for each in (number, number + 1))
        return self._rows(first, last)

    def to(self, device: torch.device) -> Self:
        """Move every tensor to `device`; a GPU copies pinned ones without anyone waiting."""
        moved: Self = _changed(self, lambda tensor: tensor.to(device, non_blocking=True))
        return moved

    def pinned(self) -> Self:
        """Copy every tensor into page-locked memory."""
        copied: Self = _changed(self, Tensor.pin_memory)
        return copied


def _changed(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Change every tensor in a tree of dataclasses."""
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{field.name: _changed(getattr(value, field.name), change) for field in fields(value)})
    return change(value) if isinstance(value, Tensor) else value


@dataclass(frozen=True)
class SourceBatch:
    """Padded sources: `</s>` after the pieces, which are reversed where the model wants that."""

    ids: Tensor
    """[B, S] int64, PAD on the right."""
    lengths: Tensor
    """[B] int64, `</s>` counted."""


@dataclass(frozen=True)
class TargetBatch:
    """Padded targets for teacher forcing."""

    inputs: Tensor
    """[B, T] int64: `<s>` and the pieces, PAD on the right."""
    outputs: Tensor
    """[B, T] int64: the pieces and `</s>`, PAD on the right."""
    pieces: Tensor
    """[N] int64: where the flattened `outputs` are real; known beforehand, so that nobody waits for a GPU."""

    @classmethod
    def of(cls, inputs: Tensor, outputs: Tensor) -> Self:
        """Make a batch, its pieces those that are not PAD."""
        return cls(inputs, outputs, _real(outputs))


@dataclass(frozen=True)
class Batch(TrainingBatch):
    """Sentence pairs for one step."""

    size_setting = "training.batch_tokens"
    shorter_advice = "prepare the data with a lower data.max_pieces"

    src: SourceBatch
    tgt: TargetBatch

    def __len__(self) -> int:
        return len(self.src.lengths)

    @property
    def cells(self) -> int:
        """How many ids both sides hold, padding counted."""
        return self.src.ids.numel() + self.tgt.outputs.numel()

    def describe(self) -> str:
        """Say how many pairs there are, and how wide."""
        pairs = "one pair" if len(self) == 1 else f"{len(self)} pairs"
        src, tgt = self.src.ids.shape[1], self.tgt.outputs.shape[1]
        return f"{pairs} of up to {src} source and {tgt} target pieces"

    def repeated(self, times: int) -> Self:
        """Return a batch with all rows so often, one time after the other."""
        if times == 1:
            return self
        src, tgt = self.src, self.tgt
        sources = SourceBatch(src.ids.repeat(times, 1), src.lengths.repeat(times))
        starts = torch.arange(times, device=tgt.pieces.device) * tgt.outputs.numel()
        pieces = (starts[:, None] + tgt.pieces).flatten()
        return replace(
            self, src=sources, tgt=TargetBatch(tgt.inputs.repeat(times, 1), tgt.outputs.repeat(times, 1), pieces)
        )

    def _rows(self, first: int, last: int) -> Self:
        src, tgt, part = self.src, self.tgt, slice(first, last)
        sources = SourceBatch(src.ids[part], src.lengths[part])
        return replace(self, src=sources, tgt=TargetBatch.of(tgt.inputs[part], tgt.outputs[part]))


@dataclass(frozen=True)
class Segment(TrainingBatch):
    """The next pieces of several texts, which are read side by side."""

    size_setting = "training.segment_steps"
    shorter_advice = "lower training.segment_steps"

    inputs: Tensor
    """[B, T] int64: the piece before each of `outputs`."""
    outputs: Tensor
    """[B, T] int64: the pieces to predict; PAD where a text has ended."""
    pieces: Tensor
    """[N] int64: where the flattened `outputs` are real; known beforehand, so that nobody waits for a GPU."""
    first_row: int
    """Which of this process's texts the first row belongs to; the others follow."""
    is_fresh: bool
    """Whether the model forgets what it has read before."""

    @classmethod
    def of(cls, inputs: Tensor, outputs: Tensor, *, first_row: int, is_fresh: bool) -> Self:
        """Make a segment, its pieces those that are not PAD."""
        return cls(inputs, outputs, _real(outputs), first_row, is_fresh)

    def __len__(self) -> int:
        return len(self.outputs)

    @property
    def cells(self) -> int:
        """How many pieces are predicted, padding counted."""
        return self.outputs.numel()

    def describe(self) -> str:
        """Say how many texts there are, and how much of each."""
        rows = "one text" if len(self) == 1 else f"{len(self)} texts"
        return f"{counted(self.outputs.shape[1], 'piece')} of {rows}"

    def _rows(self, first: int, last: int) -> Self:
        inputs, outputs = self.inputs[first:last], self.outputs[first:last]
        return self.of(inputs, outputs, first_row=self.first_row + first, is_fresh=self.is_fresh)


def _real(outputs: Tensor) -> Tensor:
    """Return where flattened ids [B, T] are no padding, [N]."""
    return (outputs != PAD).flatten().nonzero().squeeze(1)


def source_batch(src: FlatSequences, rows: Rows, *, reverse_source: bool) -> SourceBatch:
    """Pad the sources of `rows`, [B, S], with `</s>` last in either reading direction."""
    lengths = src.lengths[rows].astype(np.int64)
    ids = np.pad(src.padded(rows), ((0, 0), (0, 1)), constant_values=PAD)
    if reverse_source:
        ids = _mirrored(ids, lengths)
    ids[np.arange(len(rows)), lengths] = EOS
    return SourceBatch(torch.from_numpy(ids), torch.from_numpy(lengths + 1))


def target_batch(tgt: FlatSequences, rows: Rows, *, right_to_left: bool = False) -> TargetBatch:
    """Pad the targets of `rows`, [B, T], shifted for teacher forcing; `</s>` is last in either writing direction."""
    lengths = tgt.lengths[rows].astype(np.int64)
    pieces = tgt.padded(rows)
    if right_to_left:
        pieces = _mirrored(pieces, lengths)
    inputs = np.pad(pieces, ((0, 0), (1, 0)), constant_values=BOS)
    outputs = np.pad(pieces, ((0, 0), (0, 1)), constant_values=PAD)
    outputs[np.arange(len(rows)), lengths] = EOS
    return TargetBatch.of(torch.from_numpy(inputs), torch.from_numpy(outputs))


def _mirrored(ids: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Turn rows [N, W] around within their lengths [N]; what comes after stays."""
    column = np.arange(ids.shape[1])
    mirrored = np.where(column < lengths[:, None], lengths[:, None] - 1 - column, column)
    return np.take_along_axis(ids, mirrored, axis=1)


@dataclass(frozen=True)
class Batches:
    """Rows side by side, and which of them share a batch; the batches in the order in which they come."""

    rows: RowNumbers
    firsts: NDArray[np.int64]
    """Where in `rows` each batch begins, [batches]."""
    lasts: NDArray[np.int64]
    """Where it ends, [batches]."""

    def __len__(self) -> int:
        return len(self.firsts)

    def __getitem__(self, index: int) -> Rows:
        return self.rows[self.firsts[index] : self.lasts[index]].astype(np.int64)

    def __iter__(self) -> Iterator[Rows]:
        return (self[index] for index in range(len(self)))

    def after(self, seen: int) -> "Batches":
        """Return those after the first ones, which hold `seen` rows."""
        ends = np.cumsum(self.lasts - self.firsts)
        left = slice(int(np.searchsorted(ends, seen, side="right")), None)
        return Batches(self.rows, self.firsts[left], self.lasts[left])

    def sorted_rows(self) -> RowNumbers:
        """Return the rows of all of them, in the order of the corpus."""
        parts = [self.rows[first:last] for first, last in zip(self.firsts, self.lasts, strict=True)]
        return np.sort(np.concatenate([self.rows[:0], *parts]))


@dataclass(frozen=True)
class BatchPlan:
    """Which rows share a batch, and in which order the batches come."""

    batches: Batches
    padding: float
    """Share of all cells, source and target, `<s>` and `</s>` included, that are padding."""


def plan_epoch(
    src_lengths: Lengths,
    tgt_lengths: Lengths,
    *,
    batch_tokens: int,
    seed: int,
    epoch: int,
    rows: RowNumbers | None = None,
) -> BatchPlan:
    """Cut the corpus into batches of similar lengths: a pure function of its arguments.

    Rows are sorted by target, then source length, those of equal lengths are shuffled, and all are cut so that
    rows x longest side <= `batch_tokens`; a longer row gets a batch of its own. The batches are then shuffled.
    At its peak, this needs 6 to 8 bytes a row beside what it is given.

    Args:
        src_lengths: Of all rows of the corpus, [N], without `</s>`; `tgt_lengths` are those of the targets.
        batch_tokens: Cells of the longer side of a batch.
        rows: Those to be planned, some perhaps several times; None: each row once.
    """
    rng = np.random.default_rng([seed, epoch])
    of_rows, cells = _cells_of(src_lengths, tgt_lengths, rows)
    order = _sort(of_rows, cells.counts, rows)
    del of_rows
    ends = np.cumsum(cells.counts)
    for cell in np.flatnonzero(cells.counts > 1):
        alike = order[ends[cell] - cells.counts[cell] : ends[cell]]
        if len(alike) > _ROOM:
            rng.shuffle(alike)
        else:  # numbers of 8 bytes take half the time
            alike[:] = rng.permutation(alike.astype(np.int64))
    longest = np.maximum(cells.src, cells.tgt) + np.uint16(1)
    bounds = cut_batches(np.repeat(longest, cells.counts), batch_tokens=batch_tokens)
    firsts, lasts = bounds[:-1], bounds[1:]
    padding = _padding_share(cells, firsts, lasts)
    batch_order = rng.permutation(len(firsts))
    return BatchPlan(Batches(order, firsts[batch_order], lasts[batch_order]), padding)


@dataclass(frozen=True)
class _Cells:
    """Rows by their lengths: a cell for every pair of lengths, ordered by the target's, then the source's."""

    counts: NDArray[np.int64]
    """Rows in each cell."""
    src: Lengths
    """Of each cell."""
    tgt: Lengths


def _cells_of(
    src_lengths: Lengths, tgt_lengths: Lengths, rows: RowNumbers | None
) -> tuple[NDArray[np.unsignedinteger], _Cells]:
    """Return the cell of each row, [N], and the cells."""
    src, tgt = _occurring(src_lengths), _occurring(tgt_lengths)
    src_ranks, tgt_ranks = np.zeros(1 << 16, dtype=np.int64), np.zeros(1 << 16, dtype=np.int64)
    src_ranks[src], tgt_ranks[tgt] = np.arange(len(src)), np.arange(len(tgt)) * len(src)
    size = len(src) * len(tgt)
    count = len(src_lengths) if rows is None else len(rows)
    of_rows, counts = np.empty(count, dtype=np.min_scalar_type(size)), np.zeros(size, dtype=np.int64)
    for block in _blocks(count):
        part = block if rows is None else rows[block]
        cells = tgt_ranks[tgt_lengths[part]] + src_ranks[src_lengths[part]]
        of_rows[block] = cells
        counts += np.bincount(cells, minlength=size)
    return of_rows, _Cells(counts, np.tile(src, len(tgt)), np.repeat(tgt, len(src)))


def _occurring(lengths: Lengths) -> Lengths:
    occurs = np.zeros(1 << 16, dtype=np.bool_)
    for block in _blocks(len(lengths)):
        occurs[lengths[block]] = True
    return np.flatnonzero(occurs).astype(np.uint16)


def _sort(of_rows: NDArray[np.unsignedinteger], counts: NDArray[np.int64], rows: RowNumbers | None) -> RowNumbers:
    """Sort rows by their cells; those of a cell stay in their order: a counting sort, block by block."""
    found = np.empty(len(of_rows), dtype=np.uint32)
    free = np.cumsum(counts) - counts  # where the next row of each cell goes
    for block in _blocks(len(found)):
        of_block = of_rows[block]
        order = np.argsort(of_block, kind="stable")
        of_block = of_block[order]
        firsts = np.flatnonzero(np.append(True, of_block[1:] != of_block[:-1]))
        here, found_here = of_block[firsts], np.diff(firsts, append=len(order))
        places = np.repeat(free[here] - firsts, found_here) + np.arange(len(order))
        found[places] = order + block.start if rows is None else rows[block][order]
        free[here] += found_here
    return found


def _blocks(count: int) -> Iterator[slice]:
    return (slice(first, min(first + _BLOCK, count)) for first in range(0, count, _BLOCK))


def cut_batches(longest: NDArray[np.integer], *, batch_tokens: int) -> NDArray[np.int64]:
    """Cut rows, in their order, into batches whose rows x longest side stay within `batch_tokens`.

    Args:
        longest: The longer side of each row, [N], at least 1.
        batch_tokens: Cells of a batch; a longer row gets a batch of its own.

    Returns:
        Where each batch begins, and where the last one ends, [batches + 1].
    """
    ends = np.append(np.flatnonzero(longest[1:] != longest[:-1]) + 1, len(longest))  # of runs of equal rows
    bounds, first = [np.zeros(1, dtype=np.int64)], 0
    while first < len(longest):
        most = max(1, batch_tokens // int(longest[first]))
        whole = (int(ends[np.searchsorted(ends, first, side="right")]) - first) // most
        if whole:  # batches of equal rows
            found = first + most * np.arange(1, whole + 1)
        else:
            cells = np.maximum.accumulate(longest[first : first + most].astype(np.int64))
            cells *= np.arange(1, len(cells) + 1)
            found = np.array([first + max(1, int(np.searchsorted(cells, batch_tokens, side="right")))])
        bounds.append(found)
        first = int(found[-1])
    return np.concatenate(bounds)


def _padding_share(cells: _Cells, firsts: NDArray[np.int64], lasts: NDArray[np.int64]) -> float:
    if not len(firsts):
        return 0.0
    total, real = 0, 0
    ends = np.cumsum(cells.counts)
    # The cells of the first and after the last row of each batch, in turns: a maximum between them, and one to drop.
    bounds = np.stack([np.searchsorted(ends, firsts, side="right"), np.searchsorted(ends, lasts) + 1], axis=1).ravel()
    for side in (cells.src, cells.tgt):
        occurring = np.append(np.where(cells.counts > 0, side, 0), 0)
        longest = np.maximum.reduceat(occurring, bounds)[::2].astype(np.int64) + 1
        total += int((longest * (lasts - firsts)).sum())
        real += int(((side.astype(np.int64) + 1) * cells.counts).sum())
    return 1.0 - real / total
