import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmt.errors import DataError
from nmt.io import compressed
from nmt.io import lines as lines_module
from nmt.io.arriving import ArrivingLines
from nmt.io.compressed import BegunBytes, cut_end, read_sections
from nmt.io.lines import Begun, decode_lines, read_in_sections, sections_of


@pytest.fixture(autouse=True)
def of_eight_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (compressed, lines_module):
        monkeypatch.setattr(module, "SECTION_BYTES", 8)


def marked(found: list[str]) -> list[str]:
    """Write sections that go on with a plus behind them."""
    return [f"{text}+" if isinstance(text, Begun) else str(text) for text in found]


def test_a_line_is_cut_behind_a_space_or_else_behind_a_character() -> None:
    assert cut_end(b"ab cd ef") == 6
    assert cut_end(b"a bcdefg") == 8
    assert cut_end("abcde€".encode()) == 5
    assert cut_end("abcdeé".encode() + b"f") == 8


def test_only_what_is_too_long_has_sections() -> None:
    assert marked(sections_of("ab cd ef gh")) == ["ab cd +", "ef gh"]
    assert marked(sections_of("ab cd e")) == ["ab cd e"]
    assert marked(sections_of("abcdefgh")) == ["abcdefgh+", ""]
    assert marked(sections_of("ab\ncd ef gh")) == ["ab cd +", "ef gh"]


class Portions(io.RawIOBase):
    """A pipe that gives as much as it wants."""

    def __init__(self, data: bytes, size: int) -> None:
        self._data, self._size = io.BytesIO(data), size

    def read1(self, size: int) -> bytes:
        return self._data.read(min(size, self._size))


def from_pipe(data: bytes, size: int) -> Iterator[str]:
    source = ArrivingLines(Portions(data, size), "pipe", longest=8)
    while taken := source.take(3, wait=True):
        yield from taken


@given(st.lists(st.text("ab €\r", max_size=30), max_size=5), st.booleans(), st.integers(1, 7))
def test_sections_make_the_lines_and_are_the_same_however_they_arrive(lines: list[str], ended: bool, size: int) -> None:
    lines = [line.rstrip("\r") for line in lines]
    data = "\n".join(lines).encode() + (b"\n" if ended and lines else b"")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compressed, "SECTION_BYTES", 8)
        raw = list(read_sections(io.BytesIO(data).readline))
        found = list(decode_lines(raw, "a"))
        piped = list(from_pipe(data, size))
    assert b"".join(raw) == data
    assert all(len(one) <= 9 for one in raw)
    joined, begun = [], ""
    for text in found:
        begun += text
        if not isinstance(text, Begun):
            joined.append(begun)
            begun = ""
    assert begun == ""
    assert joined == (data.decode().removesuffix("\n").split("\n") if data else [])
    assert marked(piped) == marked(found)


def test_an_error_names_line_and_byte_behind_sections_too(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"one\nab cd ef gh\nab cd ef \xff\n")
    with pytest.raises(DataError, match=r"a, line 3: byte 10 \(0xff\) is not UTF-8"):
        list(read_in_sections(path))


def test_sections_are_bytes_that_say_that_they_go_on() -> None:
    first, last = read_sections(io.BytesIO(b"ab cd ef gh\n").readline)
    assert (type(first), type(last)) == (BegunBytes, bytes)
