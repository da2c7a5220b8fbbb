"""What the hypotheses of a search consist of so far."""

from typing import NamedTuple, Self

import torch
from torch import Tensor, nn

from nmt.search.hypothesis import Hypothesis
from nmt.vocab import PAD


class Written(NamedTuple):
    """The words of B sentences' K hypotheses, and where asked for the attention with which each was chosen."""

    words: Tensor
    """[B, K, T], PAD behind the last one."""
    attention: Tensor | None
    """[B, K, T, S], zero on padding."""

    @classmethod
    def start(cls, max_lengths: Tensor, beam_size: int, *, with_attention: bool) -> Self:
        """Begin empty, with room for the longest of `max_lengths` [B], and a place for what comes when it is over."""
        shape = (len(max_lengths), beam_size, int(max_lengths.max()) + 1)
        attention = torch.zeros(*shape, 1, device=max_lengths.device) if with_attention else None
        return cls(torch.full(shape, PAD, device=max_lengths.device), attention)

    def select(self, parents: Tensor) -> "Written":
        """Copy hypotheses: the new one k of sentence b is `parents[b, k]`; parents [B, K']."""
        first = self.words.shape[1] * torch.arange(len(parents), device=parents.device)
        rows = (parents + first[:, None]).flatten()

        def pick(part: Tensor) -> Tensor:
            return part.flatten(0, 1).index_select(0, rows).view(*parents.shape, *part.shape[2:])

        return Written(pick(self.words), None if self.attention is None else pick(self.attention))

    def write(self, places: Tensor, ids: Tensor, attention: Tensor) -> "Written":
        """Put words [B, K] at `places` [B], and the attention [B, K, S] that they came with."""
        index = places[:, None, None].expand(-1, ids.shape[1], 1)
        words = self.words.scatter(2, index, ids[:, :, None])
        if self.attention is None:
            return Written(words, None)
        size = max(self.attention.shape[3], attention.shape[2])
        rows = padded(attention, size, dim=2)[:, :, None]  # [B, K, 1, S]
        return Written(words, padded(self.attention, size, dim=3).scatter(2, index[..., None].expand_as(rows), rows))

    def beside(self, other: "Written") -> "Written":
        """Append to each sentence the hypotheses that `other` has of it."""
        attention = None
        if self.attention is not None and other.attention is not None:
            attention = joined(self.attention, other.attention, dim=1)
        return Written(joined(self.words, other.words, dim=1), attention)

    def hypothesis(self, sentence: int, beam: int, length: int, log_prob: float, score: float) -> Hypothesis:
        """Return the first `length` words of a hypothesis with what is said about it."""
        attention = None if self.attention is None else self.attention[sentence, beam, :length].clone()
        return Hypothesis(tuple(self.words[sentence, beam, :length].tolist()), log_prob, score, attention)

    def take(self, sentences: Tensor) -> "Written":
        """Keep `sentences` [B'], in this order."""
        return Written(self.words[sentences], None if self.attention is None else self.attention[sentences])

    def join(self, other: "Written") -> "Written":
        """Append the sentences of `other`."""
        attention = None
        if self.attention is not None and other.attention is not None:
            attention = joined(self.attention, other.attention)
        return Written(joined(self.words, other.words), attention)


def joined(first: Tensor, second: Tensor, *, fill: float = 0.0, dim: int = 0) -> Tensor:
    """Put tensors [B, K, *] side by side in dimension `dim`, the smaller filled up with zeros, which PAD is too."""
    shape = [max(sizes) for sizes in zip(first.shape[2:], second.shape[2:], strict=True)]
    for other, size in enumerate(shape, start=2):
        first, second = padded(first, size, dim=other, fill=fill), padded(second, size, dim=other, fill=fill)
    return torch.cat([first, second], dim=dim)


def padded(x: Tensor, size: int, *, dim: int, fill: float = 0.0) -> Tensor:
    """Fill dimension `dim` of `x` up to `size`."""
    missing = size - x.shape[dim]
    return nn.functional.pad(x, (0, 0) * (x.dim() - 1 - dim) + (0, missing), value=fill) if missing > 0 else x
