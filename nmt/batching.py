"""From flat id sequences to padded batches: length buckets under a token budget, in an order fixed by (seed, epoch)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nmt.sequences import FlatSequences, Rows
from nmt.vocab import BOS, EOS, PAD


@dataclass(frozen=True)
class SourceBatch:
    """Padded sources: `</s>` behind the pieces, which are reversed where the model wants that."""

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
    weights: Tensor
    """[B, T] float32: 1 where `outputs` is real, 0 on padding."""
    words: Tensor
    """[N] int64: where `weights` is 1 in the flattened batch; known beforehand, so that nobody waits for a GPU."""

    @classmethod
    def weighted(cls, inputs: Tensor, outputs: Tensor, weights: Tensor) -> "TargetBatch":
        """Make a batch, its words those of weight 1."""
        return cls(inputs, outputs, weights, weights.flatten().nonzero().squeeze(1))


@dataclass(frozen=True)
class Batch:
    """Sentence pairs for one step."""

    src: SourceBatch
    tgt: TargetBatch

    def __len__(self) -> int:
        return len(self.src.lengths)

    def to(self, device: torch.device) -> "Batch":
        """Move every tensor to `device`; a GPU copies pinned ones without anyone waiting."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pinned(self) -> "Batch":
        """Copy every tensor into page-locked memory."""
        return self._each(Tensor.pin_memory)

    def halves(self) -> tuple["Batch", "Batch"]:
        """Cut the rows into two parts of the same width."""
        middle = len(self) // 2
        return self._rows(slice(0, middle)), self._rows(slice(middle, None))

    def _rows(self, part: slice) -> "Batch":
        src, tgt = self.src, self.tgt
        return Batch(
            SourceBatch(src.ids[part], src.lengths[part]),
            TargetBatch.weighted(tgt.inputs[part], tgt.outputs[part], tgt.weights[part]),
        )

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        src, tgt = self.src, self.tgt
        return Batch(
            SourceBatch(change(src.ids), change(src.lengths)),
            TargetBatch(change(tgt.inputs), change(tgt.outputs), change(tgt.weights), change(tgt.words)),
        )


def source_batch(src: FlatSequences, rows: Rows, *, reverse_source: bool) -> SourceBatch:
    """Pad the sources of `rows`, [B, S], with `</s>` last in either reading direction."""
    lengths = src.lengths[rows].astype(np.int64)
    ids = np.pad(src.padded(rows), ((0, 0), (0, 1)), constant_values=PAD)
    if reverse_source:
        column = np.arange(ids.shape[1])
        mirrored = np.where(column < lengths[:, None], lengths[:, None] - 1 - column, column)
        ids = np.take_along_axis(ids, mirrored, axis=1)
    ids[np.arange(len(rows)), lengths] = EOS
    return SourceBatch(torch.from_numpy(ids), torch.from_numpy(lengths + 1))


def target_batch(tgt: FlatSequences, rows: Rows) -> TargetBatch:
    """Pad the targets of `rows`, [B, T], shifted for teacher forcing."""
    lengths = tgt.lengths[rows].astype(np.int64)
    pieces = tgt.padded(rows)
    inputs = np.pad(pieces, ((0, 0), (1, 0)), constant_values=BOS)
    outputs = np.pad(pieces, ((0, 0), (0, 1)), constant_values=PAD)
    outputs[np.arange(len(rows)), lengths] = EOS
    weights = (np.arange(outputs.shape[1]) <= lengths[:, None]).astype(np.float32)
    return TargetBatch.weighted(torch.from_numpy(inputs), torch.from_numpy(outputs), torch.from_numpy(weights))


@dataclass(frozen=True)
class BatchPlan:
    """Which rows share a batch, and in which order the batches come."""

    batches: tuple[Rows, ...]
    padding: float
    """Share of all cells, source and target, `<s>` and `</s>` included, that are padding."""


def plan_epoch(
    src_lengths: NDArray[np.int32], tgt_lengths: NDArray[np.int32], *, batch_tokens: int, seed: int, epoch: int
) -> BatchPlan:
    """Cut the corpus into batches of similar lengths: a pure function of its arguments.

    Rows are sorted by target, then source length, with ties in random order, and cut so that
    rows x longest side <= `batch_tokens`; a longer row gets a batch of its own. The batches are then shuffled.
    """
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(len(src_lengths))
    order = order[np.lexsort((src_lengths[order], tgt_lengths[order]))]
    batches = cut_batches(src_lengths[order] + 1, tgt_lengths[order] + 1, batch_tokens=batch_tokens)
    plan = [order[first:last] for first, last in batches]
    padding = _padding_share(plan, src_lengths + 1, tgt_lengths + 1)
    return BatchPlan(tuple(plan[i] for i in rng.permutation(len(plan))), padding)


def cut_batches(
    src_lengths: NDArray[np.integer], tgt_lengths: NDArray[np.integer], *, batch_tokens: int
) -> list[tuple[int, int]]:
    """Cut sorted rows into runs [first, last) whose rows x longest side stay within `batch_tokens`."""
    longest = np.maximum(src_lengths, tgt_lengths).astype(np.int64)
    runs, first = [], 0
    while first < len(longest):
        window = longest[first : first + max(1, batch_tokens // int(longest[first]))]
        cells = np.maximum.accumulate(window) * np.arange(1, len(window) + 1)
        count = max(1, int(np.searchsorted(cells, batch_tokens, side="right")))
        runs.append((first, first + count))
        first += count
    return runs


def _padding_share(batches: list[Rows], src_lengths: NDArray[np.int32], tgt_lengths: NDArray[np.int32]) -> float:
    cells = sum(len(rows) * (int(src_lengths[rows].max()) + int(tgt_lengths[rows].max())) for rows in batches)
    real = int(src_lengths.sum(dtype=np.int64)) + int(tgt_lengths.sum(dtype=np.int64))
    return 1.0 - real / cells if cells else 0.0
