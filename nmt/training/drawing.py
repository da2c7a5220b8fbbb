"""Which pairs a pass consists of, where the corpora of the training text have weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from nmt.batching import RowNumbers
from nmt.errors import DataError

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
