"""How often each piece of a vocabulary occurs."""

from collections.abc import Iterator, Mapping

import numpy as np

from nmt.sequences import FlatSequences
from nmt.subword import Tokenizer
from nmt.surfaces import readable
from nmt.vocab import EOS, UNK


class PieceCounts:
    """How often each piece of a vocabulary occurs; `</s>` counts once for every row."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._pieces = tokenizer.pieces
        self._counts = np.zeros(len(tokenizer), dtype=np.int64)
        self.total = 0

    def add(self, ids: FlatSequences) -> None:
        """Count the pieces of some rows, which lie end to end and are all that there is."""
        self.total += len(ids.values)
        self._counts += np.bincount(ids.values, minlength=len(self._counts))
        self._counts[EOS] += len(ids)

    @property
    def vocabulary(self) -> int:
        """How many pieces there are to choose from."""
        return len(self._pieces)

    @property
    def unknown(self) -> int:
        """How many of them are `<unk>`."""
        return int(self._counts[UNK])

    def lines(self) -> Iterator[str]:
        """Write one line for each id: the piece as `readable` has it, a tab, its count."""
        for piece, count in zip(self._pieces, self._counts, strict=True):
            yield f"{readable(piece)}\t{count}\n"


def count_pieces(tokenizers: Mapping[str, Tokenizer], ids: Mapping[str, FlatSequences]) -> dict[str, PieceCounts]:
    """Count the pieces of each column."""
    counts = {name: PieceCounts(tokenizer) for name, tokenizer in tokenizers.items()}
    for name, rows in ids.items():
        counts[name].add(rows)
    return counts
