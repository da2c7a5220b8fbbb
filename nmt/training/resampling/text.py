"""Rows of ids spelled out: the characters that a vocabulary knows, and the text of a batch made of them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nmt.errors import ModelError
from nmt.sequences import FlatSequences, Rows, Sequences
from nmt.surfaces import SPACE_MARK
from nmt.training.resampling.draws import DrawKeys, mix
from nmt.training.resampling.lookup import Integers
from nmt.vocab import BOS_PIECE, EOS_PIECE, PAD_PIECE, UNK_PIECE


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
    starts = np.cumsum(taken.lengths, dtype=np.int64) - taken.lengths
    return FlatSequences(taken.flat(), starts, taken.lengths)
