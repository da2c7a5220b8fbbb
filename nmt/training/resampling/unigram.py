"""Subword regularisation (Kudo, 2018): cuts drawn from all cuts of a word, with a unigram model's probabilities."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nmt.training.resampling.text import Alphabet, IntegerMap, Integers, Text, uniform

Floats = NDArray[np.float32]

_NEVER: Final = -1e30  # a log probability: finite, so that no difference of two is undefined


@dataclass(frozen=True)
class _Columns:
    """Words side by side, longest first: column r holds the r-th last character of every word of r or more."""

    starts: Integers
    """Where each word begins in the text, [W]."""
    lengths: Integers
    """Characters of each word, falling, [W]."""
    counts: Integers
    """How many words reach into each column, [R + 1]; none into column 0."""
    offsets: Integers
    """The first cell of each column, [R + 1]; the cells of a column belong to the first words, in their order."""

    @classmethod
    def of(cls, text: Text) -> "_Columns":
        starts = np.flatnonzero(text.begins)
        lengths = np.diff(np.append(starts, len(text.codes)))
        order = np.argsort(-lengths, kind="stable")
        counts = np.bincount(lengths)[::-1].cumsum()[::-1]
        counts[0] = 0
        return cls(starts[order], lengths[order], counts, np.cumsum(counts) - counts)


class UnigramSampler:
    """Cuts words into pieces, a cut c with a probability proportional to P(c)^alpha (Kudo, 2018, sec. 3.3).

    No piece reaches across words, so words are cut independently, all words of a batch at once: backward sums of the
    probabilities by dynamic programming, then pieces drawn from left to right. There is no approximation, and
    no n-best list.
    """

    def __init__(self, alphabet: Alphabet, scores: Sequence[float], *, alpha: float) -> None:
        """Take the log probability of every piece; `alpha` 0 makes all cuts equally likely, a large one the best."""
        trie: dict[int, int] = {}
        pieces = [-1]  # of each node of the trie; node 0 is its root
        for piece, spelling in enumerate(alphabet.spellings):
            node = 0
            for code in spelling:
                node = trie.setdefault(node * alphabet.size + code, len(pieces))
                if node == len(pieces):
                    pieces.append(-1)
            pieces[node] = piece
        self._pieces = np.array(pieces)
        smoothed = alpha * np.array(scores)[self._pieces]
        self._scores = np.where(self._pieces >= 0, smoothed, _NEVER).astype(np.float32)
        self._children = IntegerMap(np.array(list(trie)), np.array(list(trie.values())))
        self._size = alphabet.size
        self._widest = max(map(len, alphabet.spellings))

    def cut(self, text: Text) -> tuple[Integers, Integers]:
        """Draw pieces; return where each begins in the text, in any order, and its id."""
        columns = _Columns.of(text)
        nodes = self._nodes(text, columns)
        return self._draw(text, columns, nodes, self._chances(columns, nodes))

    def _nodes(self, text: Text, columns: _Columns) -> NDArray[np.int32]:
        """Find in the trie what 1, 2, .. characters from each cell on spell, [K, N]; 0 stands for nothing."""
        left = np.repeat(np.arange(len(columns.counts)), columns.counts)  # characters from here to the word's end
        words = np.arange(len(left)) - columns.offsets[left]
        places = columns.starts[words] + columns.lengths[words] - left
        nodes = np.zeros((self._widest, len(left)), dtype=np.int32)
        active, state = np.arange(len(left)), np.zeros(len(left), dtype=np.int64)
        for width in range(self._widest):
            state = self._children.get(state * self._size + text.codes[places[active] + width])
            found = state >= 0
            nodes[width, active[found]] = state[found]
            found &= left[active] > width + 1
            active, state = active[found], state[found]
        return nodes

    def _chances(self, columns: _Columns, nodes: NDArray[np.int32]) -> Floats:
        """Sum up the probabilities of all cuts that go on from each cell with 1, 2, .. characters or fewer, [K, N].

        Each cell has a scale of its own, set by its likeliest way on.
        """
        chances = np.empty(nodes.shape, dtype=np.float32)
        # What all cuts of the rest of a word add up to when 1, 2, .. characters are gone, as a logarithm, relative to
        # one gone: [K, W]. Small numbers, however long the word.
        rest = np.full((len(nodes), len(columns.starts)), _NEVER, dtype=np.float32)
        rest[0] = 0.0
        for first, count in zip(columns.offsets[1:], columns.counts[1:], strict=True):
            cells = slice(first, first + count)
            ways = self._scores[nodes[:, cells]] + rest[:, :count]
            likeliest = ways.max(axis=0)
            np.exp(ways - likeliest, out=ways)
            chances[0, cells] = ways[0]
            for width in range(1, len(ways)):
                np.add(chances[width - 1, cells], ways[width], out=chances[width, cells])
            rest[1:, :count] = rest[:-1, :count] - (likeliest + np.log(chances[-1, cells]))
            rest[0, :count] = 0.0
        return chances

    def _draw(
        self, text: Text, columns: _Columns, nodes: NDArray[np.int32], chances: Floats
    ) -> tuple[Integers, Integers]:
        words, left = np.arange(len(columns.starts)), columns.lengths
        places, pieces = [], []
        while len(words):
            cells = columns.offsets[left] + words
            place = columns.starts[words] + columns.lengths[words] - left
            # The number drawn is below 1, and so is its product with the total below the total: one width is left.
            chance = chances[:, cells]
            draw = uniform(text.keys[place]) * chance[-1]
            width = (chance <= draw).sum(axis=0)
            places.append(place)
            pieces.append(self._pieces[nodes[width, cells]])
            left = left - width - 1
            words, left = words[left > 0], left[left > 0]
        return np.concatenate(places), np.concatenate(pieces)
