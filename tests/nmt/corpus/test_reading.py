import bz2
import gzip
import lzma
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from nmt.corpus.reading import decode_lines, normalise, read_lines
from nmt.errors import DataError

COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".bz2": bz2.compress,
    ".zst": zstandard.compress,
}


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
@pytest.mark.parametrize("suffix", ["", *COMPRESS])
def test_every_kind_of_file_gives_the_same_lines(tmp_path: Path, suffix: str, data: str, lines: list[str]) -> None:
    path = written(tmp_path / f"a.txt{suffix}", COMPRESS.get(suffix, bytes)(data.encode()))
    assert list(read_lines(path)) == lines


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


@pytest.mark.parametrize("suffix", COMPRESS)
def test_a_truncated_archive_is_an_error_that_names_it(tmp_path: Path, suffix: str) -> None:
    whole = COMPRESS[suffix](os.urandom(5000).hex().encode())
    path = written(tmp_path / f"a{suffix}", whole[: len(whole) // 2])
    with pytest.raises(DataError, match=rf"a\{suffix} is a damaged or incomplete \{suffix} file: "):
        list(read_lines(path))


@pytest.mark.parametrize("suffix", COMPRESS)
def test_plain_text_with_the_name_of_an_archive_is_an_error(tmp_path: Path, suffix: str) -> None:
    path = written(tmp_path / f"a{suffix}", "this is plain text\n" * 10)
    with pytest.raises(DataError, match=rf"a\{suffix} is a damaged or incomplete \{suffix} file: "):
        list(read_lines(path))


def test_zst_frames_follow_one_another(tmp_path: Path) -> None:
    path = written(tmp_path / "a.zst", zstandard.compress(b"one\ntw") + zstandard.compress(b"o\nthree"))
    assert list(read_lines(path)) == ["one", "two", "three"]


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^cannot read .*none\.txt: No such file or directory$"):
        list(read_lines(tmp_path / "none.txt"))


def test_a_folder_is_no_text_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^cannot read .*: Is a directory$"):
        list(read_lines(tmp_path))


def test_text_is_composed_and_stripped_but_inner_space_stays() -> None:
    assert normalise(" \u3000cafe\u0301  noir\t") == "caf\u00e9  noir"
