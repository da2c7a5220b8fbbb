"""Message catalogues of gettext (PO): what programs say, and how that is translated."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import polib  # type: ignore[import-untyped]

from nmt.corpus.base import Block, PairFiles, Unit, cut_strings
from nmt.corpus.fields import first_line, shown
from nmt.errors import ConfigError, DataError
from nmt.io.compressed import read_chunks
from nmt.io.lines import DECODING_ERRORS, SKIP_HINT, Pair

_STRING: Final = re.compile(r'(?:msg[a-z_]+(?:\[\d+\])?\s*)?"(?:[^"\\]|\\.)*"')
"""A line of an entry that is whole, with or without its keyword."""


class PoFiles(PairFiles):
    """Catalogues, each read as a whole.

    Obsolete entries and the header are left out; what is not translated, or only by a guess ("fuzzy"), is a
    pair with an empty target.
    """

    def _choose(self) -> None:
        if self._wanted.src_field:
            raise ConfigError(
                f"{self.files[0]}: a .po file has a message and its translation, and no src_field and tgt_field"
            )

    def _read(self, path: Path, size: int) -> Iterator[Block[Pair]]:
        data = b"".join(read_chunks(path, self._meter))
        encoding = polib.detect_encoding(data)
        try:
            contents = data.decode(encoding, DECODING_ERRORS[self._on_bad_utf8])
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise DataError(
                f"{path}, line {line}: the byte 0x{data[error.start]:02x} is not {encoding}, the encoding of the file; "
                "--on-bad-utf8 replace puts U+FFFD in the place of such bytes"
            ) from error
        except (UnicodeError, LookupError) as error:
            raise DataError(f"{path}: cannot read its encoding {encoding}: {first_line(error)}") from error
        texts = (_read_whole if self._on_bad_record == "error" else _read_blocks)(path, contents)
        return cut_strings(texts, size, file=str(path), noun="line", on_bad_utf8=self._on_bad_utf8)


class _Contents(str):
    r"""Text whose lines end at `\n` alone; those of `str` end at characters that messages may hold."""

    __slots__ = ()

    def splitlines(self, keepends: bool = False) -> list[str]:
        return self.split("\n")


def _read_whole(path: Path, contents: str) -> Iterator[Unit]:
    """Read all entries; a broken one is a `DataError`."""
    for number, line in enumerate(contents.split("\n"), start=1):
        # In a file that is cut short, polib would take the last character off a string that does not end.
        if line.lstrip().startswith(("msg", '"')) and not _STRING.fullmatch(line.strip()):
            raise DataError(
                f"{path}, line {number}: found {shown(line.strip())}, expected a string between two quotes{SKIP_HINT}"
            )
    try:
        # polib would take what is the name of a file for one; no name ends so.
        for entry in polib.pofile(_Contents(contents + "\n")):
            if not entry.obsolete and entry.msgid:
                for src, tgt in _sides(entry):
                    yield Unit(src, "" if entry.fuzzy else tgt, max(1, entry.linenum))
    except OSError as error:
        message = first_line(error).replace("po file (", "").replace(")", "", 1)
        raise DataError(f"{path}: {message}{SKIP_HINT}") from error


def _read_blocks(path: Path, contents: str) -> Iterator[Unit]:
    """Read what stands between blank lines by itself: what is broken takes nothing else with it, unless all is."""
    failure, is_read, first = None, False, 1
    for block in re.split(r"(\n(?:[ \t\r]*\n)+)", contents):
        try:
            for src, tgt, place, _ in _read_whole(path, block):
                is_read = True
                yield Unit(src, tgt, first + place - 1)
        except DataError as error:
            failure = failure or error
            yield Unit("", "", first, "broken")
        first += block.count("\n")
    if failure and not is_read:
        raise failure


def _sides(entry: polib.POEntry) -> list[tuple[str, str]]:
    """Return what an entry says in both languages.

    Of two plural forms, the first is for one and the second for all else. A language with one form says everything as
    the plural does; with more than two, only the first form is sure to have a counterpart.
    """
    if not entry.msgid_plural:
        return [(entry.msgid, entry.msgstr)]
    forms = [entry.msgstr_plural[number] for number in sorted(entry.msgstr_plural)] or [""]
    if len(forms) == 1:
        return [(entry.msgid_plural, forms[0])]
    both = [(entry.msgid, forms[0]), (entry.msgid_plural, forms[1])]
    return both if len(forms) == 2 else both[:1]
