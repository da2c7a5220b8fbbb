import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmt.errors import DataError
from nmt.io.lines import decode_lines, normalise, read_lines


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
