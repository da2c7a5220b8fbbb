"""What the hypotheses of a search consist of so far."""

from dataclasses import dataclass, replace
from typing import Final, Self

import torch
from torch import Tensor

from nmt.models.tensors import Rows, joined, mapped, padded, picker
from nmt.search.hypothesis import Hypothesis
from nmt.vocab import PAD

_ROOM_MULTIPLE: Final = 32
"""T is a multiple of this, so that shapes come again: a GPU records the steps of each."""


@dataclass(frozen=True)
class Written(Rows):
    """The words of B sentences' K hypotheses, and where asked for the attention with which each was chosen."""

    words: Tensor
    """[B, K, T], PAD behind the last one."""
    attention: Tensor | None
    """[B, K, T, S], zero on padding."""
    room: Tensor
    """Places that each sentence may need, [B]."""

    @classmethod
    def start(cls, max_lengths: Tensor, beam_size: int, *, with_attention: bool) -> Self:
        """Begin empty, with room for the longest of `max_lengths` [B], and a place for what comes when it is over."""
        room = max_lengths + 1
        shape = (len(room), beam_size, _width(room))
        attention = torch.zeros(*shape, 1, device=max_lengths.device) if with_attention else None
        return cls(torch.full(shape, PAD, device=max_lengths.device), attention, room)

    def select(self, parents: Tensor) -> "Written":
        """Copy hypotheses: the new one k of sentence b is `parents[b, k]`; parents [B, K']."""
        pick = picker(parents, self.words.shape[1])
        return replace(self, words=pick(self.words), attention=mapped(pick, self.attention))

    def write(self, places: Tensor, ids: Tensor, attention: Tensor) -> "Written":
        """Put words [B, K] at `places` [B], and the attention [B, K, S] that they came with."""
        index = places[:, None, None].expand(-1, ids.shape[1], 1)
        words = self.words.scatter(2, index, ids[:, :, None])
        if self.attention is None:
            return Written(words, None, self.room)
        size = max(self.attention.shape[3], attention.shape[2])
        rows = padded(attention, size, dim=2)[:, :, None]  # [B, K, 1, S]
        wider = padded(self.attention, size, dim=3)  # [B, K, T, S]
        return Written(words, wider.scatter(2, index[..., None].expand_as(rows), rows), self.room)

    def beside(self, other: "Written") -> "Written":
        """Append to each sentence the hypotheses that `other` has of it."""
        attention = None
        if self.attention is not None and other.attention is not None:
            attention = joined(self.attention, other.attention, dim=1)
        return Written(joined(self.words, other.words, dim=1), attention, self.room)

    def hypothesis(self, sentence: int, beam: int, length: int, log_prob: float, score: float) -> Hypothesis:
        """Return the first `length` words of a hypothesis with what is said about it."""
        attention = None if self.attention is None else self.attention[sentence, beam, :length].clone()
        return Hypothesis(tuple(self.words[sentence, beam, :length].tolist()), log_prob, score, attention)

    def take(self, sentences: Tensor) -> "Written":
        """Keep `sentences` [B'], in this order, and no more places than they may need."""
        room = self.room.index_select(0, sentences)
        width = _width(room)
        words = self.words[:, :, :width].index_select(0, sentences)
        attention = None if self.attention is None else self.attention[:, :, :width].index_select(0, sentences)
        return Written(words, attention, room)


def _width(room: Tensor) -> int:
    """Return T for sentences that need `room` [B]."""
    return -(-int(room.max()) // _ROOM_MULTIPLE) * _ROOM_MULTIPLE if len(room) else 0
