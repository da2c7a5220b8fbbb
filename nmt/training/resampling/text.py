"""Rows of ids spelled out: the characters that a vocabulary knows, and the text of a batch made of them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nmt.errors import ModelError
from nmt.sequences import FlatSequences, Rows, Sequences
from nmt.surfaces import SPACE_MARK
from nmt.vocab import BOS_PIECE, EOS_PIECE, PAD_PIECE, UNK_PIECE

DrawKeys = NDArray[np.uint64]
"""Keys of random numbers: each number is a function of its key, whatever else is drawn, wherever and when."""

# The constants of SplitMix64.
_STEP: Final = np.uint64(0x9E3779B97F4A7C15)
_FIRST: Final = np.uint64(0xBF58476D1CE4E5B9)
_SECOND: Final = np.uint64(0x94D049BB133111EB)


def mix(keys: DrawKeys) -> DrawKeys:
    """Scatter 64-bit keys, so that neighbours have nothing in common (SplitMix64; Steele, Lea and Flood, 2014)."""
    mixed = keys + _STEP
    mixed = (mixed ^ (mixed >> np.uint64(30))) * _FIRST
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _SECOND
    return mixed ^ (mixed >> np.uint64(31))


def row_keys(rows: Rows, *, seed: int, stream: int) -> DrawKeys:
    """Give every row number a key of its own, which is another for every seed and stream."""
    root = mix(mix(np.array([seed % 2**64], dtype=np.uint64)) + np.uint64(stream))
    return mix(root + rows.astype(np.uint64))


def uniform(keys: DrawKeys) -> NDArray[np.float64]:
    """Turn mixed keys into numbers from [0, 1)."""
    return np.asarray((keys >> np.uint64(11)) * 2.0**-53)


Integers = NDArray[np.int64]

_SCATTER: Final = np.uint64(0x9E3779B97F4A7C15)  # 2**64 over the golden ratio
_FREE: Final = -1


class IntegerMap:
    """A hash table in arrays: a search takes some 10 ns a key, where bisection takes 80."""

    def __init__(self, keys: Integers, values: Integers) -> None:
        """Map distinct keys, none of them negative, to values."""
        bits = len(keys).bit_length() + 1  # half of the slots or more stay free, so searches are short
        self._shift = np.uint64(64 - bits)
        self._last = (1 << bits) - 1
        self._keys = np.full(1 << bits, _FREE, dtype=np.int64)
        self._values = np.full(1 << bits, _FREE, dtype=np.int64)
        slots = self._slots(keys)
        while len(keys):
            vacant = self._keys[slots] == _FREE
            self._keys[slots[vacant]] = keys[vacant]  # of several keys for one slot, the last stays
            placed = self._keys[slots] == keys
            self._values[slots[placed]] = values[placed]
            keys, values, slots = keys[~placed], values[~placed], (slots[~placed] + 1) & self._last

    def get(self, keys: Integers) -> Integers:
        """Return the value of every key, and -1 where there is none."""
        slots = self._slots(keys)
        found, values = self._keys[slots], self._values[slots]
        missed = np.flatnonzero(found != keys)
        values[missed] = -1
        pending = missed[found[missed] != _FREE]
        slots = slots[pending]
        while len(pending):
            slots = (slots + 1) & self._last
            found, sought = self._keys[slots], keys[pending]
            values[pending[found == sought]] = self._values[slots[found == sought]]
            rest = (found != sought) & (found != _FREE)
            pending, slots = pending[rest], slots[rest]
        return values

    def _slots(self, keys: Integers) -> Integers:
        return ((keys.astype(np.uint64) * _SCATTER) >> self._shift).astype(np.int64)


@dataclass(frozen=True)
class Text:
    """Characters of several rows, laid end to end."""

    codes: Integers
    """The characters as `Alphabet` numbers them, [N]."""
    rows: Integers
    """Which row each belongs to, counted from 0, [N]."""
    begins: NDArray[np.bool_]
    """True where a word or a row begins, [N]: no piece reaches across."""
    keys: DrawKeys
    """A key for drawing at each character, a function of its row's key and its place in the row, [N]."""


class Alphabet:
    """The characters of a vocabulary, numbered; a fixed piece, such as `<unk>` or a placeholder, counts as one.

    A row is spelled from its pieces, not decoded, so its text is to the letter what was cut when the data were
    prepared: spaces, placeholders and unknown characters stay what and where they are.
    """

    def __init__(self, pieces: Sequence[str], *, symbols: Collection[str]) -> None:
        """Number the characters of `pieces`, of which those in `symbols` are never cut and never merged.

        Raises:
            ModelError: A character is no piece by itself, so not all text could be cut.
        """
        fixed = {PAD_PIECE, UNK_PIECE, BOS_PIECE, EOS_PIECE, *symbols}
        free = [piece for piece in pieces if piece not in fixed]
        characters = sorted({character for piece in free for character in piece})
        if missing := set(characters) - set(free):
            raise ModelError(
                f"the tokenizer has no piece for the character {min(missing)!r} alone: it cannot be sampled"
            )
        numbers = {character: code for code, character in enumerate(characters)}
        self.spellings: list[list[int]] = []
        """The characters of every piece."""
        size = len(numbers)
        for piece in pieces:
            if piece in fixed:
                self.spellings.append([size])
                size += 1
            else:
                self.spellings.append([numbers[character] for character in piece])
        self.size = size
        self._flat = FlatSequences.from_lists(self.spellings)
        self._word_start = numbers.get(SPACE_MARK, -1)

    def spell(self, rows: Sequences, wanted: Rows, keys: DrawKeys) -> Text:
        """Write out the rows in `wanted`, with a key for each."""
        taken = lay_out(rows, wanted)
        spelled = lay_out(self._flat, taken.values)
        codes = spelled.values.astype(np.int64)
        owners = np.repeat(np.repeat(np.arange(len(wanted)), taken.lengths), spelled.lengths)
        first = np.searchsorted(owners, np.arange(len(wanted)))  # where each row begins
        begins = codes == self._word_start
        begins[first[taken.lengths > 0]] = True
        places = np.arange(len(codes)) - first[owners]
        return Text(codes, owners, begins, mix(keys[owners] + places.astype(np.uint64)))


def lay_out(rows: Sequences, wanted: NDArray[np.integer]) -> FlatSequences:
    """Copy the rows in `wanted`, end to end in this order."""
    taken = rows.take(wanted)
    return FlatSequences.end_to_end(taken.flat(), taken.lengths)
