"""Hashes of pairs; and which training pairs have sides that stand in the validation or test text as well."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from nmt.corpus.reading import Pair
from nmt.sequences import Flags

Hashes = NDArray[np.uint64]
Side = Literal["source", "target", "pair"]
SIDES: Final[tuple[Side, ...]] = ("source", "target", "pair")

_MIX: Final = np.uint64(0x9E3779B97F4A7C15)  # odd, so that multiplying by it loses nothing


def hash_pairs(pairs: Sequence[Pair]) -> Hashes:
    """Return the 64-bit hash of each pair; pairs with the same two sides have the same one, on every machine.

    Two of `n` different pairs share one by chance with a probability of about n² / 2⁶⁵: 1 in 92,000 for 20 million.
    The hash (XXH3) is fast and well spread, but not made to withstand somebody who looks for pairs that share one.
    """
    # The length keeps ("ab", "c") and ("a", "bc") apart.
    return _hash([f"{len(pair.src)} {pair.src}{pair.tgt}" for pair in pairs])


@dataclass(frozen=True, eq=False)
class Keys:
    """Hashes of the two sides of pairs, and of both together, by which overlap is found."""

    source: Hashes
    target: Hashes
    pair: Hashes

    @classmethod
    def of(cls, pairs: Sequence[Pair]) -> "Keys":
        """Hash the sides of pairs."""
        return cls.of_sides(_hash([fold(pair.src) for pair in pairs]), _hash([fold(pair.tgt) for pair in pairs]))

    @classmethod
    def of_sides(cls, source: Hashes, target: Hashes) -> "Keys":
        """Make keys again from those of the sides."""
        return cls(source, target, source * _MIX + target)

    def sorted(self) -> "Keys":
        """Return each once, in order, as those of a set have to be."""
        return Keys(np.unique(self.source), np.unique(self.target), np.unique(self.pair))

    def found(self, keys: "Keys", side: Side) -> Flags:
        """Say which of `keys` are among these, which are those of a set."""
        held, asked = getattr(self, side), getattr(keys, side)
        if not len(held):
            return np.zeros(len(asked), dtype=np.bool_)
        places = np.minimum(np.searchsorted(held, asked), len(held) - 1)
        return np.asarray(held[places] == asked, dtype=np.bool_)


@dataclass(frozen=True, eq=False)
class Overlap:
    """The validation and test text, as hashes: 24 bytes a pair at most.

    Texts are the same here when they differ in nothing but case and white space.
    """

    sets: Mapping[str, Keys]

    @classmethod
    def from_sets(cls, sets: Mapping[str, Iterable[Pair]]) -> "Overlap":
        """Remember the pairs of each set, such as "validation" and "test"; those with an empty side are left aside."""
        return cls({name: Keys.of([p for p in pairs if p.src and p.tgt]).sorted() for name, pairs in sets.items()})

    def count(self, keys: Keys) -> dict[str, dict[str, int]]:
        """Count the training pairs, given by their keys, that each set has the source, the target or both of."""
        return {name: {side: int(held.found(keys, side).sum()) for side in SIDES} for name, held in self.sets.items()}

    def flag(self, keys: Keys, sides: Iterable[Side]) -> Flags:
        """Say which training pairs, given by their keys, have their source, target or both (`sides`) in any set."""
        flags = np.zeros(len(keys.source), dtype=np.bool_)
        for side in sides:
            for held in self.sets.values():
                flags |= held.found(keys, side)
        return flags


def fold(text: str) -> str:
    """Return a text without what overlap does not look at: case, and how much white space there is."""
    return " ".join(text.casefold().split())


def _hash(texts: Sequence[str]) -> Hashes:
    hashes = (xxh3_64_intdigest(text.encode("utf-8", "surrogatepass")) for text in texts)
    return np.fromiter(hashes, dtype=np.uint64, count=len(texts))
