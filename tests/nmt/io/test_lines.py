import gzip
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmt.errors import DataError
from nmt.io import lines as cutting
from nmt.io.lines import LineCutter, Lines, OnBadUtf8, clean, decode_lines, normalise, normaliser, read_lines


def written(path: Path, data: str | bytes) -> Path:
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def test_only_newlines_end_lines(tmp_path: Path) -> None:
    text = "a\u2028b\u0085c\vd\fe\0f\rg\nh\n"
    assert list(read_lines(written(tmp_path / "a.txt", text))) == ["a\u2028b\u0085c\vd\fe\0f\rg", "h"]


def test_windows_line_ends_lose_one_carriage_return(tmp_path: Path) -> None:
    assert list(read_lines(written(tmp_path / "a.txt", "a\r\nb\r\r\n\r\n"))) == ["a", "b\r", ""]


@pytest.mark.parametrize(
    ("data", "lines"), [("", []), ("\n", [""]), ("a", ["a"]), ("a\n", ["a"]), ("a\n\nb", ["a", "", "b"])]
)
def test_a_file_and_a_compressed_one_give_the_same_lines(tmp_path: Path, data: str, lines: list[str]) -> None:
    assert list(read_lines(written(tmp_path / "a.txt", data))) == lines
    assert list(read_lines(written(tmp_path / "a.txt.gz", gzip.compress(data.encode())))) == lines


@given(text=st.text(alphabet=st.characters(codec="utf-8") | st.sampled_from("\n\r\t ")))
def test_joining_the_lines_of_a_text_gives_it_back(text: str) -> None:
    raw = [line + b"\n" for line in text.encode().split(b"\n")]
    expected = [line.removesuffix("\r") for line in text.removeprefix("\ufeff").split("\n")]
    assert list(decode_lines(raw, "text")) == expected


def test_a_byte_order_mark_is_removed_at_the_start_of_the_file_only(tmp_path: Path) -> None:
    assert list(read_lines(written(tmp_path / "a.txt", "\ufeffa\n\ufeffb\n"))) == ["a", "\ufeffb"]


def test_bad_utf8_names_file_line_and_byte(tmp_path: Path) -> None:
    path = written(tmp_path / "a.txt", b"good\nbad \xff here\n")
    with pytest.raises(DataError, match=r"a\.txt, line 2: byte 5 \(0xff\) is not UTF-8; --on-bad-utf8 replace"):
        list(read_lines(path))


def test_bad_utf8_becomes_the_replacement_character_on_request(tmp_path: Path) -> None:
    path = written(tmp_path / "a.txt", b"good\nbad \xff here\n")
    assert list(read_lines(path, "replace")) == ["good", "bad \ufffd here"]


def test_text_is_composed_and_stripped_but_inner_space_stays() -> None:
    assert normalise(" \u3000cafe\u0301  noir\t") == "caf\u00e9  noir"


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


FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
WALES = "\U0001f3f4\U000e0067\U000e0062\U000e0077\U000e006c\U000e0073\U000e007f"
HEART_ON_FIRE = "\u2764\ufe0f\u200d\U0001f525"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Haus\u00adt\u00fcr", "Haust\u00fcr"),
        ("a\u200bb \u2060c\ufeffd", "ab cd"),
        ("10\u00a0km, 1\u202f234\u2009kg\u3000x\ty\x0bz", "10 km, 1 234 kg x y z"),
        ("\u202bone\u202c \u200etwo\u200f \u2066three\u2069", "one two three"),
        ("a\0b\x1bc\x7fd\x9fe", "abcde"),
        ("e\u200b\u0301", "\u00e9"),
        ("\u200b \u00ad\ufeff", ""),
        ("\u00a0a\u200b ", "a"),
    ],
)
def test_what_nobody_sees_is_no_part_of_a_text(text: str, expected: str) -> None:
    assert clean(normalise(text)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "\u0645\u06cc\u200c\u0631\u0648\u0645",  # Persian
        "\u0915\u094d\u200d\u0937 \u0d28\u0d4d\u200d",  # Devanagari, Malayalam
        FAMILY,
        HEART_ON_FIRE,
        WALES,
        "\u180b\u180e\u1820",  # Mongolian
        "\u06dd1 \ufffc \ue000 \u0378",  # seen, or nobody knows
        "two  blanks, and e\u0301\u0300"[:-2],
    ],
)
def test_what_scripts_and_emoji_are_written_with_stays(text: str) -> None:
    assert clean(text) == text


def test_joiners_go_where_no_script_needs_them() -> None:
    assert clean("a\u200db \u200cc \u6771\u200d\u4eac") == "ab c \u6771\u4eac"
    assert clean("\u0645\u200c\u200c\u06cc") == "\u0645\u200c\u06cc"
    assert clean("x\U000e0067\U000e007f") == "x"


AWKWARD = st.sampled_from(
    "\u200c\u200d\u200b\u00ad\u0301\u0327ea\u0628\u0915\u094d \u2764\ufe0f\U0001f3f4\U000e0067\u00a0\u1100\u1161\u11a8"
)


@given(st.text(st.one_of(st.characters(exclude_categories=["Cs"]), AWKWARD)))
def test_a_cleaned_text_is_normalised_and_cleaning_it_again_changes_nothing(text: str) -> None:
    cleaned = clean(normalise(text))
    assert normalise(cleaned) == cleaned
    assert clean(cleaned) == cleaned


@dataclass
class Reads:
    clean_invisible: bool
    lowercase: bool


def test_the_settings_choose() -> None:
    text = " A\u00adB "
    assert normaliser(Reads(False, False))(text) == "A\u00adB"
    assert normaliser(Reads(True, False))(text) == "AB"
    assert normaliser(Reads(False, True))(text) == "a\u00adb"
    assert normaliser(Reads(True, True))(text) == "ab"


@given(
    st.text(st.one_of(st.characters(exclude_categories=["Cs"]), AWKWARD, st.sampled_from("\u0130\u03a3\u1e9eA"))),
    st.booleans(),
    st.booleans(),
)
def test_what_was_read_is_read_as_it_is(text: str, cleans: bool, lowers: bool) -> None:
    normalise = normaliser(Reads(cleans, lowers))
    assert normalise(normalise(text)) == normalise(text)
