import gzip
import re
from pathlib import Path

import pytest

from nmt.corpus.plain import refuse_documents, refuse_markup
from nmt.errors import DataError


@pytest.mark.parametrize(
    ("name", "cure"),
    [
        ("a.docx", "save it as plain text"),
        ("a.PDF", "save it as plain text"),
        ("a.srt.gz", "take its text out first"),
        ("a.tmx", "as a corpus, nmt prepare --corpus reads it"),
    ],
)
def test_names_of_documents_are_refused(tmp_path: Path, name: str, cure: str) -> None:
    with pytest.raises(DataError, match=rf"{re.escape(name)} is not plain text, by its name: {cure}"):
        refuse_documents(tmp_path / name)


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
        refuse_documents(tmp_path / "text.en")


@pytest.mark.parametrize("name", ["a.en", "a.txt", "a.txt.gz", "a.2024-01", "a.md", "a"])
def test_text_is_read(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"<p>Pk, a text\n<html>")
    refuse_documents(tmp_path / name)
    refuse_markup(tmp_path / name)


@pytest.mark.parametrize("name", ["a.html", "a.HTM", "a.xhtml", "a.xml.gz"])
def test_names_of_markup_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=rf"{re.escape(name)} is not plain text, by its name: take its text out first"):
        refuse_markup(tmp_path / name)


@pytest.mark.parametrize("first", ["\ufeff<!DOCTYPE html>", "\n <html lang='en'>", '<?xml version="1.0"?>', "<HTML>"])
def test_first_lines_of_markup_are_refused_under_any_name(tmp_path: Path, first: str) -> None:
    (tmp_path / "text.en").write_text(first, encoding="utf-8")
    with pytest.raises(DataError, match=r"text\.en is not plain text, but HTML or XML: leave it$"):
        refuse_markup(tmp_path / "text.en", "leave it")
