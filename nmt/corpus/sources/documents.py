"""Files that are taken for plain text by mistake: their names or their first bytes say that they are something else."""

import re
from pathlib import Path
from typing import Final

from nmt.corpus.reading import BOM
from nmt.corpus.sources import FORMATS
from nmt.corpus.sources.compressed import COMPRESSIONS, split_suffix
from nmt.errors import DataError

_SAVE: Final = "save it as plain text in UTF-8, one sentence a line"
_TAKE_OUT: Final = "take its text out first, one sentence a line: all that is around it would be taken for text"
_CORPUS: Final = f"as a corpus, nmt prepare --corpus reads it; else {_TAKE_OUT}"
_NAME: Final = f"its name has to end in one of {' '.join(COMPRESSIONS)}"

_SUFFIXES: Final = {
    **dict.fromkeys((".doc", ".docx", ".odt", ".rtf", ".pdf", ".xls", ".xlsx", ".ods", ".pptx", ".epub"), _SAVE),
    **dict.fromkeys((".srt", ".vtt", ".ass", ".xlf", ".xliff", ".pot"), _TAKE_OUT),
}
"""What to do with files of these names."""

_BEGINNINGS: Final = (
    (b"PK\x03\x04", "a zip archive, as office documents are", _SAVE),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an office document", _SAVE),
    (b"%PDF-", "a PDF", _SAVE),
    (b"{\\rtf", "a document in RTF", _SAVE),
    (b"PAR1", "a Parquet file", _CORPUS),
    (b"\x1f\x8b", "compressed", _NAME),
    (b"BZh", "compressed", _NAME),
    (b"\xfd7zXZ\x00", "compressed", _NAME),
    (b"\x28\xb5\x2f\xfd", "compressed", _NAME),
)
"""How files begin that are no text, what they are, and what to do with them."""


_MARKUP_SUFFIXES: Final = frozenset((".html", ".htm", ".xhtml", ".xml"))
_MARKUP: Final = re.compile(r"\s*<(?:!doctype\s+html\b|html[\s>]|\?xml\s)", re.IGNORECASE)
_LOOKED_AT: Final = 512  # bytes: a page may begin with blank lines


def refuse_documents(path: Path) -> None:
    """Refuse a file that is to be read as plain text, one sentence a line, but is a document of another kind.

    Raises:
        DataError: Its name or its first bytes say so.
    """
    suffix, compression = split_suffix(path)
    # a table is text, as far as anyone can tell
    if what_to_do := _SUFFIXES.get(suffix) or (_CORPUS if suffix in FORMATS and suffix != ".tsv" else None):
        raise DataError(f"{path} is not plain text, by its name: {what_to_do}")
    if compression or not path.is_file():  # what a pipe has given is gone
        return
    with path.open("rb") as file:
        first = file.read(8)
    for beginning, what, what_to_do in _BEGINNINGS:
        if first.startswith(beginning):
            raise DataError(f"{path} is not plain text, but {what}: {what_to_do}")


def refuse_markup(path: Path, what_to_do: str = _TAKE_OUT) -> None:
    """Refuse a file of HTML or XML that is to be read as plain text.

    Raises:
        DataError: Its name or its first line says so; it ends with what to do.
    """
    suffix, compression = split_suffix(path)
    if suffix in _MARKUP_SUFFIXES:
        raise DataError(f"{path} is not plain text, by its name: {what_to_do}")
    if compression or not path.is_file():
        return
    with path.open("rb") as file:
        first = file.read(_LOOKED_AT)
    if begins_markup(first.removeprefix(BOM).decode("utf-8", "replace")):
        raise DataError(f"{path} is not plain text, but HTML or XML: {what_to_do}")


def begins_markup(text: str) -> bool:
    """Tell whether a page of HTML or XML begins so."""
    return _MARKUP.match(text) is not None
