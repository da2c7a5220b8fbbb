"""Which pairs, or lines, are trained on: cleaning, the sample for the tokenizer, those held out for validation."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO

import numpy as np
from numpy.typing import NDArray

from nmt.corpus.cleaning import REASONS, Reason
from nmt.corpus.reading import Line, Pair
from nmt.prepared.spool import R, Spool

Chosen = NDArray[np.bool_]


@dataclass(frozen=True)
class Progress:
    """How far a stage has come."""

    stage: str
    done: int
    total: int | None = None
    """Pairs or lines in all, where that is known."""


OnProgress = Callable[[Progress], None]


class Rejections:
    """Counts rejected pairs or lines, and writes where each one stood as a line of JSON."""

    def __init__(self, file: IO[str], reasons: Sequence[Reason] = REASONS) -> None:
        self._file = file
        self._reasons = reasons
        self.counts: Counter[Reason] = Counter()

    def add(self, rejected: Pair | Line, reason: Reason) -> None:
        """Note one of them."""
        self.counts[reason] += 1
        record = {"file": rejected.file, "line": rejected.line, "reason": reason}
        self._file.write(json.dumps(record, ensure_ascii=False) + "\n")

    @property
    def total(self) -> int:
        """How many have been rejected so far."""
        return self.counts.total()

    def by_reason(self) -> dict[str, int]:
        """Return the count of every reason, in the order in which they are tried."""
        return {reason: self.counts[reason] for reason in self._reasons}

    def __str__(self) -> str:
        return ", ".join(f"{count} {reason}" for reason, count in self.by_reason().items() if count) or "none was read"


def sift(
    records: Iterable[R], reason_against: Callable[[R], Reason | None], rejections: Rejections, on_progress: OnProgress
) -> Iterator[R]:
    """Let through what there is no reason against."""
    for number, record in enumerate(records, start=1):
        reason = reason_against(record)
        if reason is None:
            yield record
        else:
            rejections.add(record, reason)
        if number % 1000 == 0:
            on_progress(Progress("reading", number))


def choose(rng: np.random.Generator, candidates: Chosen, size: int) -> Chosen:
    """Choose at random at most `size` of those that are True in `candidates`."""
    rows = np.flatnonzero(candidates)
    if len(rows) <= size:
        return candidates
    chosen = np.zeros_like(candidates)
    chosen[rng.choice(rows, size=size, replace=False, shuffle=False)] = True
    return chosen


def chosen_blocks(spool: Spool[R], chosen: Chosen) -> Iterator[list[R]]:
    """Read the chosen records of a spool, block by block."""
    start = 0
    for block in spool.blocks():
        flags = chosen[start : start + len(block)]
        start += len(block)
        yield [record for record, flag in zip(block, flags, strict=True) if flag]
