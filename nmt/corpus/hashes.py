"""Texts that occur twice, told by their hashes: within the training text, and in the validation or test text too."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from nmt.io.lines import Pair
from nmt.text.sequences import Flags

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
        """Hash the sides of pairs, without what overlap does not look at: case, and how much white space there is."""
        sides = ((pair.src for pair in pairs), (pair.tgt for pair in pairs))
        return cls.of_sides(*(_hash([" ".join(text.casefold().split()) for text in side]) for side in sides))

    @classmethod
    def of_sides(cls, source: Hashes, target: Hashes) -> "Keys":
        """Make keys again from those of the sides."""
        return cls(source, target, source * _MIX + target)

    def found(self, keys: "Keys", side: Side) -> Flags:
        """Say which of `keys` are among these, each of which is there once, in order."""
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
        found = {name: Keys.of([pair for pair in pairs if pair.src and pair.tgt]) for name, pairs in sets.items()}
        return cls({name: Keys(*map(np.unique, (one.source, one.target, one.pair))) for name, one in found.items()})

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


def _hash(texts: Sequence[str]) -> Hashes:
    hashes = (xxh3_64_intdigest(text.encode("utf-8", "surrogatepass")) for text in texts)
    return np.fromiter(hashes, dtype=np.uint64, count=len(texts))


Bits = NDArray[np.uint8]
"""One bit for each record, eight to a byte."""

BUCKET: Final = 1 << 20
"""Hashes that are sorted at a time, about."""
_ENTRY: Final = np.dtype([("hash", np.uint64), ("row", np.int64)])


def find_duplicates(hashes: Iterable[Hashes], total: int, folder: Path, *, bucket: int = BUCKET) -> Bits:
    """Mark each record that another one with its hash comes before.

    The hashes go into files by their first bits, so that those that are equal lie in one file; then file after file is
    sorted. Memory: an eighth of a byte for each record, and about 40 MB.

    Args:
        hashes: Those of all `total` records in their order, some at a time.
        folder: For the files, of about `bucket` hashes each; they are gone at the end.
    """
    bits = np.zeros((total + 7) // 8, dtype=np.uint8)
    for entries in _buckets(hashes, max(0, (total - 1) // bucket).bit_length(), folder):
        order = np.argsort(entries["hash"], kind="stable")
        ordered = entries["hash"][order]
        # The sort is stable, so that the first of equal hashes is the one that was read first.
        rows = entries["row"][order[1:][ordered[1:] == ordered[:-1]]]
        np.bitwise_or.at(bits, rows // 8, np.uint8(0x80) >> (rows % 8).astype(np.uint8))
    return bits


def read_bits(bits: Bits, start: int, size: int) -> NDArray[np.bool_]:
    """Return the bits of `size` records from record `start`."""
    first = start // 8
    flags = np.unpackbits(bits[first : (start + size + 7) // 8])[start - 8 * first :][:size]
    return flags.astype(np.bool_)


def _buckets(hashes: Iterable[Hashes], depth: int, folder: Path) -> Iterator[NDArray[np.void]]:
    """Give all hashes with their row numbers, one of 2 ** depth buckets at a time; within it the rows are in order."""
    if depth == 0:
        yield _entries([*hashes, np.zeros(0, dtype=np.uint64)], 0)
        return
    paths = [folder / f"bucket-{number}" for number in range(1 << depth)]
    for path in paths:
        path.write_bytes(b"")  # what a killed run has left in it goes
    start = 0
    for some in hashes:
        bucket = (some >> np.uint64(64 - depth)).astype(np.int64)
        entries = _entries([some], start)[np.argsort(bucket, kind="stable")]
        start += len(some)
        ends = np.cumsum(np.bincount(bucket, minlength=len(paths)))
        for path, part in zip(paths, np.split(entries, ends[:-1]), strict=True):
            with path.open("ab") as file:
                file.write(part.tobytes())
    for path in paths:
        yield np.fromfile(path, dtype=_ENTRY)
        path.unlink()


def _entries(hashes: Sequence[Hashes], start: int) -> NDArray[np.void]:
    joined = np.concatenate(hashes)
    entries = np.empty(len(joined), dtype=_ENTRY)
    entries["hash"], entries["row"] = joined, np.arange(start, start + len(joined))
    return entries
