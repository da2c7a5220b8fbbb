import bz2
import gzip
import io
import lzma
import os
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from nmt.corpus import FORMATS
from nmt.errors import DataError
from nmt.io import compressed
from nmt.io import lines as lines_module
from nmt.io.arriving import ArrivingLines
from nmt.io.compressed import (
    CHUNK,
    BegunBytes,
    Meter,
    cut_end,
    read_chunks,
    read_raw_lines,
    read_sections,
    refuse_documents,
    refuse_markup,
    split_suffix,
)
from nmt.io.lines import Begun, decode_lines, read_in_sections, sections_of

COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".bz2": bz2.compress,
    ".zst": zstandard.compress,
}

READ: list[Callable[[Path], Iterator[bytes]]] = [lambda path: read_chunks(path, Meter()), read_raw_lines]
"""How a file can be read: in chunks and by lines."""


@pytest.mark.parametrize("suffix", COMPRESS)
@pytest.mark.parametrize("data", [b"", b"\n", b"a", os.urandom(CHUNK + 10)], ids=["empty", "newline", "byte", "long"])
def test_every_compression_gives_the_same_bytes_in_chunks(tmp_path: Path, suffix: str, data: bytes) -> None:
    path = tmp_path / f"a.txt{suffix}"
    path.write_bytes(COMPRESS[suffix](data))
    meter = Meter()
    chunks = list(read_chunks(path, meter))
    assert b"".join(chunks) == data
    assert meter.bytes == (path.stat().st_size if data else 0)
    list(read_chunks(path, meter))
    assert meter.bytes == (2 * path.stat().st_size if data else 0)
    assert all(0 < len(chunk) <= CHUNK for chunk in chunks)


@pytest.mark.parametrize("suffix", [suffix for suffix in COMPRESS if suffix])
@pytest.mark.parametrize("cut", [1, 20, -1])
@pytest.mark.parametrize("read", READ, ids=["chunks", "lines"])
def test_a_truncated_archive_is_named(
    tmp_path: Path, read: Callable[[Path], Iterator[bytes]], suffix: str, cut: int
) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(COMPRESS[suffix](os.urandom(5000))[:cut])
    with pytest.raises(DataError, match=rf"a\{suffix} is a damaged or incomplete \{suffix} file: "):
        list(read(path))


@pytest.mark.parametrize("suffix", [suffix for suffix in COMPRESS if suffix])
def test_plain_text_with_the_name_of_an_archive_is_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"this is plain text\n" * 10)
    with pytest.raises(DataError, match=rf"a\{suffix} is a damaged or incomplete \{suffix} file: "):
        list(read_chunks(path, Meter()))


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".bz2", ".zst"])
def test_archives_that_follow_one_another_are_one_text(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(COMPRESS[suffix](b"one\ntw") + COMPRESS[suffix](b"o\nthree"))
    assert list(read_raw_lines(path)) == [b"one\n", b"two\n", b"three"]


@pytest.mark.parametrize("read", READ, ids=["chunks", "lines"])
def test_a_missing_file_and_a_folder_are_one_line(tmp_path: Path, read: Callable[[Path], Iterator[bytes]]) -> None:
    with pytest.raises(DataError, match=r"^cannot read .*none\.txt: No such file or directory$"):
        list(read(tmp_path / "none.txt"))
    with pytest.raises(DataError, match=r"^cannot read .*: Is a directory$"):
        list(read(tmp_path))


def test_lines_of_a_pipe_come_as_they_are_written(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    read = threading.Event()

    def write() -> None:
        with (tmp_path / "pipe").open("wb", buffering=0) as pipe:
            pipe.write(b"one\n")
            read.wait(10)
            pipe.write(b"two\n")

    writer = threading.Thread(target=write)
    writer.start()
    lines = read_raw_lines(tmp_path / "pipe")
    assert next(lines) == b"one\n"
    read.set()
    assert list(lines) == [b"two\n"]
    writer.join()


def test_a_suffix_is_found_below_that_of_the_compression() -> None:
    assert split_suffix(Path("a/b.tsv")) == (".tsv", "")
    assert split_suffix(Path("a/b.v1.TSV.GZ")) == (".tsv", ".gz")
    assert split_suffix(Path("a.gz")) == ("", ".gz")
    assert split_suffix(Path("a")) == ("", "")


@pytest.mark.parametrize(
    ("name", "cure"),
    [
        ("a.docx", "save it as plain text"),
        ("a.PDF", "save it as plain text"),
        ("a.srt.gz", "extract its text first"),
        ("a.tmx", "as a corpus, nmt prepare --corpus reads it"),
    ],
)
def test_names_of_documents_are_refused(tmp_path: Path, name: str, cure: str) -> None:
    with pytest.raises(DataError, match=rf"{re.escape(name)} is not plain text, by its name: {cure}"):
        refuse_documents(tmp_path / name, FORMATS)


@pytest.mark.parametrize(
    ("first", "what"),
    [
        (b"PK\x03\x04\x14\x00", "a zip archive, as office documents are: save it"),
        (b"%PDF-1.7\n", "a PDF: save it"),
        (gzip.compress(b"text\n", mtime=0), r"compressed: its name has to end in one of \.gz"),
    ],
)
def test_first_bytes_of_documents_are_refused_under_any_name(tmp_path: Path, first: bytes, what: str) -> None:
    (tmp_path / "text.en").write_bytes(first)
    with pytest.raises(DataError, match=rf"text\.en is not plain text, but {what}"):
        refuse_documents(tmp_path / "text.en", FORMATS)


@pytest.mark.parametrize("name", ["a.en", "a.txt", "a.txt.gz", "a.2024-01", "a.md", "a"])
def test_text_is_read(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"<p>Pk, a text\n<html>")
    refuse_documents(tmp_path / name, FORMATS)
    refuse_markup(tmp_path / name)


@pytest.mark.parametrize("name", ["a.html", "a.HTM", "a.xhtml", "a.xml.gz"])
def test_names_of_markup_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=rf"{re.escape(name)} is not plain text, by its name: extract its text first"):
        refuse_markup(tmp_path / name)


@pytest.mark.parametrize("first", ["\ufeff<!DOCTYPE html>", "\n <html lang='en'>", '<?xml version="1.0"?>', "<HTML>"])
def test_first_lines_of_markup_are_refused_under_any_name(tmp_path: Path, first: str) -> None:
    (tmp_path / "text.en").write_text(first, encoding="utf-8")
    with pytest.raises(DataError, match=r"text\.en is not plain text, but HTML or XML: leave it$"):
        refuse_markup(tmp_path / "text.en", "leave it")


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
