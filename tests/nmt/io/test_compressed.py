import bz2
import gzip
import lzma
import os
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zstandard

from nmt.corpus import FORMATS
from nmt.errors import DataError
from nmt.io.compressed import CHUNK, Meter, read_chunks, read_raw_lines, refuse_documents, refuse_markup, split_suffix

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
