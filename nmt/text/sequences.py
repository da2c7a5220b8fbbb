"""Sequences of ids laid end to end, as prepared data hold them."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from nmt.text.vocab import PAD

Flags = NDArray[np.bool_]
Rows = NDArray[np.int64]


class Sequences(Protocol):
    """Id sequences, wherever they are kept."""

    def __len__(self) -> int: ...

    @property
    def lengths(self) -> NDArray[np.int32]:
        """How long each of them is, [N]; this may read all of a file, so ask for a few rows with `take`."""

    def take(self, rows: NDArray[np.integer]) -> "FlatSequences":
        """Return views of `rows`, in this order."""

    def row(self, index: int) -> list[int]:
        """Return one row as a list of ids."""


@dataclass(frozen=True)
class FlatSequences:
    """Id sequences laid end to end: row i is `values[starts[i] : starts[i] + lengths[i]]`."""

    values: NDArray[np.int32]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.starts)

    @classmethod
    def from_lists(cls, rows: Sequence[Sequence[int]]) -> "FlatSequences":
        """Lay lists of ids end to end."""
        lengths = np.fromiter(map(len, rows), dtype=np.int32, count=len(rows))
        values = np.fromiter(chain.from_iterable(rows), dtype=np.int32, count=int(lengths.sum()))
        return cls.end_to_end(values, lengths)

    @classmethod
    def end_to_end(cls, values: NDArray[np.int32], lengths: NDArray[np.int32]) -> "FlatSequences":
        """Cut `values` into rows of these lengths, which are all that there is."""
        return cls(values, np.cumsum(lengths, dtype=np.int64) - lengths, lengths)

    def padded(self, rows: Rows) -> NDArray[np.int64]:
        """Gather `rows` side by side, [B, L], with PAD after the shorter ones."""
        lengths = self.lengths[rows]
        column = np.arange(lengths.max(initial=0))
        real = column < lengths[:, None]
        index = np.where(real, self.starts[rows][:, None] + column, 0)
        ids = np.where(real, self.values[index], PAD) if len(self.values) else np.full(real.shape, PAD)
        return ids.astype(np.int64)

    def flat(self) -> NDArray[np.int32]:
        """Gather the ids of all rows, end to end."""
        lengths = self.lengths.ravel().astype(np.int64)
        firsts = np.cumsum(lengths) - lengths
        found: NDArray[np.int32] = self.values[
            np.repeat(self.starts.ravel() - firsts, lengths) + np.arange(int(lengths.sum()))
        ]
        return found

    def take(self, rows: NDArray[np.integer]) -> "FlatSequences":
        """Return views of `rows`, in this order."""
        return FlatSequences(self.values, self.starts[rows], self.lengths[rows])

    def with_rows(self, places: Rows, others: "FlatSequences") -> "FlatSequences":
        """Return the rows with `others` at some places, all of them laid end to end."""
        kept = FlatSequences.end_to_end(self.flat(), self.lengths.copy())
        new = FlatSequences.end_to_end(others.flat(), others.lengths)
        kept.starts[places], kept.lengths[places] = len(kept.values) + new.starts, new.lengths
        return FlatSequences(np.concatenate([kept.values, new.values]), kept.starts, kept.lengths)

    def row(self, index: int) -> list[int]:
        """Return one row as a list of ids."""
        start = self.starts[index]
        ids: list[int] = self.values[start : start + self.lengths[index]].tolist()
        return ids
