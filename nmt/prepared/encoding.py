"""Pairs and lines to ids, with a count of every piece."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic

import numpy as np

from nmt.prepared.selection import Rejections
from nmt.prepared.spool import R
from nmt.prepared.writing import Ids, Rows, flatten
from nmt.subword import Tokenizer
from nmt.vocab import EOS, UNK

Mask = Callable[[R], tuple[str, ...]]
"""Returns the texts of a record, with placeholders where they belong."""


class PieceCounts:
    """How often each piece of a vocabulary occurs; `</s>` counts once for every row."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._pieces = tokenizer.pieces
        self._counts = np.zeros(len(tokenizer), dtype=np.int64)
        self.total = 0

    def add(self, rows: Rows) -> None:
        """Count the pieces of some rows."""
        ids = flatten(rows)
        self.total += len(ids)
        self._counts += np.bincount(ids, minlength=len(self._counts))
        self._counts[EOS] += len(rows)

    @property
    def vocabulary(self) -> int:
        """How many pieces there are to choose from."""
        return len(self._pieces)

    @property
    def unknown(self) -> int:
        """How many of them are `<unk>`."""
        return int(self._counts[UNK])

    def lines(self) -> Iterator[str]:
        """Write one line for each id: the piece, a tab, its count."""
        for piece, count in zip(self._pieces, self._counts, strict=True):
            yield f"{piece}\t{count}\n"


def count_pieces(tokenizers: Mapping[str, Tokenizer], ids: Ids) -> dict[str, PieceCounts]:
    """Count the pieces of each column."""
    counts = {name: PieceCounts(tokenizer) for name, tokenizer in tokenizers.items()}
    for name, rows in ids.items():
        counts[name].add(rows)
    return counts


@dataclass(frozen=True)
class Encoder(Generic[R]):
    """Masks what is to be masked, and cuts each text of a record into the pieces of its column."""

    tokenizers: Mapping[str, Tokenizer]
    """Those of the columns, in the order of the texts."""
    mask_train: "Mask[R]"
    mask_valid: "Mask[R]"

    def encode_train(self, records: Sequence[R]) -> Ids:
        """Turn training records into columns of ids."""
        return self._encode([self.mask_train(record) for record in records])

    def encode_valid(self, records: Sequence[R]) -> Ids:
        """Turn validation records into columns of ids."""
        return self._encode([self.mask_valid(record) for record in records])

    def encode_blocks(
        self, blocks: Iterable[list[R]], *, max_pieces: float, rejections: Rejections
    ) -> Iterator[dict[str, Rows]]:
        """Encode block after block, without the records of which a text gives no pieces or too many."""
        for block in blocks:
            kept: list[tuple[list[int], ...]] = []
            for record, rows in zip(block, zip(*self.encode_train(block).values(), strict=True), strict=True):
                if not all(rows):
                    rejections.add(record, "empty")
                elif max(map(len, rows)) > max_pieces:
                    rejections.add(record, "too_many_pieces")
                else:
                    kept.append(rows)
            yield {name: [rows[column] for rows in kept] for column, name in enumerate(self.tokenizers)}

    def _encode(self, masked: Sequence[tuple[str, ...]]) -> dict[str, Rows]:
        return {
            name: tokenizer.encode([texts[column] for texts in masked])
            for column, (name, tokenizer) in enumerate(self.tokenizers.items())
        }
