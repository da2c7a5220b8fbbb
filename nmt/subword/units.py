"""Text whose pieces are its words, or its characters: cut by a rule and looked up, with no model at work."""

import re
from collections.abc import Sequence
from typing import Final

from nmt.vocab import BOS, EOS, PAD, UNK, UNK_PIECE

SPACE_MARK: Final = "\u2581"
"""What SentencePiece writes for a space; every word of a text has one before it."""

_SPECIALS: Final = (PAD, UNK, BOS, EOS)


class Units:
    """Cuts text by a rule into units, whose pieces stand in a table.

    Every unit that does not is an `<unk>` of its own. SentencePiece makes one of several in a row, and then a model
    would be spared words of the text whose probability it is asked for.
    """

    def __init__(self, pieces: Sequence[str], *, rule: str, unknown: str) -> None:
        """Take the pieces of a vocabulary, a regular expression for the units, and what stands for an unknown one."""
        self._rule = re.compile(rule, re.DOTALL)
        self._ids = {piece: index for index, piece in enumerate(pieces) if index not in _SPECIALS}
        self._texts = ["" if index in _SPECIALS else piece for index, piece in enumerate(pieces)]
        self._texts[UNK] = unknown

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Cut texts into the ids of their units."""
        return [[self._ids.get(unit, UNK) for unit in self.split(text)] for text in texts]

    def split(self, text: str) -> list[str]:
        """Cut a text into its units."""
        words = text.replace(SPACE_MARK, " ").split(" ")
        units: list[str] = self._rule.findall("".join(SPACE_MARK + word for word in words if word))
        return units

    def decode(self, row: Sequence[int]) -> str:
        """Join units to text."""
        return "".join([self._texts[index] for index in row]).replace(SPACE_MARK, " ").removeprefix(" ")


def word_units(pieces: Sequence[str]) -> Units:
    """Cut text at spaces; the word `<unk>` is how an unknown one is written, as in the Penn Treebank."""
    return Units(pieces, rule=f"{SPACE_MARK}[^{SPACE_MARK}]+", unknown=SPACE_MARK + UNK_PIECE)


def character_units(pieces: Sequence[str]) -> Units:
    """Cut text into characters, spaces too, but leave pieces that are longer whole: placeholders."""
    symbols = [piece for index, piece in enumerate(pieces) if len(piece) > 1 and index not in _SPECIALS]
    return Units(pieces, rule="|".join([*map(re.escape, symbols), "."]), unknown="\u2047")
