"""Records that occurred before, found by their hashes on disk: neither the text nor all hashes are in the memory.

Two records with the same 64-bit hash count as the same. Among n different ones there is a pair that has it with a
probability of at most n**2 / 2**65: 1 in 92,000 for 20 million records, that a single one of them is left out wrongly.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
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
        hashes: Those of all records in their order, some at a time.
        total: How many there are.
        folder: For the files; they are gone at the end.
        bucket: Hashes in a file, about.
    """
    bits = np.zeros((total + 7) // 8, dtype=np.uint8)
    for entries in _buckets(hashes, max(0, (total - 1) // bucket).bit_length(), folder):
        order = np.argsort(entries["hash"], kind="stable")
        ordered = entries["hash"][order]
        # The sort is stable, so that the first of equal hashes is the one that was read first.
        rows = entries["row"][order[1:][ordered[1:] == ordered[:-1]]]
        for bit in range(8):
            bits[rows[rows % 8 == bit] // 8] |= 0x80 >> bit
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
    _spread(hashes, paths, depth)
    for path in paths:
        yield np.fromfile(path, dtype=_ENTRY)
        path.unlink()


def _spread(hashes: Iterable[Hashes], paths: Sequence[Path], depth: int) -> None:
    """Append each hash to the file of its first bits."""
    for path in paths:
        path.write_bytes(b"")  # what a killed run has left in it goes
    start = 0
    for some in hashes:
        entries = _entries([some], start)
        start += len(some)
        bucket = (some >> np.uint64(64 - depth)).astype(np.int64)
        order = np.argsort(bucket, kind="stable")
        ends = np.cumsum(np.bincount(bucket, minlength=len(paths)))
        for path, part in zip(paths, np.split(entries[order], ends[:-1]), strict=True):
            with path.open("ab") as file:
                file.write(part.tobytes())


def _entries(hashes: Sequence[Hashes], start: int) -> NDArray[np.void]:
    joined = np.concatenate(hashes)
    entries = np.empty(len(joined), dtype=_ENTRY)
    entries["hash"], entries["row"] = joined, np.arange(start, start + len(joined))
    return entries
