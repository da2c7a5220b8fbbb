"""Lines that are too long to be taken at once, as sections: all but the last say that the line goes on."""

from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Final

LONGEST: Final = 1 << 18
"""Bytes of UTF-8 that are taken at once: no line that somebody wrote as one is nearly so long."""


class BegunBytes(bytes):
    """A section of a line that goes on with what comes next, as bytes."""


class Begun(str):
    """A section of a line that goes on with what comes next."""

    __slots__ = ()


def cut_end(data: bytes) -> int:
    """Return where a line is cut that begins with these `LONGEST` bytes: behind a space or a tag, or any character.

    It depends on these bytes alone, so that a line is cut alike however it arrives.
    """
    end = max(data.rfind(b" "), data.rfind(b">")) + 1
    if end > len(data) // 2:
        return end
    last = len(data) - 1
    while last > len(data) - 4 and data[last] & 0xC0 == 0x80:  # the later bytes of a character
        last -= 1
    return last if data[last] >= 0xC0 else len(data)


def read_sections(readline: Callable[[int], bytes]) -> Iterator[bytes]:
    r"""Read lines, each with its `\n`, or, of one with more than `LONGEST` bytes before it, section after section.

    Args:
        readline: Returns the next bytes up to the end of the line, but at most so many; none at the end.
    """
    begun = b""
    goes_on = False
    while (data := begun + readline(LONGEST - len(begun))) or goes_on:
        goes_on = len(data) >= LONGEST and not data.endswith(b"\n")
        end = cut_end(data) if goes_on else len(data)
        yield BegunBytes(data[:end]) if goes_on else data
        begun = data[end:]


def sections_of(line: str) -> list[str]:
    """Cut a line as `read_sections` does."""
    if len(line) * 4 < LONGEST:
        return [line]
    raw = read_sections(BytesIO(line.replace("\n", " ").encode(errors="surrogatepass")).readline)
    texts = [(type(data), data.decode(errors="surrogatepass")) for data in raw]
    return [Begun(text) if kind is BegunBytes else text for kind, text in texts]
