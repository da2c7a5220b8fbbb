import io
import os
from collections.abc import Iterator

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from nmt.errors import DataError
from nmt.streams import arriving_blocks, in_blocks


class Pipe:
    """Gives one prepared chunk for each read."""

    def __init__(self, *chunks: bytes) -> None:
        self.chunks = list(chunks)

    def read1(self, size: int, /) -> bytes:
        return self.chunks.pop(0) if self.chunks else b""


def test_lines_are_cut_into_blocks_and_the_last_may_be_short() -> None:
    assert list(in_blocks("abcde", 2)) == [["a", "b"], ["c", "d"], ["e"]]


def test_no_lines_are_no_blocks() -> None:
    assert list(in_blocks([], 2)) == []


def test_what_cannot_be_read_fails_before_the_first_block_is_asked_for() -> None:
    def broken() -> Iterator[str]:
        raise DataError("cannot read it")
        yield ""

    with pytest.raises(DataError, match="cannot read it"):
        in_blocks(broken(), 2)


def test_only_one_block_is_read_ahead() -> None:
    source = iter("abcdef")
    next(in_blocks(source, 2))
    assert list(source) == ["c", "d", "e", "f"]


def test_each_block_is_what_has_arrived_and_a_line_waits_for_its_end() -> None:
    blocks = arriving_blocks(Pipe(b"one\ntwo\nth", b"r", b"ee\r\n", b"\n\n", b"four"), "<stdin>")
    assert list(blocks) == [["one", "two"], ["three"], ["", ""], ["four"]]


def test_a_line_is_there_before_the_next_one_is_sent() -> None:
    reading, writing = os.pipe()
    with open(reading, "rb") as stream, open(writing, "wb", buffering=0) as sender:  # noqa: PTH123 (descriptors)
        blocks = arriving_blocks(stream, "<stdin>")
        sender.write(b"hello\n")
        assert next(blocks) == ["hello"]
        sender.write(b"world\n")
        assert next(blocks) == ["world"]


def test_a_character_may_arrive_in_two_halves() -> None:
    assert list(arriving_blocks(Pipe(b"caf\xc3", b"\xa9\n"), "<stdin>")) == [["café"]]


def test_bad_bytes_name_the_line_of_the_whole_stream() -> None:
    blocks = arriving_blocks(Pipe(b"a\nb\n", b"c\n\xff\n"), "<stdin>")
    assert next(blocks) == ["a", "b"]
    with pytest.raises(DataError, match=r"^<stdin>, line 4: byte 1 \(0xff\) is not UTF-8"):
        next(blocks)
    assert list(arriving_blocks(Pipe(b"\xff\n"), "<stdin>", "replace")) == [["\ufffd"]]


@given(st.binary(), st.integers(1, 7))
def test_blocks_hold_the_lines_of_the_stream_however_it_arrives(content: bytes, size: int) -> None:
    assume(not content.startswith(b"\xef\xbb\xbf"))  # a byte order mark is no text
    chunks = [content[start : start + size] for start in range(0, len(content), size)]
    found = [line for block in arriving_blocks(Pipe(*chunks), "<stdin>", "replace") for line in block]
    lines = content.removesuffix(b"\n").split(b"\n") if content else []
    assert found == [line.removesuffix(b"\r").decode("utf-8", "replace") for line in lines]


def test_an_empty_stream_has_no_blocks() -> None:
    assert list(arriving_blocks(io.BytesIO(), "<stdin>")) == []
