"""Pairs to ids, with a count of every piece."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from nmt.corpus.placeholders import Kind, mask, mask_pair
from nmt.corpus.reading import Pair
from nmt.prepared.selection import Rejections
from nmt.prepared.writing import Rows, flatten
from nmt.subword import Tokenizer, Tokenizers
from nmt.vocab import EOS


class PieceCounts:
    """How often each piece of a vocabulary occurs; `</s>` counts once for every sentence."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._pieces = tokenizer.pieces
        self._counts = np.zeros(len(tokenizer), dtype=np.int64)
        self.total = 0

    def add(self, rows: Rows) -> None:
        """Count the pieces of some sentences."""
        ids = flatten(rows)
        self.total += len(ids)
        self._counts += np.bincount(ids, minlength=len(self._counts))
        self._counts[EOS] += len(rows)

    def lines(self) -> Iterator[str]:
        """Write one line for each id: the piece, a tab, its count."""
        for piece, count in zip(self._pieces, self._counts, strict=True):
            yield f"{piece}\t{count}\n"


@dataclass(frozen=True)
class PairEncoder:
    """Masks what is to be masked, and cuts both sides into pieces."""

    tokenizers: Tokenizers
    placeholders: Sequence[Kind]

    def encode_train(self, texts: Sequence[tuple[str, str]]) -> tuple[Rows, Rows]:
        """Turn training pairs into source ids and target ids."""
        return self._encode([mask_pair(src, tgt, self.placeholders) for src, tgt in texts])

    def encode_valid(self, texts: Sequence[tuple[str, str]]) -> tuple[Rows, Rows]:
        """Turn validation pairs into ids: the sources are masked as for translation, whatever their targets hold."""
        return self._encode(
            [(mask(src, self.placeholders)[0], mask_pair(src, tgt, self.placeholders)[1]) for src, tgt in texts]
        )

    def encode_blocks(
        self, blocks: Iterable[list[Pair]], *, max_pieces: int, rejections: Rejections
    ) -> Iterator[tuple[Rows, Rows]]:
        """Encode block after block, without the pairs that give no pieces or too many."""
        for block in blocks:
            src_rows, tgt_rows = [], []
            for pair, src, tgt in zip(block, *self.encode_train([(pair.src, pair.tgt) for pair in block]), strict=True):
                if not (src and tgt):
                    rejections.add(pair, "empty")
                elif max(len(src), len(tgt)) > max_pieces:
                    rejections.add(pair, "too_many_pieces")
                else:
                    src_rows.append(src)
                    tgt_rows.append(tgt)
            yield src_rows, tgt_rows

    def _encode(self, masked: Sequence[tuple[str, str]]) -> tuple[Rows, Rows]:
        src = self.tokenizers.src.encode([src for src, _ in masked])
        tgt = self.tokenizers.tgt.encode([tgt for _, tgt in masked])
        return src, tgt
