from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmt.corpus.sources import cutting
from nmt.corpus.sources.cutting import LineCutter


def taken(chunks: Iterator[bytes], size: int) -> list[tuple[int, bytes]]:
    cutter = LineCutter(chunks)
    found = []
    while lines := cutter.reach(size):
        found.append((lines, cutter.take(lines)))
    return found


def test_blobs_hold_as_many_lines_as_asked_for_across_chunks() -> None:
    assert taken(iter([b"a\nb", b"b\n", b"c\nd\ne"]), 2) == [(2, b"a\nbb\n"), (2, b"c\nd\n"), (1, b"e")]


@pytest.mark.parametrize("data", [b"", b"\n", b"a", b"a\n", b"\n\n", b"\na"])
def test_an_empty_line_is_a_line_but_the_end_of_the_last_one_is_not(data: bytes) -> None:
    blobs = taken(iter([data] if data else []), 10)
    assert sum(lines for lines, _ in blobs) == data.count(b"\n") + (not data.endswith(b"\n") and data != b"")
    assert b"".join(blob for _, blob in blobs) == data


def test_fewer_lines_may_be_taken_than_can_be_reached() -> None:
    cutter = LineCutter(iter([b"a\nb\nc\nd\n"]))
    assert cutter.reach(3) == 3
    assert (cutter.take(1), cutter.taken) == (b"a\n", 1)
    assert cutter.reach(2) == 2
    assert (cutter.take(2), cutter.taken) == (b"b\nc\n", 3)
    assert cutter.count_all() == 4
    assert cutter.reach(1) == 0


def test_long_lines_are_taken_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutting, "LONGEST", 6)
    lines = [b"ab\n", b"cd\n", b"e\n", b"123456789\n", b"f\n"]
    assert taken(iter(lines), 4) == [(2, b"ab\ncd\n"), (1, b"e\n"), (1, b"123456789\n"), (1, b"f\n")]


def test_nothing_is_read_before_it_is_needed() -> None:
    def chunks() -> Iterator[bytes]:
        yield b"a\nb\n"
        raise AssertionError

    cutter = LineCutter(chunks())
    assert cutter.reach(2) == 2
    assert cutter.take(2) == b"a\nb\n"


@settings(deadline=None)
@given(
    chunks=st.lists(st.text(alphabet="ab\n", min_size=1, max_size=8).map(str.encode), max_size=8),
    size=st.integers(1, 5),
)
def test_joined_blobs_are_the_data_and_none_ends_within_a_line(chunks: list[bytes], size: int) -> None:
    blobs = taken(iter(chunks), size)
    assert b"".join(blob for _, blob in blobs) == b"".join(chunks)
    assert all(blob.endswith(b"\n") for _, blob in blobs[:-1])
    assert all(lines == len(blob.splitlines()) and lines <= size for lines, blob in blobs)
