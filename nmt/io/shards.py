"""Shards of a result: what machines that see no common folder have made of every n-th block, joined in the end.

A shard is a file of its own. Its first line is a header in JSON that says what it was made of, and how its blocks
are cut; they follow.
"""

import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Final, Self

from xxhash import xxh3_64

from nmt.errors import DataError, UsageError, counted
from nmt.io.compressed import CHUNK

_VERSION: Final = 1
_LONGEST_HEADER: Final = 1 << 24
"""Bytes: more than any header has."""


@dataclass(frozen=True)
class Shard:
    """One of several that share the blocks of a result: every n-th is its own, n being how many they are."""

    number: int
    """Counted from 1."""
    count: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read "I/N"; a UsageError if it is none."""
        found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
        number, count = map(int, found.groups()) if found else (0, 0)
        if not 1 <= number <= count:
            raise UsageError(f"--shard {text}: expected I/N, the I-th of N shards, I from 1 to N, as in 2/4")
        return cls(number, count)

    def numbers(self, blocks: int) -> range:
        """Return which of so many blocks, counted from 0, are its own."""
        return range(self.number - 1, blocks, self.count)

    def after(self, blocks: int) -> "Shard":
        """Return what it is of the blocks that come after so many."""
        return Shard((self.number - 1 - blocks) % self.count + 1, self.count)

    def name(self, output: Path) -> Path:
        """Return the file of its part of an output."""
        return output.with_name(f"{output.name}.{self.number}-of-{self.count}")


@dataclass(frozen=True)
class Header:
    """The first line of a shard."""

    shard: Shard
    key: dict[str, str]
    """What the result depends on, and which result it is: the same for all shards of it."""
    blocks: int
    """Of the whole result."""
    sizes: tuple[int, ...]
    """Bytes of each block of the shard."""
    digests: tuple[str, ...]

    @classmethod
    def of(cls, shard: Shard, parts: Sequence[Path], *, key: dict[str, str], blocks: int) -> Self:
        """Measure the blocks of a shard."""
        digests = []
        for part in parts:
            digest = xxh3_64()
            with part.open("rb") as file:
                while chunk := file.read(CHUNK):
                    digest.update(chunk)
            digests.append(digest.hexdigest())
        return cls(shard, key, blocks, tuple(part.stat().st_size for part in parts), tuple(digests))

    def write(self, file: IO[bytes]) -> None:
        """Write the line."""
        file.write(json.dumps({"nmt_shard": _VERSION, **asdict(self)}).encode() + b"\n")

    @classmethod
    def read(cls, file: IO[bytes], path: Path) -> Self:
        """Read the line; a DataError if it is none."""
        try:
            tree: dict[str, Any] = json.loads(file.readline(_LONGEST_HEADER))
            if tree.pop("nmt_shard") != _VERSION:
                raise DataError(f"{path} was written by another version of nmt; make it anew")
            header = cls(
                Shard(**tree["shard"]), tree["key"], tree["blocks"], *map(tuple, (tree["sizes"], tree["digests"]))
            )
            if not len(header.sizes) == len(header.digests) == len(header.shard.numbers(header.blocks)):
                raise ValueError
            if not isinstance(header.key, dict) or any(type(size) is not int or size < 0 for size in header.sizes):
                raise ValueError
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
            raise DataError(f"{path} is no shard: its first line is not the header that --shard writes") from error
        return header


def blocks_of(path: Path) -> Iterator[bytes]:
    """Give the blocks of a shard; a DataError if it is damaged."""
    with _opened(path) as file:
        header = Header.read(file, path)
        for index in range(len(header.sizes)):
            block = io.BytesIO()
            _copy(path, file, header, index, block)
            yield block.getvalue()


def join_shards(paths: Iterable[Path], out: IO[bytes]) -> int:
    """Put the shards of a result together, in whatever order they are named; return how many blocks it has.

    Raises:
        DataError: A file is no shard or damaged, shards are of different results, or one is missing or there twice.
    """
    with ExitStack() as files:
        shards: dict[int, tuple[Path, IO[bytes], Header]] = {}
        for path in paths:
            file = files.enter_context(_opened(path))
            header = Header.read(file, path)
            if shards:
                _refuse_another(path, header, *next((one, first) for one, _, first in shards.values()))
            if other := shards.get(header.shard.number):
                raise DataError(f"{other[0]} and {path} are both shard {header.shard.number}; expected each once")
            shards[header.shard.number] = path, file, header
        first = next(header for *_, header in shards.values())
        count = first.shard.count
        if missing := [str(number) for number in range(1, count + 1) if number not in shards]:
            raise DataError(f"of {counted(count, 'shard')}, these are missing: {', '.join(missing)}")
        for block in range(first.blocks):
            _copy(*shards[block % count + 1], block // count, out)
        for path, file, _ in shards.values():
            if file.read(1):
                raise DataError(f"{path} is damaged: something stands behind its last block")
    return first.blocks


def _opened(path: Path) -> IO[bytes]:
    try:
        return path.open("rb")
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error


def _refuse_another(path: Path, header: Header, other: Path, expected: Header) -> None:
    """Refuse a shard of another result than that of the shards before."""
    for name, value in expected.key.items():
        if header.key.get(name) != value:
            raise DataError(f"{path} and {other} do not belong together: they differ in the {name}")
    if (header.shard.count, header.blocks) != (expected.shard.count, expected.blocks):
        raise DataError(
            f"{path} is one of {counted(header.shard.count, 'shard')}, {other} one of {expected.shard.count:,}"
        )


def _copy(path: Path, file: IO[bytes], header: Header, index: int, out: IO[bytes]) -> None:
    """Copy the next block of a shard."""
    digest, left = xxh3_64(), header.sizes[index]
    while left and (chunk := file.read(min(left, CHUNK))):
        digest.update(chunk)
        out.write(chunk)
        left -= len(chunk)
    if left or digest.hexdigest() != header.digests[index]:
        raise DataError(f"{path} is damaged or incomplete: block {index + 1:,} is not what was written")
