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

from nmt.corpus.reading import Line, Pair, TextFiles, decode_lines, normalise, read_lines, read_text
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


def pairs(src: Path, tgt: Path) -> list[Pair]:
    return list(TextFiles(src=(src,), tgt=(tgt,)).pairs())


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


def test_pairs_carry_their_origin_across_files(tmp_path: Path) -> None:
    paths = [written(tmp_path / name, text) for name, text in (("a", "x\ny"), ("b", "X\nY"), ("c", "z"), ("d", "Z"))]
    files = TextFiles(src=(paths[0], paths[2]), tgt=(paths[1], paths[3]))
    assert list(files.pairs()) == [
        ("x", "X", str(paths[0]), 1),
        ("y", "Y", str(paths[0]), 2),
        ("z", "Z", str(paths[2]), 1),
    ]


@pytest.mark.parametrize(("src_lines", "tgt_lines"), [(10, 9), (9, 10), (3, 0)])
def test_different_line_counts_name_both_files_and_both_counts(tmp_path: Path, src_lines: int, tgt_lines: int) -> None:
    src, tgt = written(tmp_path / "a.en", "x\n" * src_lines), written(tmp_path / "a.fr", "y\n" * tgt_lines)
    with pytest.raises(DataError) as caught:
        pairs(src, tgt)
    assert str(caught.value) == f"{src} has {src_lines} lines but {tgt} has {tgt_lines}; parallel files must match"


def test_every_source_file_needs_its_target_file() -> None:
    with pytest.raises(DataError, match=r"^2 source files but 0 target files.*\(source: a, b; target: none\)$"):
        TextFiles(src=(Path("a"), Path("b")))


def test_tsv_takes_the_first_two_columns_and_blank_lines_are_empty_pairs(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tsv", "Go.\tVa !\tCC-BY\n\nHi.\tSalut\n")
    assert list(TextFiles(tsv=(path,)).pairs()) == [
        ("Go.", "Va !", str(path), 1),
        ("", "", str(path), 2),
        ("Hi.", "Salut", str(path), 3),
    ]


def test_a_tsv_line_without_a_tab_names_file_and_line(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tsv", "Go.\tVa !\nHi. Salut\n")
    with pytest.raises(DataError, match=r"a\.tsv, line 2: found 1 column, expected 2: source <tab> target"):
        list(TextFiles(tsv=(path,)).pairs())


def test_reading_does_not_run_ahead(tmp_path: Path) -> None:
    src, tgt = written(tmp_path / "a.en", b"x\n\xff\n"), written(tmp_path / "a.fr", "y\nz\n")
    assert next(TextFiles(src=(src,), tgt=(tgt,)).pairs()).src == "x"


def test_text_is_read_line_by_line_with_its_origin_and_blank_lines(tmp_path: Path) -> None:
    one, two = tmp_path / "one.gz", tmp_path / "two"
    one.write_bytes(gzip.compress(b" cafe\xcc\x81 \n \t\n"))
    two.write_bytes(b"x\ty")
    assert list(read_text([one, two])) == [
        Line("caf\u00e9", str(one), 1),
        Line("", str(one), 2),
        Line("x\ty", str(two), 1),
    ]


def test_bad_bytes_of_a_text_are_an_error_or_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\xff\n")
    with pytest.raises(DataError, match=r"a, line 1: byte 1 \(0xff\) is not UTF-8"):
        list(read_text([tmp_path / "a"]))
    assert [line.text for line in read_text([tmp_path / "a"], "replace")] == ["\ufffd"]
