"""Words that may not appear in a translation, however they are cut into pieces."""

import re
from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nmt.search.wholewords import WholeWords, as_bytes
from nmt.vocab import EOS, PAD

_LONE_BYTE: Final = re.compile("[\ud800-\udfff]")


class ForbiddenWords:
    """What each piece does to each state of a `WholeWords` automaton, in tables on the device of the search.

    A text that has been read up to its end is no whole word yet: a piece that continues the word makes another one of
    it. Any other piece, `</s>` too, is impossible then. Where no such piece may come, the text must not be completed.
    """

    def __init__(self, texts: Sequence[str], pieces: Sequence[str], device: torch.device) -> None:
        """Tabulate.

        Args:
            texts: What may not appear as whole words; none of them is blank.
            pieces: The text that each id stands for, special ids included. Lone bytes of UTF-8 are written as Python's
                `surrogateescape` does. None is empty but for those that never come.
            device: Where the search computes.
        """
        automaton = WholeWords(texts)
        moves, found = _tabulate(automaton, pieces)
        size, count = moves.shape
        tight = found | automaton.complete[moves]
        tight[:, EOS] = found[:, EOS]
        frees = ~tight[automaton.complete].any(axis=0)
        frees[: EOS + 1] = False
        masks = torch.from_numpy(np.concatenate([found if frees.any() else tight, tight]))  # [2N, V]
        always = masks.all(dim=0)
        by_bytes = any(_LONE_BYTE.search(text) for text in pieces)
        self.window = 1 + max(len(as_bytes(text) if by_bytes else text) for text in automaton.texts)
        """Pieces that decide on the state: as many as a text can have, and the one before it."""
        self._size = size
        self._count = count
        self._moves = torch.from_numpy((moves * count).astype(np.int32)).flatten().to(device)
        """Where the row of the next state begins in this very table, [N * V]."""
        self.masks = masks.to(device)
        """What may not come next in each state; below, where no text may be completed, [2N, V]."""
        self.always = always.nonzero().squeeze(1).to(device)
        """What may never come."""
        self.never = always.to(device)
        """The same as a mask, [V]."""
        self.bans = (masks & ~always).any(dim=1).to(device)
        """Whether there is anything else that may not come next, [2N]."""
        self._frees = torch.from_numpy(frees).to(device)
        """Pieces that continue a word and complete no other one, [V]."""
        self._resets = torch.from_numpy((moves == moves[0]).all(axis=0)).to(device)
        """Pieces behind which it does not matter what was before, [V]."""

    def states(self, written: Tensor, lengths: Tensor) -> Tensor:
        """Return the states of hypotheses [B, K, T], of which [B] words are written: [B, K]."""
        last = _last(written, lengths, 1)  # [B, K, 1]
        states = self._read(last)
        b, k = (~self._resets[last.squeeze(2)]).nonzero(as_tuple=True)
        if len(b):
            states[b, k] = self._read(_last(written[b, k][:, None], lengths[b], self.window)).squeeze(1)
        return states

    def states_without_looking(self, written: Tensor, lengths: Tensor) -> Tensor:
        """Return the same, where to look at values would be to wait for a device."""
        return self._read(_last(written, lengths, self.window))

    def rows(self, states: Tensor, words: Tensor | None, *, last: Tensor) -> Tensor:
        """Return which of the masks hypotheses in `states` [B, K] obey: [B, K].

        Args:
            states: [B, K].
            words: The words that each sentence is made of, [B, V]; None: all.
            last: Whether the next step is the last one, [B].
        """
        if words is not None:
            last = last | ~self._frees[words].any(dim=1)
        rows: Tensor = states + self._size * last[:, None]
        return rows

    def _read(self, pieces: Tensor) -> Tensor:
        """Return the states behind pieces [B, K, N], read from the first state: [B, K]."""
        row = torch.zeros_like(pieces[:, :, 0])
        for piece in pieces.unbind(dim=2):
            row = self._moves.take(row + piece)
        states: Tensor = row.long() // self._count
        return states


def _tabulate(automaton: WholeWords, pieces: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Read every piece from every state: the states behind it, and whether it or `</s>` ends a text there, [N, V].

    White space alone is refused behind white space within a text: so no text reaches over more pieces than it has
    characters. PAD stands for the start of a translation.
    """
    sizes = np.array([len(piece) for piece in pieces])
    begins = np.cumsum(sizes) - sizes
    symbols = automaton.symbols("".join(pieces))
    states = np.arange(len(automaton.moves), dtype=np.int32)
    moves = np.repeat(states[:, None], len(pieces), axis=1)
    found = np.zeros(moves.shape, dtype=np.bool_)
    blank = sizes > 0
    for place in range(sizes.max()):
        longer = np.flatnonzero(sizes > place)
        read = symbols[begins[longer] + place]
        before = moves[:, longer]
        found[:, longer] |= automaton.found[before, read]
        moves[:, longer] = automaton.moves[before, read]
        blank[longer] &= read == automaton.symbol(" ")
    found |= automaton.spaced[:, None] & blank
    found[:, EOS] = automaton.complete
    moves[:, PAD] = 0
    return moves, found


def _last(written: Tensor, lengths: Tensor, count: int) -> Tensor:
    """Return the last `count` of the [B] pieces of hypotheses [B, K, T], PAD before the first: [B, K, count]."""
    index = lengths[:, None] - torch.arange(count, 0, -1, device=lengths.device)  # [B, count]
    last = written.gather(2, index.clamp(min=0)[:, None].expand(-1, written.shape[1], -1))
    return last.masked_fill((index < 0)[:, None], PAD)
