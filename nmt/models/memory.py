"""What the encoder hands to the decoder."""

from dataclasses import dataclass
from typing import Final

from torch import Tensor, nn

from nmt.models.tensors import Rows, padded

SOURCE_MULTIPLE: Final = 16
"""In search, sources are padded to a multiple of this many positions: the products over them then sum in one order."""
CELL_MULTIPLE: Final = 32
"""In search, their vectors are filled up to a multiple of this many cells: then the library computes the products of
every sentence in one way, small ones too, wherever among the others it stands."""


@dataclass(frozen=True)
class Memory(Rows):
    """Encoded sources, once per sentence whatever the number of beams."""

    values: Tensor
    """Encoder outputs, [B, S, M]; in search, cells of zeros may stand behind the M real ones, here and in `keys`."""
    keys: Tensor
    """What queries of H cells are compared with, made from `values` once by the attention, [B, S, H]."""
    mask: Tensor
    """True at real source positions, [B, S]."""
    summary: Tensor
    """What the decoder starts from, [B, N]: the last outputs of each direction side by side, N = M; or the whole last
    state of every layer."""

    def take(self, sentences: Tensor) -> "Memory":
        """Keep `sentences` [B'], in this order, and no more positions than they need."""
        mask = self.mask.index_select(0, sentences)
        size = _rounded(int(mask.sum(dim=1).max())) if len(sentences) else 0
        values, keys = (part[:, :size].index_select(0, sentences) for part in (self.values, self.keys))
        return Memory(values, keys, mask[:, :size], self.summary.index_select(0, sentences))

    def padded(self) -> "Memory":
        """Fill up to multiples of SOURCE_MULTIPLE positions and CELL_MULTIPLE cells; all but real outputs are zero."""
        size, real = _rounded(self.mask.shape[1]), self.mask[:, :, None]
        more = size - self.mask.shape[1]
        values, keys = (
            nn.functional.pad(part.where(real, 0.0), (0, -part.shape[2] % CELL_MULTIPLE, 0, more))
            for part in (self.values, self.keys)
        )
        return Memory(values, keys, padded(self.mask, size, dim=1), self.summary)


def _rounded(size: int) -> int:
    return -(-size // SOURCE_MULTIPLE) * SOURCE_MULTIPLE
