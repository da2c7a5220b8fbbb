import errno
import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from nmt.errors import DataError
from nmt.io.arriving import CHARACTERS_AT_ONCE, ArrivingLines, FileLines, LineSource

ROOT = Path(__file__).parents[3]
StartProcess = Callable[..., "subprocess.Popen[Any]"]


class Pipe:
    """Gives one prepared chunk for each read."""

    def __init__(self, *chunks: bytes) -> None:
        self.chunks = list(chunks)

    def read1(self, size: int, /) -> bytes:
        return self.chunks.pop(0) if self.chunks else b""


class Flood:
    """Gives short lines without end."""

    def __init__(self) -> None:
        self.given = 0

    def read1(self, size: int, /) -> bytes:
        self.given += size
        return b"a line\n" * (size // 7)


def eventually(what: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 120
    while not what() and time.monotonic() < deadline:
        time.sleep(0.005)
    return what()


def take_all(source: LineSource, limit: int = 3) -> list[str]:
    lines = []
    while not source.ended:
        lines += source.take(limit, wait=True)
    return lines


@pytest.fixture
def pipe() -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """Yield what reads from a pipe, and what writes into it at once."""
    reading, writing = os.pipe()
    with open(reading, "rb") as stream, open(writing, "wb", buffering=0) as sender:  # noqa: PTH123 (descriptors)
        yield stream, sender


def broken_after(*lines: str) -> Iterator[str]:
    yield from lines
    raise DataError("cannot read it")


def test_as_many_lines_of_a_file_are_taken_as_are_asked_for() -> None:
    source = FileLines("abcde")
    assert source.take(2, wait=False) == ["a", "b"]
    assert source.take(2, wait=True) == ["c", "d"]
    assert not source.ended
    assert source.take(2, wait=False) == ["e"]
    assert source.ended
    assert source.take(2, wait=True) == []


def test_a_file_without_lines_has_ended() -> None:
    assert FileLines([]).ended


def test_of_a_file_one_line_is_read_ahead() -> None:
    lines = iter("abcdef")
    FileLines(lines).take(2, wait=False)
    assert list(lines) == ["d", "e", "f"]


def test_lines_that_are_watched_are_shown_before_they_are_given() -> None:
    shown: list[list[str]] = []
    lines = FileLines("abc")
    lines.watch = shown.append
    assert (lines.take(2, wait=True), shown, lines.ended) == (["a", "b"], [["a", "b"]], False)
    assert (lines.take(2, wait=True), shown[1:], lines.ended) == (["c"], [["c"]], True)


def test_a_file_that_cannot_be_read_fails_before_a_line_is_asked_for() -> None:
    with pytest.raises(DataError, match="cannot read it"):
        FileLines(broken_after())


def test_the_lines_before_an_error_of_a_file_come_first() -> None:
    source = FileLines(broken_after("a", "b", "c"))
    assert source.take(2, wait=False) == ["a", "b"]
    assert source.take(2, wait=False) == ["c"]
    assert not source.ended
    with pytest.raises(DataError, match="cannot read it"):
        source.take(2, wait=False)


HALF = "x" * (CHARACTERS_AT_ONCE // 2)
LONG = ["a", HALF, HALF, "b", 3 * HALF, "c"]


@pytest.mark.parametrize(
    "source_of",
    [FileLines, lambda lines: ArrivingLines(Pipe("\n".join(lines).encode()), "<stdin>")],
    ids=["file", "pipe"],
)
def test_after_so_many_characters_no_more_lines_are_taken(source_of: Callable[[list[str]], LineSource]) -> None:
    source = source_of(LONG)
    taken = [source.take(100, wait=True) for _ in range(3)]
    assert taken == [LONG[:3], LONG[3:5], LONG[5:]]
    assert source.take(1, wait=True) == []
    assert source.ended


def test_without_waiting_only_lines_that_have_arrived_are_taken(pipe: tuple[BinaryIO, BinaryIO]) -> None:
    stream, sender = pipe
    source = ArrivingLines(stream, "<stdin>")
    assert source.take(5, wait=False) == []
    sender.write(b"one\ntwo\nthree\nhal")
    assert source.take(2, wait=True) == ["one", "two"]
    assert source.take(2, wait=False) == ["three"]
    assert source.take(2, wait=False) == []
    assert not source.ended
    sender.write(b"f\n")
    assert source.take(2, wait=True) == ["half"]
    sender.close()
    assert source.take(2, wait=True) == []
    assert source.ended


def test_what_arrives_while_nobody_asks_is_taken_together(pipe: tuple[BinaryIO, BinaryIO]) -> None:
    stream, sender = pipe
    source = ArrivingLines(stream, "<stdin>")
    for line in (b"one\n", b"two\n", b"three\n"):
        sender.write(line)
    sender.close()
    assert eventually(lambda: not source._arrived.ended and source._arrived._all_read)
    assert source.take(9, wait=False) == ["one", "two", "three"]
    assert source.ended


def test_lines_may_arrive_in_any_pieces_and_the_last_may_lack_its_end() -> None:
    source = ArrivingLines(Pipe(b"one\ntwo\nth", b"r", b"ee\r\n", b"\n\ncaf\xc3", b"\xa9\n", b"l", b"ast"), "<stdin>")
    assert take_all(source) == ["one", "two", "three", "", "", "café", "last"]


def test_a_stream_may_be_empty_or_hold_only_an_empty_line() -> None:
    assert take_all(ArrivingLines(io.BytesIO(), "<stdin>")) == []
    assert take_all(ArrivingLines(io.BytesIO(b"\n"), "<stdin>")) == [""]


def test_bad_bytes_come_after_the_lines_before_them_and_name_their_line() -> None:
    source = ArrivingLines(Pipe(b"a\nb\n", b"c\n\xff\nd\n"), "<stdin>")
    assert eventually(lambda: source._arrived._all_read)
    assert source.take(9, wait=False) == ["a", "b", "c"]
    for _ in range(2):
        assert not source.ended
        with pytest.raises(DataError, match=r"^<stdin>, line 4: byte 1 \(0xff\) is not UTF-8"):
            source.take(9, wait=True)


def test_bad_bytes_may_be_replaced() -> None:
    assert take_all(ArrivingLines(Pipe(b"\xff\n"), "<stdin>", "replace")) == ["\ufffd"]


def test_a_stream_that_breaks_gives_its_lines_first() -> None:
    class Breaking(Pipe):
        def read1(self, size: int, /) -> bytes:
            if not self.chunks:
                raise OSError(errno.EIO, "Input/output error")
            return super().read1(size)

    source = ArrivingLines(Breaking(b"a\nb\nlost"), "<stdin>")
    assert source.take(9, wait=True) == ["a", "b"]
    with pytest.raises(DataError, match=r"^cannot read <stdin>: Input/output error$"):
        source.take(9, wait=True)


def test_an_unexpected_error_of_a_stream_reaches_who_takes_the_lines() -> None:
    stream = io.BytesIO()
    stream.close()
    with pytest.raises(ValueError, match="closed file"):
        ArrivingLines(stream, "<stdin>").take(1, wait=True)


def test_a_stream_that_others_made_non_blocking_is_waited_for(pipe: tuple[BinaryIO, BinaryIO]) -> None:
    stream, sender = pipe
    os.set_blocking(stream.fileno(), False)
    source = ArrivingLines(stream, "<stdin>")
    time.sleep(0.05)
    sender.write(b"hello\n")
    assert source.take(1, wait=True) == ["hello"]


def test_about_a_mebibyte_is_read_ahead_and_more_as_lines_are_taken() -> None:
    stream = Flood()
    source = ArrivingLines(stream, "<stdin>")
    assert eventually(lambda: stream.given > 1 << 20)
    time.sleep(0.05)
    first = stream.given
    assert first < (1 << 20) + (1 << 18)
    for _ in range(100):  # about 700 kB
        assert source.take(1000, wait=True) == ["a line"] * 1000
    assert eventually(lambda: stream.given > first + (1 << 19))
    time.sleep(0.05)
    assert stream.given < first + (1 << 20)


def test_a_line_longer_than_what_is_read_ahead_is_one_line(pipe: tuple[BinaryIO, BinaryIO]) -> None:
    stream, sender = pipe
    source = ArrivingLines(stream, "<stdin>")
    writer = threading.Thread(target=lambda: (sender.write(b"x" * 3_000_000 + b"\nend"), sender.close()))
    writer.start()
    assert [len(line) for line in take_all(source)] == [3_000_000, 3]
    writer.join()


@given(st.binary(), st.integers(1, 7), st.integers(1, 4))
def test_lines_are_those_of_the_stream_however_they_arrive(content: bytes, size: int, limit: int) -> None:
    assume(not content.startswith(b"\xef\xbb\xbf"))  # a byte order mark is no text
    chunks = [content[start : start + size] for start in range(0, len(content), size)]
    lines = content.removesuffix(b"\n").split(b"\n") if content else []
    expected = [line.removesuffix(b"\r").decode("utf-8", "replace") for line in lines]
    assert take_all(ArrivingLines(Pipe(*chunks), "<stdin>", "replace"), limit) == expected


def run_with_open_stdin(start_process: StartProcess, code: str, sent: bytes = b"") -> "subprocess.Popen[bytes]":
    """Start Python with a source of its stdin, which stays open; it has said `ready` when this returns."""
    program = f"""
import sys
from nmt.io.arriving import ArrivingLines
source = ArrivingLines(sys.stdin.buffer, "<stdin>")
{code}
"""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = start_process([sys.executable, "-c", program], cwd=ROOT, **pipes)
    process.stdin.write(sent)
    process.stdin.flush()
    assert process.stdout.readline() == b"ready\n"
    return process


@pytest.mark.parametrize("sent", [b"", b"hello\nwor"], ids=["nothing sent", "within a line"])
def test_a_program_ends_while_its_stdin_is_waited_for(start_process: StartProcess, sent: bytes) -> None:
    process = run_with_open_stdin(start_process, "import time; print('ready', flush=True); time.sleep(0.2)", sent)
    assert process.wait(timeout=120) == 0
    assert process.communicate() == (b"", b"")


def test_a_program_ends_while_more_has_arrived_than_is_read_ahead(start_process: StartProcess) -> None:
    process = run_with_open_stdin(
        start_process, "import time; print('ready', flush=True); time.sleep(0.2)", b"a line\n" * 165_000
    )
    assert process.wait(timeout=120) == 0
    assert process.communicate() == (b"", b"")


def test_ctrl_c_ends_who_waits_for_a_line(start_process: StartProcess) -> None:
    code = "try: print('ready', flush=True), source.take(1, wait=True)\nexcept KeyboardInterrupt: sys.exit(130)"
    process = run_with_open_stdin(start_process, code)
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=120) == 130
    assert process.communicate() == (b"", b"")
