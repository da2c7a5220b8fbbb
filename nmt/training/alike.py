"""What is learnt beside corrections: pairs of the training data to which the same happens, and others that must stay as
they are."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nmt.prepared import PreparedData
from nmt.text.sequences import Rows, Sequences
from nmt.text.vocab import BOS, EOS, SPACE_MARK

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
    asked: tuple[int, ...]
    """What a translation between BOS and EOS is to hold: the new pieces and, where they replace none or there are none,
    those around them."""

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
    line, found = (BOS, *after, EOS), list[Change]()
    for kind, a, b, c, d in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        asked = line[c + 1 : d + 1] if kind == "replace" else line[c : d + 2]
        if kind != "equal":
            found.append(Change(tuple(before[a:b]), tuple(after[c:d]), asked))
    return found


def holds(row: Sequence[int], pieces: Sequence[int]) -> bool:
    """Tell whether some pieces stand in a row, side by side."""
    size, wanted = len(pieces), list(pieces)
    return any(list(row[at : at + size]) == wanted for at in range(len(row) - size + 1))


@dataclass(frozen=True)
class Beside:
    """The pairs of the training data, by what they hold."""

    data: PreparedData

    def alike(self, src: Sequence[int], change: Change, count: int, *, others: int) -> tuple[list[Pair], list[Pair]]:
        """Find pairs whose targets hold the old pieces: `count` whose sources have the word of `src` that they
        translate, a quarter of them the nearest to `src`, the rest from all over the data; and others, without it.

        The nearest alone say too little of other sentences, as those like a line that begins with the word begin with
        it, too.
        """
        rows = _holding(self.data.train_tgt, change.old) if change.old else np.zeros(0, dtype=np.int64)
        if not len(rows):
            return [], []
        src = [piece for piece in src if piece < len(self.data.source_counts)]  # a larger tokenizer may have cut it
        has_word = self._has_cause(src, rows)
        same, other = rows[has_word], rows[~has_word]
        nearest = np.argsort(-self._likeness(src, same), kind="stable")
        near, spread = nearest[: count // 4], np.sort(nearest[count // 4 :])
        chosen = np.concatenate([near, evenly(spread, count - len(near))])
        return self._pairs(same[chosen]), self._pairs(evenly(other, others))

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

    def _has_cause(self, src: Sequence[int], rows: Rows) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Tell which of the rows have, small or capital, the piece of `src` that they share most beyond what chance
        gives: the product of its share of these rows and of their share of all rows with it."""
        names = self._names()
        sources = self.data.train_src.take(rows)
        of_row, pieces = np.repeat(np.arange(len(rows)), sources.lengths), names[sources.flat()]
        best, has_best = 0.0, np.ones(len(rows), dtype=np.bool_)
        counts = np.bincount(names, weights=self.data.source_counts, minlength=len(names))
        for name in np.unique(names[np.array(src, dtype=np.int64)]):
            has = np.bincount(of_row[pieces == name], minlength=len(rows)) > 0
            score = has.mean() ** 2 / counts[name] if counts[name] else 0.0
            if score > best:
                best, has_best = score, has
        return has_best

    def _names(self) -> NDArray[np.int64]:
        """Give pieces that differ in capitals and spaces alone the same number, [V]."""
        texts = [piece.removeprefix(SPACE_MARK).casefold() for piece in self.data.tokenizers.src.pieces]
        numbers = dict[str, int]()
        return np.array([numbers.setdefault(text, len(numbers)) for text in texts])

    def _likeness(self, src: Sequence[int], rows: Rows) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """Say how much of `src` each row shares: the information of its pieces, over the root of the row's length."""
        counts, pieces = self.data.source_counts, np.unique(np.array(src, dtype=np.int64))
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
