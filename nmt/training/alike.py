"""What is learnt beside corrections: pairs of the training data to which the same happens, and others that must stay as
they are."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Final

import numpy as np

from nmt.prepared import PreparedData
from nmt.text.sequences import Rows, Sequences

Pair = tuple[list[int], list[int]]
"""The ids of a source and of its target."""

_BLOCK: Final = 100_000
"""Rows of the training data that are looked at together."""
_ENOUGH: Final = 5000
"""Pairs that hold some pieces, among which the nearest are looked for; further ones are not."""


@dataclass(frozen=True)
class Change:
    """Pieces of a translation, perhaps none, and those that a correction puts in their place."""

    old: tuple[int, ...]
    new: tuple[int, ...]

    def made(self, row: Sequence[int]) -> list[int]:
        """Return a row with every occurrence of the old pieces replaced."""
        found, at = list[int](), 0
        while at < len(row):
            if tuple(row[at : at + len(self.old)]) == self.old:
                found += self.new
                at += len(self.old)
            else:
                found.append(row[at])
                at += 1
        return found


def changes(before: Sequence[int], after: Sequence[int]) -> list[Change]:
    """Find what differs between a translation and its correction."""
    parts = SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    return [Change(tuple(before[a:b]), tuple(after[c:d])) for kind, a, b, c, d in parts if kind != "equal"]


def holds(row: Sequence[int], pieces: Sequence[int]) -> bool:
    """Tell whether some pieces stand in a row, side by side."""
    size, wanted = len(pieces), list(pieces)
    return any(list(row[at : at + size]) == wanted for at in range(len(row) - size + 1))


@dataclass(frozen=True)
class Beside:
    """The pairs of the training data, by what they hold."""

    data: PreparedData

    def alike(self, src: Sequence[int], change: Change, count: int) -> list[Pair]:
        """Find the pairs whose targets hold the old pieces and whose sources share the rarest ones with `src`."""
        if not change.old:
            return []
        rows = _holding(self.data.train_tgt, change.old)
        return self._pairs(rows[np.argsort(-self._likeness(src, rows), kind="stable")[:count]])

    def with_pieces(self, pieces: Sequence[int], count: int) -> list[Pair]:
        """Find pairs whose targets hold one of the pieces, `count` for each."""
        return [pair for piece in pieces for pair in self._pairs(evenly(_holding(self.data.train_tgt, [piece]), count))]

    def any_of(self, count: int) -> list[Pair]:
        """Take pairs from all over the data."""
        return self._pairs(evenly(np.arange(len(self.data.train_src)), count))

    def has_source_word(self, word: str) -> bool:
        """Tell whether a word stands in a source; looked for is the way in which it is cut when it stands alone."""
        tokenizer = self.data.tokenizers.src
        rows = _holding(self.data.train_src, tokenizer.encode([word])[0])
        texts = tokenizer.decode([self.data.train_src.row(row) for row in rows.tolist()])
        return any(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text) for text in texts)

    def _pairs(self, rows: Rows) -> list[Pair]:
        return [(self.data.train_src.row(row), self.data.train_tgt.row(row)) for row in rows.tolist()]

    def _likeness(self, src: Sequence[int], rows: Rows) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """Say how much of `src` each row shares: the information of its pieces, over the root of the row's length."""
        counts, pieces = self.data.source_counts, np.unique(np.array(src))
        weights = np.zeros(len(counts))
        weights[pieces] = np.log((counts.sum() + 1) / (counts[pieces] + 1))
        sources = self.data.train_src.take(rows)
        of_row = np.repeat(np.arange(len(rows)), sources.lengths)
        shared = np.bincount(of_row, weights=weights[sources.flat()], minlength=len(rows))
        return shared / np.sqrt(1 + sources.lengths)


def _holding(side: Sequences, pieces: Sequence[int]) -> Rows:
    """Find the rows in which some pieces stand side by side, the first ones of the data."""
    found, count = [np.zeros(0, dtype=np.int64)], 0
    for first in range(0, len(side), _BLOCK):
        rows = side.take(np.arange(first, min(first + _BLOCK, len(side))))
        values, of_row = rows.flat(), np.repeat(np.arange(first, first + len(rows)), rows.lengths)
        places = max(0, len(values) - len(pieces) + 1)
        fits = of_row[:places] == of_row[len(values) - places :]
        for at, piece in enumerate(pieces):
            fits &= values[at : at + places] == piece
        found.append(np.unique(of_row[:places][fits]))
        count += len(found[-1])
        if count >= _ENOUGH:
            break
    return np.concatenate(found)


def evenly(rows: Rows, count: int) -> Rows:
    """Take some of the rows, from the first to the last."""
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(np.int64))]
