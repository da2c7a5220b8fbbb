"""Which pairs are trained on: cleaning, the sample for the tokenizer, the pairs held out for validation."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import IO

import numpy as np
from numpy.typing import NDArray

from nmt.config import DataSettings
from nmt.corpus.cleaning import REASONS, Cleaner, Reason
from nmt.corpus.reading import Pair
from nmt.prepared.spool import Spool

Chosen = NDArray[np.bool_]


@dataclass(frozen=True)
class Progress:
    """How far a stage has come."""

    stage: str
    done: int
    total: int | None = None
    """Pairs in all, where that is known."""


OnProgress = Callable[[Progress], None]


class Rejections:
    """Counts rejected pairs, and writes where each one stood as a line of JSON."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self.counts: Counter[Reason] = Counter()

    def add(self, pair: Pair, reason: Reason) -> None:
        """Note one pair."""
        self.counts[reason] += 1
        record = {"file": pair.file, "line": pair.line, "reason": reason}
        self._file.write(json.dumps(record, ensure_ascii=False) + "\n")

    @property
    def total(self) -> int:
        """Pairs rejected so far."""
        return self.counts.total()

    def by_reason(self) -> dict[str, int]:
        """Return the count of every reason, in the order in which they are tried."""
        return {reason: self.counts[reason] for reason in REASONS}

    def __str__(self) -> str:
        return ", ".join(f"{count} {reason}" for reason, count in self.by_reason().items() if count) or "none was read"


def clean(pairs: Iterable[Pair], data: DataSettings, rejections: Rejections, on_progress: OnProgress) -> Iterator[Pair]:
    """Let through the pairs that are fit for training."""
    cleaner = Cleaner(
        max_characters=data.max_characters,
        max_length_ratio=data.max_length_ratio,
        drop_copies=data.drop_copies,
        drop_duplicates=data.drop_duplicates,
    )
    for number, pair in enumerate(pairs, start=1):
        reason = cleaner.reason(pair.src, pair.tgt)
        if reason is None:
            yield pair
        else:
            rejections.add(pair, reason)
        if number % 1000 == 0:
            on_progress(Progress("reading", number))


def choose(rng: np.random.Generator, candidates: Chosen, size: int) -> Chosen:
    """Choose at most `size` of the pairs that are True in `candidates`."""
    rows = np.flatnonzero(candidates)
    if len(rows) <= size:
        return candidates
    chosen = np.zeros_like(candidates)
    chosen[rng.choice(rows, size=size, replace=False, shuffle=False)] = True
    return chosen


def chosen_blocks(spool: Spool, chosen: Chosen) -> Iterator[list[Pair]]:
    """Read the chosen pairs of a spool, block by block."""
    start = 0
    for block in spool.blocks():
        flags = chosen[start : start + len(block)]
        start += len(block)
        yield [pair for pair, flag in zip(block, flags, strict=True) if flag]
