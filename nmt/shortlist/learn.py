"""A lexicon from a model's attention: which source pieces it reads for which target pieces, in all training pairs."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from nmt.batching import Batch, cut_batches
from nmt.errors import ModelError, counted
from nmt.models.devices import Precision, autocast, choose_device, choose_training_precision, prepare_for_search
from nmt.models.folder import load_model, load_own_tokenizers
from nmt.models.seq2seq import Seq2Seq
from nmt.prepared import PreparedData
from nmt.shortlist.lexicon import SPECIALS, Lexicon, save_lexicon
from nmt.text.sequences import FlatSequences
from nmt.text.vocab import EOS, PAD
from nmt.training.feeding import TrainingPairs
from nmt.training.observers import Logbook, Silence

PAIRS: Final = 200_000
"""Training pairs that are read if there are more."""
SIZE: Final = 100
"""Translations kept of each source piece."""
SHORTLISTS: Final = (256, 512, 1024)
"""Sizes of shortlists whose coverage is told, where the vocabulary is larger."""

_BATCH_TOKENS = 4000
_LEAST = 0.01
"""Attention below this is no reading, and most cells are."""
_BLOCK_ROWS = 512
"""Sentences whose coverage is counted at once."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Learnt:
    """What was learnt, and how good it is."""

    pairs: int
    """Training pairs that were read."""
    translated: int
    """Source pieces that have translations."""
    coverage: dict[int, float]
    """For each size of a shortlist, the share of the pieces of the validation references that are in it."""


@dataclass(frozen=True)
class Reader:
    """A model in evaluation mode, and what it computes in."""

    model: Seq2Seq
    precision: Precision

    @torch.inference_mode()
    def read(self, batch: Batch) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        """List what pieces read of pieces, special ones left out: source ids, target ids and weights, [N] each."""
        batch = batch.to(self.model.device)
        with autocast(self.model.device, self.precision):
            weights = self.model.attend(batch)  # [B, T, S]
        src, tgt = batch.src.ids, batch.tgt.outputs
        pieces = (tgt > EOS)[:, :, None] & (src > EOS)[:, None]  # EOS is the last of the special ids
        row, t, s = ((weights >= _LEAST) & pieces).nonzero(as_tuple=True)
        return src[row, s].cpu().numpy(), tgt[row, t].cpu().numpy(), weights[row, t, s].cpu().numpy()


class MassTable:
    """Sums for pairs of ids in bounded memory: of each source id, only the heaviest target ids are kept.

    Whenever `block_cells` have been gathered, they are added to the sums, and each source id keeps its `keep` best.
    """

    def __init__(self, *, tgt_size: int, keep: int, block_cells: int = 2**22) -> None:
        self._tgt_size = tgt_size
        self._keep = keep
        self._block_cells = block_cells
        self._pairs = np.zeros(0, dtype=np.int64)  # src * tgt_size + tgt, ascending
        self._sums = np.zeros(0)
        self._waiting: list[tuple[NDArray[np.int64], NDArray[np.float32]]] = []

    def add(self, src: NDArray[np.int64], tgt: NDArray[np.int64], mass: NDArray[np.float32]) -> None:
        """Add `mass` [N] to the sums of the pairs `src` [N] and `tgt` [N]."""
        self._waiting.append((src * self._tgt_size + tgt, mass))
        if sum(len(pairs) for pairs, _ in self._waiting) >= self._block_cells:
            self._merge(self._keep)

    def heaviest(self, src_size: int, count: int) -> NDArray[np.int32]:
        """Return the `count` best target ids of each source id, -1 after the last one, [`src_size`, `count`]."""
        rank = self._merge(count)
        table = np.full((src_size, count), -1, dtype=np.int32)
        table[self._pairs // self._tgt_size, rank] = self._pairs % self._tgt_size
        return table

    def _merge(self, keep: int) -> NDArray[np.int64]:
        """Add up what waits, keep the best of each source id; return their ranks, from 0, ties by target id."""
        pairs = np.concatenate([self._pairs, *(pairs for pairs, _ in self._waiting)])
        mass = np.concatenate([self._sums, *(mass for _, mass in self._waiting)])
        self._waiting.clear()
        pairs, where = np.unique(pairs, return_inverse=True)
        sums = np.zeros(len(pairs))
        np.add.at(sums, where, mass)
        src = pairs // self._tgt_size
        rank = np.empty(len(pairs), dtype=np.int64)
        rank[np.lexsort((-sums, src))] = np.arange(len(pairs)) - np.searchsorted(src, src)
        kept = rank < keep
        self._pairs, self._sums = pairs[kept], sums[kept]
        return rank[kept]


def learn_lexicon(
    reader: Reader, pairs: TrainingPairs, *, src_size: int, counts: NDArray[np.int64], size: int, on_progress: Progress
) -> Lexicon:
    """Add up how much each target piece reads of each source piece, and keep the heaviest `size` of each source piece.

    There are `src_size` source pieces, special ones included; `counts` says how often each target piece occurs, [Vt].
    """
    src, tgt = pairs.lengths(seed=0)
    order = np.lexsort((src, tgt))
    table = MassTable(tgt_size=len(counts), keep=4 * size)
    bounds = cut_batches(np.maximum(src, tgt)[order] + np.uint16(1), batch_tokens=_BATCH_TOKENS)
    for first, last in pairwise(bounds.tolist()):
        table.add(*reader.read(pairs.batch(order[first:last])))
        on_progress(last, len(pairs))
    frequent = len(SPECIALS) + np.argsort(-counts[len(SPECIALS) :], kind="stable")
    return Lexicon(torch.from_numpy(table.heaviest(src_size, size)), torch.from_numpy(frequent.astype(np.int32)))


def coverage(lexicon: Lexicon, src: FlatSequences, tgt: FlatSequences, *, size: int) -> float:
    """Return the share of the target pieces that are in their sentence's shortlist; `</s>` does not count."""
    found = 0
    for first in range(0, len(src), _BLOCK_ROWS):
        rows = np.arange(first, min(first + _BLOCK_ROWS, len(src)))
        chosen = lexicon.shortlist(torch.from_numpy(src.padded(rows)), size=size)
        listed = torch.zeros(len(rows), lexicon.tgt_size, dtype=torch.bool).scatter_(1, chosen, True)
        gold = torch.from_numpy(tgt.padded(rows))
        found += int((listed.gather(1, gold) & (gold != PAD)).sum())
    return found / int(tgt.lengths.sum(dtype=np.int64))


def add_lexicon(
    model_dir: Path, data: PreparedData, *, size: int = SIZE, max_pairs: int = PAIRS, on_progress: Progress
) -> Learnt:
    """Learn a lexicon from a model's attention on its training data, and put it into the model's folder.

    Args:
        model_dir: The model; nobody may be training it meanwhile.
        data: Prepared with the model's tokenizers.
        size: Translations kept of each source piece, at least 1.
        max_pairs: Training pairs that are read; of more than that, a sample drawn by the model's training seed.
        on_progress: Told how many of how many pairs have been read.

    Raises:
        ModelError: The model has no attention or other tokenizers than the data, or is in training.
    """
    model, settings = load_model(model_dir, device=choose_device("auto"))
    if settings.model.attention == "none":
        raise ModelError(
            f'{model_dir} has model.attention = "none": without attention there is no telling which pieces translate '
            "which"
        )
    if load_own_tokenizers(model_dir).files != data.tokenizers.files:
        raise ModelError(f"{data.folder} was prepared with other tokenizers than those of {model_dir}")
    prepare_for_search(model.device)
    reader = Reader(model, choose_training_precision(settings.training.precision, model.device))
    rows = np.arange(len(data.train_src))
    if len(rows) > max_pairs:
        rng = np.random.default_rng(settings.training.seed)
        rows = np.sort(rng.choice(len(rows), size=max_pairs, replace=False))
    sides, directions = (data.train_src.take(rows), data.train_tgt.take(rows)), settings.model
    pairs = TrainingPairs(*sides, directions.reverse_source, right_to_left=directions.right_to_left)
    src_size, counts = len(data.tokenizers.src), data.target_counts
    with Logbook(model_dir, Silence()) as logbook:  # while somebody trains, the card is theirs to write
        lexicon = learn_lexicon(reader, pairs, src_size=src_size, counts=counts, size=size, on_progress=on_progress)
        save_lexicon(lexicon, model_dir)
        logbook.on_message(f"lexicon learnt from {counted(len(pairs), 'pair')}")
    translated = int((lexicon.translations[:, 0] >= 0).sum())
    src, tgt = data.valid.src, data.valid.tgt
    sizes = [size for size in SHORTLISTS if size < lexicon.tgt_size]
    return Learnt(len(pairs), translated, {size: coverage(lexicon, src, tgt, size=size) for size in sizes})
