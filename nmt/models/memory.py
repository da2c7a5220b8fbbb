"""What the encoder hands to the decoder."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Memory:
    """Encoded sources, once per sentence whatever the number of beams."""

    values: Tensor
    """Encoder outputs, [B, S, H]."""
    keys: Tensor
    """What queries are compared with, made from `values` once by the attention, [B, S, H]."""
    mask: Tensor
    """True at real source positions, [B, S]."""
    summary: Tensor
    """The last state of each direction side by side, [B, H]."""

    def take(self, sentences: Tensor) -> "Memory":
        """Keep `sentences` [B'], in this order."""
        return Memory(self.values[sentences], self.keys[sentences], self.mask[sentences], self.summary[sentences])
