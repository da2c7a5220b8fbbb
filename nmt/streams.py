"""Lines in blocks: of a fixed size from a file, as they arrive from a pipe."""

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Protocol

from nmt.corpus.reading import OnBadUtf8, decode_lines

_READ_SIZE = 1 << 18


class Arriving(Protocol):
    """A binary stream that can give what is there without waiting for more, such as `sys.stdin.buffer`."""

    def read1(self, size: int, /) -> bytes:
        """Return up to `size` bytes, waiting only for the first; none at the end."""
        ...


def in_blocks(lines: Iterable[str], size: int) -> Iterator[list[str]]:
    """Cut lines into blocks of `size`; the first is read at once, so that an unreadable file is found out early."""
    source = iter(lines)
    first = list(islice(source, size))
    return chain([first] if first else [], iter(lambda: list(islice(source, size)), []))


def arriving_blocks(stream: Arriving, name: str, on_bad_utf8: OnBadUtf8 = "error") -> Iterator[list[str]]:
    r"""Give the lines of a stream as they arrive: each block is what was there, and a line waits only for its `\n`.

    Args:
        stream: Where the bytes come from.
        name: What an error calls it.
        on_bad_utf8: Whether bad bytes are an error or become U+FFFD.

    Raises:
        DataError: A line is not UTF-8.
    """
    waiting: deque[bytes] = deque()
    lines = decode_lines(iter(waiting.popleft, None), name, on_bad_utf8)
    for block in _raw_blocks(stream):
        waiting.extend(block)
        yield list(islice(lines, len(block)))


def _raw_blocks(stream: Arriving) -> Iterator[list[bytes]]:
    unfinished: list[bytes] = []  # pieces of a line whose end has not come yet
    while arrived := stream.read1(_READ_SIZE):
        head, newline, rest = arrived.rpartition(b"\n")
        if not newline:
            unfinished.append(arrived)
            continue
        yield b"".join([*unfinished, head]).split(b"\n")
        unfinished = [rest] if rest else []
    if unfinished:
        yield [b"".join(unfinished)]
