"""BPE-dropout (Provilkov et al., 2020): words merged from characters, with merges left out at random."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nmt.training.resampling.text import Alphabet, DrawKeys, IntegerMap, Integers, Text, mix, uniform

_NONE: Final = np.iinfo(np.int64).max


class BpeDropout:
    """Merges characters to pieces; at every step, each possible merge is left out with a probability.

    This is algorithm 1 of Provilkov et al. (2020), run on all words of a batch at once: the merge learnt first wins,
    the leftmost of equals, and a word is done when no merge is left. Without dropout it cuts as the model itself does.
    """

    def __init__(self, alphabet: Alphabet, scores: Sequence[float], *, dropout: float) -> None:
        """Take the score of every piece, which is the higher, the earlier its merge was learnt."""
        ids = {tuple(spelling): piece for piece, spelling in enumerate(alphabet.spellings)}
        merges = {
            ids[spelling[:split]] * len(ids) + ids[spelling[split:]]: piece
            for spelling, piece in ids.items()
            for split in range(1, len(spelling))
            if spelling[:split] in ids and spelling[split:] in ids
        }
        self._size = len(ids)
        self._merges = IntegerMap(np.array(list(merges), dtype=np.int64), np.array(list(merges.values()), np.int64))
        self._ranks = np.argsort(np.argsort(-np.array(scores), kind="stable"))
        self._characters = np.array([ids[(code,)] for code in range(alphabet.size)])
        self._dropout = dropout

    def cut(self, text: Text) -> tuple[Integers, Integers]:
        """Draw pieces; return where each begins in the text, in any order, and its id."""
        places, ids, begins = np.arange(len(text.codes)), self._characters[text.codes], text.begins
        merges = self._merged(ids, begins, places)  # what each symbol and the next one make
        done = []
        step = 0
        while len(ids):
            starts = np.flatnonzero(begins)
            best = np.minimum.reduceat(self._priorities(text.keys[places], merges, step), starts)
            live = best < _NONE
            keep = np.repeat(live, np.diff(np.append(starts, len(ids))))
            done.append((places[~keep], ids[~keep]))
            winners = best[live] % len(ids)
            ids[winners] = merges[winners]
            keep[winners + 1] = False
            places, ids, begins, merges = places[keep], ids[keep], begins[keep], merges[keep]
            winners = (np.cumsum(keep) - 1)[winners]
            changed = np.concatenate([winners, winners[~begins[winners]] - 1])
            merges[changed] = self._merged(ids, begins, changed)
            step += 1
        return np.concatenate([places for places, _ in done]), np.concatenate([ids for _, ids in done])

    def _merged(self, ids: Integers, begins: NDArray[np.bool_], at: Integers) -> Integers:
        """Return the piece that each symbol in `at` and its right neighbour make, -1 where there is none."""
        merged = np.full(len(at), -1)
        inner = np.append(~begins[1:], False)[at]
        left = at[inner]
        merged[inner] = self._merges.get(ids[left] * self._size + ids[left + 1])
        return merged

    def _priorities(self, keys: DrawKeys, merges: Integers, step: int) -> Integers:
        """Order the merges that are not left out: the lowest of a word comes first; its remainder says where it is."""
        possible = np.flatnonzero(merges >= 0)
        possible = possible[uniform(mix(keys[possible] + np.uint64(step))) >= self._dropout]
        priorities = np.full(len(merges), _NONE)
        priorities[possible] = self._ranks[merges[possible]] * len(merges) + possible
        return priorities
