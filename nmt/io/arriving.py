"""Lines for a translator that never stops: all there from a file, as they arrive from a pipe."""

import select
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable
from io import BufferedReader
from threading import Condition, Thread
from typing import Final, Protocol

from nmt.errors import DataError, NmtError
from nmt.io.compressed import BegunBytes, cut_end
from nmt.io.lines import OnBadUtf8, decode_lines

_READ_SIZE: Final = 1 << 16  # bytes: what a pipe holds on Linux, and less than a line may have
_READ_AHEAD: Final = 1 << 20  # bytes

CHARACTERS_AT_ONCE: Final = 1 << 18
"""Lines are taken together until they have so many characters: 4,000 ordinary ones, but not 4,000 of a megabyte. For a
character the search needs up to a few hundred bytes, most of them for attention where that is asked for."""


class Arriving(Protocol):
    """A binary stream that can give what is there without waiting for more, such as `sys.stdin.buffer`."""

    def read1(self, size: int, /) -> bytes:
        """Return up to `size` bytes, waiting only for the first; none at the end."""


class LineSource(ABC):
    """Where lines come from."""

    _failure: Exception | None = None
    """What is raised when the lines before it have been taken."""
    watch: Callable[[list[str]], None] | None = None
    """Is shown the lines that are taken, before they are given."""

    @property
    @abstractmethod
    def ended(self) -> bool:
        """Whether it is known that all lines have been taken; an error that is to be raised counts as a line."""

    @abstractmethod
    def _next(self, *, wait: bool) -> str | None:
        """Return the next line; None if there is none, or none yet and nobody is to wait."""

    def take(self, limit: int, *, wait: bool) -> list[str]:
        """Return the next lines that have arrived, at most `limit`, and none after CHARACTERS_AT_ONCE characters.

        `wait` waits until there is a line: then no lines mean the end. An error comes after the lines before it.
        """
        taken: list[str] = []
        characters = 0
        try:
            while self._failure is None and len(taken) < limit and characters < CHARACTERS_AT_ONCE:
                line = self._next(wait=wait and not taken)
                if line is None:
                    break
                taken.append(line)
                characters += len(line)
        except Exception as error:
            self._failure = error
        if self._failure is not None and not taken:
            raise self._failure
        if self.watch is not None:
            self.watch(taken)
        return taken


class FileLines(LineSource):
    """Lines that are there when they are asked for; the first is read at once, so that no error of the file is late."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self._ahead = next(self._lines, None)

    @property
    def ended(self) -> bool:
        """See `LineSource`."""
        return self._ahead is None and self._failure is None

    def _next(self, *, wait: bool) -> str | None:
        line, self._ahead = self._ahead, None
        try:
            self._ahead = None if line is None else next(self._lines, None)
        except NmtError as error:
            self._failure = error
        return line


class ArrivingLines(LineSource):
    r"""Lines of a pipe or a terminal: each waits only for its `\n`, and the last may lack it.

    A thread reads ahead, about 1 MiB or one line if that is longer. When it waits for more at the end of the program,
    nobody waits for it.
    """

    def __init__(
        self, stream: Arriving, name: str, on_bad_utf8: OnBadUtf8 = "error", *, longest: int | None = None
    ) -> None:
        """Start to read.

        Args:
            stream: Where the bytes come from. If it is a `BufferedReader`, such as `sys.stdin.buffer`, nothing may have
                been read from it: it is read beneath its buffer.
            name: What an error calls it.
            on_bad_utf8: Whether bad bytes are an error or become U+FFFD.
            longest: Bytes after which a line is given as `Begun` and a rest, as those of files are; None: none is.
        """
        self._arrived = _Arrived()
        self._raw: deque[bytes] = deque()
        self._lines = decode_lines(iter(self._raw.popleft, None), name, on_bad_utf8)
        reading = (_reader(stream), self._arrived, longest, name)
        Thread(target=_read_ahead, args=reading, name=f"reads {name}", daemon=True).start()

    @property
    def ended(self) -> bool:
        """See `LineSource`."""
        return not self._raw and self._failure is None and self._arrived.ended

    def _next(self, *, wait: bool) -> str | None:
        if not self._raw:
            block = self._arrived.get(wait=wait)
            if not block:
                return None
            self._raw.extend([block] if isinstance(block, BegunBytes) else block.removesuffix(b"\n").split(b"\n"))
        return next(self._lines)


class _Arrived:
    """Blocks of whole lines between the thread that reads and the one that takes."""

    def __init__(self) -> None:
        self._blocks: deque[bytes] = deque()
        self._size = 0
        self._all_read = False
        self._failure: Exception | None = None
        self._changed = Condition()

    @property
    def ended(self) -> bool:
        with self._changed:
            return self._all_read and not self._blocks and self._failure is None

    def put(self, block: bytes) -> None:
        """Add a block as soon as there is room for it."""
        with self._changed:
            self._changed.wait_for(lambda: self._size < _READ_AHEAD)
            self._blocks.append(block)
            self._size += len(block)
            self._changed.notify()

    def finish(self, failure: Exception | None) -> None:
        with self._changed:
            self._all_read, self._failure = True, failure
            self._changed.notify()

    def get(self, *, wait: bool) -> bytes:
        """Return the next block, or nothing: there is none now or, after waiting, none will come."""
        with self._changed:
            if wait:
                self._changed.wait_for(lambda: self._blocks or self._all_read)
            if self._blocks:
                block = self._blocks.popleft()
                self._size -= len(block)
                self._changed.notify()
                return block
            if self._failure is not None:
                raise self._failure
            return b""


def _reader(stream: Arriving) -> Callable[[], bytes]:
    """Return a function that reads what is there.

    A `BufferedReader` is locked while it is read, and Python aborts at its end if a thread holds the lock of stdin.
    """
    if not isinstance(stream, BufferedReader):
        return lambda: stream.read1(_READ_SIZE)

    def read() -> bytes:
        while True:
            arrived: bytes | None = stream.raw.read(_READ_SIZE)
            if arrived is not None:
                return arrived
            select.select([stream], [], [])  # another program has made the pipe non-blocking

    return read


def _read_ahead(read: Callable[[], bytes], arrived: _Arrived, longest: int | None, name: str) -> None:
    failure: Exception | None = None
    unfinished: list[bytes] = []  # pieces of a line whose end has not come yet
    size, goes_on = 0, False
    try:
        while piece := read():
            end = piece.find(b"\n")
            if longest is not None and size + (len(piece) if end < 0 else end) >= longest:
                goes_on = True
                piece = _put_sections(b"".join([*unfinished, piece]), arrived, longest)
                unfinished, size = [], 0
            head, newline, rest = piece.rpartition(b"\n")
            if newline:
                arrived.put(b"".join([*unfinished, head, newline]))
                unfinished, size, goes_on = [], 0, False
            if rest:
                unfinished.append(rest)
                size += len(rest)
        if unfinished or goes_on:
            arrived.put(b"".join(unfinished) or b"\n")
    except OSError as error:
        failure = DataError(f"cannot read {name}: {error.strerror or error}")
    except Exception as error:  # all of them: whoever takes lines would wait for ever
        failure = error
    arrived.finish(failure)


def _put_sections(data: bytes, arrived: _Arrived, longest: int) -> bytes:
    """Put what is too much of the line that data begin with, section after section; return the rest."""
    while (end := data.find(b"\n")) >= longest or (end < 0 and len(data) >= longest):
        cut = cut_end(data[:longest])
        arrived.put(BegunBytes(data[:cut]))
        data = data[cut:]
    return data
