"""What a vocabulary is worth on the text that it was made for."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nmt.errors import DataError
from nmt.files import read_regular
from nmt.vocab import BOS, EOS, PAD, UNK

_SPECIALS = (PAD, UNK, BOS, EOS)


@dataclass(frozen=True)
class Vocabulary:
    """Pieces, and how often each one occurs in the training text."""

    name: str
    """Whose it is: "source", "target", "joint" or "text"."""
    pieces: tuple[str, ...]
    counts: NDArray[np.int64]
    """By the ids of the pieces, [V]."""

    def __len__(self) -> int:
        return len(self.pieces)

    def with_counts_of(self, other: "Vocabulary", name: str) -> "Vocabulary":
        """Add the counts of another text that is cut into the same pieces."""
        return Vocabulary(name, self.pieces, self.counts + other.counts)

    @property
    def running(self) -> int:
        """How many pieces the text has, unknown ones included."""
        return int(self.counts.sum() - self.counts[EOS])

    @property
    def unknown_share(self) -> float:
        """Which share of them is `<unk>`."""
        return int(self.counts[UNK]) / max(self.running, 1)

    @cached_property
    def by_frequency(self) -> NDArray[np.int64]:
        """The ids of the pieces without the special ones, the most frequent first; ties go to the lower id."""
        ids = np.setdiff1d(np.arange(len(self)), _SPECIALS)
        order: NDArray[np.int64] = ids[np.argsort(-self.counts[ids], kind="stable")]
        return order

    @property
    def occurs(self) -> bool:
        """Whether the text has any piece but the special ones."""
        return bool(self.counts[self.by_frequency].any())

    @cached_property
    def coverage(self) -> NDArray[np.float64]:
        """Which share of the running pieces the k + 1 most frequent ones cover, by k, [V - 4]."""
        shares: NDArray[np.float64] = np.cumsum(self.counts[self.by_frequency]) / max(self.running, 1)
        return shares

    def needed(self, share: float) -> int | None:
        """Return how many of the most frequent pieces cover this share; None: all of them do not."""
        place = int(np.searchsorted(self.coverage, share - 1e-12))
        return place + 1 if place < len(self.coverage) else None

    @property
    def unused(self) -> list[str]:
        """The pieces that never occur, in the order of their ids."""
        return self._between(0, 0)

    def rare(self, most: int) -> list[str]:
        """List the pieces that occur, but at most so often, in the order of their ids."""
        return self._between(1, most)

    def _between(self, least: int, most: int) -> list[str]:
        found = np.flatnonzero((self.counts >= least) & (self.counts <= most))
        return [self.pieces[index] for index in found.tolist() if index not in _SPECIALS]


def read_vocabulary(path: Path, name: str) -> Vocabulary:
    """Read a vocabulary file of prepared data.

    Raises:
        DataError: It cannot be read, or is damaged.
    """
    try:
        lines = read_regular(path).decode("utf-8").removesuffix("\n").split("\n")
        rows = [line.rpartition("\t") for line in lines]
        return Vocabulary(name, tuple(piece for piece, _, _ in rows), np.array([int(count) for *_, count in rows]))
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"{path} is damaged: expected a piece, a tab and a count in every line") from error
