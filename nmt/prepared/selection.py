"""How far a stage has come, and which records are chosen at random."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Positions = NDArray[np.int64]
"""Places in a row of records, in order."""

_CHUNK: Final = 1 << 20


@dataclass(frozen=True)
class Progress:
    """How far a stage has come."""

    stage: str
    done: int
    total: int | None = None
    """Pairs or lines in all, where that is known."""


OnProgress = Callable[[Progress], None]


def draw(rng: np.random.Generator, total: int, size: int) -> Positions:
    """Choose `size` of the numbers below `total`, or all of them; every set of that size is as likely as any other.

    A chunk of numbers is looked at after the other: how many of the choice fall into it has a hypergeometric
    distribution, and which ones a uniform one. So the memory holds the choice and a chunk, whatever `total` is, which
    may be up to 10**9.
    """
    if size >= total:
        return np.arange(total)
    chosen = [np.zeros(0, dtype=np.int64)]
    for start in range(0, total, _CHUNK):
        here = min(_CHUNK, total - start)
        rest = total - start - here
        count = int(rng.hypergeometric(here, rest, size)) if rest else size
        chosen.append(start + np.sort(rng.choice(here, size=count, replace=False, shuffle=False)))
        size -= count
    return np.concatenate(chosen)


def within(positions: Positions, start: int, size: int) -> Positions:
    """Return the positions in the `size` places from `start`, counted from there."""
    first, last = np.searchsorted(positions, (start, start + size))
    return positions[first:last] - start
