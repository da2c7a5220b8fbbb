import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmt.io import lines as cutting
from nmt.io.lines import LineCutter


def cutting_of(chunks: Iterator[bytes]) -> LineCutter:
    return LineCutter(chunks, "a.txt", "error")


def taken(chunks: Iterator[bytes], size: int) -> list[tuple[int, bytes]]:
    cutter = cutting_of(chunks)
    found = []
    while lines := cutter.reach(size):
        found.append((lines, cutter.take(lines).data))
    return found


def test_blobs_hold_as_many_lines_as_asked_for_across_chunks() -> None:
    assert taken(iter([b"a\nb", b"b\n", b"c\nd\ne"]), 2) == [(2, b"a\nbb\n"), (2, b"c\nd\n"), (1, b"e")]


@pytest.mark.parametrize("data", [b"", b"\n", b"a", b"a\n", b"\n\n", b"\na"])
def test_an_empty_line_is_a_line_but_the_end_of_the_last_one_is_not(data: bytes) -> None:
    blobs = taken(iter([data] if data else []), 10)
    assert sum(lines for lines, _ in blobs) == data.count(b"\n") + (not data.endswith(b"\n") and data != b"")
    assert b"".join(blob for _, blob in blobs) == data


def test_fewer_lines_may_be_taken_than_can_be_reached() -> None:
    cutter = cutting_of(iter([b"a\nb\nc\nd\n"]))
    assert cutter.reach(3) == 3
    assert (cutter.take(1).data, cutter.taken) == (b"a\n", 1)
    assert cutter.reach(2) == 2
    assert (cutter.take(2).data, cutter.taken) == (b"b\nc\n", 3)
    assert cutter.count_all() == 4
    assert cutter.reach(1) == 0


def test_long_lines_are_taken_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutting, "BYTES_AT_ONCE", 6)
    lines = [b"ab\n", b"cd\n", b"e\n", b"123456789\n", b"f\n"]
    assert taken(iter(lines), 4) == [(2, b"ab\ncd\n"), (1, b"e\n"), (1, b"123456789\n"), (1, b"f\n")]


def test_nothing_is_read_before_it_is_needed() -> None:
    def chunks() -> Iterator[bytes]:
        yield b"a\nb\n"
        raise AssertionError

    cutter = cutting_of(chunks())
    assert cutter.reach(2) == 2
    assert cutter.take(2).data == b"a\nb\n"


@given(
    chunks=st.lists(st.text(alphabet="ab\n", min_size=1, max_size=8).map(str.encode), max_size=8),
    size=st.integers(1, 5),
)
def test_joined_blobs_are_the_data_and_none_ends_within_a_line(chunks: list[bytes], size: int) -> None:
    blobs = taken(iter(chunks), size)
    assert b"".join(blob for _, blob in blobs) == b"".join(chunks)
    assert all(blob.endswith(b"\n") for _, blob in blobs[:-1])
    assert all(lines == len(blob.splitlines()) and lines <= size for lines, blob in blobs)


@given(
    lines=st.lists(st.text(alphabet="ab", max_size=12).map(str.encode), max_size=8),
    ended=st.booleans(),
    size=st.integers(1, 5),
    chunk=st.integers(1, 5),
)
def test_lines_that_are_too_long_are_empty_and_their_places_known(
    lines: list[bytes], ended: bool, size: int, chunk: int
) -> None:
    data = b"\n".join(lines) + (b"\n" if ended and lines else b"")
    expected = data.removesuffix(b"\n").split(b"\n") if data else []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cutting, "LONGEST_LINE", 5)
        cutter = cutting_of(iter([data[start : start + chunk] for start in range(0, len(data), chunk)]))
        found: list[bytes] = []
        too_long: list[int] = []
        while reached := cutter.reach(size):
            taken = cutter.take(reached)
            too_long += [len(found) + row for row in taken.too_long]
            found += taken.data.removesuffix(b"\n").split(b"\n")
    assert found == [line if len(line) <= 5 else b"" for line in expected]
    assert too_long == [row for row, line in enumerate(expected) if len(line) > 5]


def test_a_line_without_an_end_takes_no_memory() -> None:
    chunk = bytes(cutting.LONGEST_LINE)
    tracemalloc.start()
    try:
        cutter = cutting_of(chunk[:] for _ in range(100))
        assert cutter.reach(10) == 1
        lines = cutter.take(1)
        assert (lines.data, lines.too_long) == (b"\n", (0,))
        assert tracemalloc.get_traced_memory()[1] < 4 * cutting.LONGEST_LINE
    finally:
        tracemalloc.stop()
