import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmt.errors import DataError
from nmt.io.lines import Lines, OnBadUtf8, decode_lines, normalise


def lines(data: bytes, *, first: int = 1, on_bad_utf8: OnBadUtf8 = "error") -> Lines:
    return Lines(data, data.count(b"\n") + (not data.endswith(b"\n")), "a.txt", first, on_bad_utf8)


def test_lines_end_at_newlines_alone_and_are_composed_and_stripped() -> None:
    found = lines(" cafe\u0301 \r\n\n\u3000a\u2028b\x0b\x0cc\0\n".encode()).texts()
    assert found == ["caf\u00e9", "", "a\u2028b\x0b\x0cc\0"]


def test_a_byte_order_mark_is_dropped_at_the_start_of_a_file_only() -> None:
    assert lines(b"\xef\xbb\xbfa\n").texts() == ["a"]
    assert lines(b"\xef\xbb\xbfa\n", first=2).texts() == ["\ufeffa"]


def test_bad_bytes_name_the_line_in_the_file_and_the_place_in_the_line() -> None:
    with pytest.raises(DataError, match=r"^a\.txt, line 12: byte 3 \(0xff\) is not UTF-8; --on-bad-utf8 replace"):
        lines(b"good\nok\xff\n", first=11).texts()
    assert lines(b"good\nok\xff\n", on_bad_utf8="replace").texts() == ["good", "ok\ufffd"]


@given(st.text(alphabet=st.characters(codec="utf-8") | st.sampled_from("\n\r\t e\u0301\u0345\u1100\u1161")))
def test_texts_are_what_they_are_line_by_line(text: str) -> None:
    data = text.encode() + b"\n"
    raw = [line + b"\n" for line in data.removesuffix(b"\n").split(b"\n")]
    expected = [normalise(line) for line in decode_lines(raw, "a")]
    assert lines(data).texts() == expected


@given(st.binary())
def test_any_bytes_are_replaced_as_line_by_line(data: bytes) -> None:
    raw = [line + b"\n" for line in data.split(b"\n")]
    expected = [normalise(line) for line in decode_lines(raw, "a", "replace")]
    assert lines(data + b"\n", on_bad_utf8="replace").texts() == expected
