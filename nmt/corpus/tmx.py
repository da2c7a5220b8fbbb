"""Translation memories in TMX, read as a stream: units of one text in several languages."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Final
from xml.parsers import expat

from nmt.corpus.base import Block, PairFiles, Unit, cut_strings
from nmt.corpus.fields import first_line, is_language, shown
from nmt.errors import ConfigError, DataError
from nmt.io.compressed import Meter, read_chunks
from nmt.io.lines import LONGEST_LINE, SKIP_HINT, Fault, Pair

_ENCODINGS: Final = {b"\xff\xfe": "UTF-16LE", b"\xfe\xff": "UTF-16BE", b"<\0": "UTF-16LE", b"\0<": "UTF-16BE"}
_NATIVE_CODE: Final = frozenset({"bpt", "ept", "ph", "it", "ut"})
"""Elements within a text whose contents are codes of the program that it is from."""


class TmxFiles(PairFiles):
    """Files of units; of several texts of a unit in a language the first is read.

    A unit that lacks a language is a pair with an empty side. Files with entities of their own are refused: they could
    name other files, or become larger than any memory.
    """

    def _choose(self) -> None:
        wanted = self._wanted  # fields are languages
        src_lang, tgt_lang = wanted.src_field or wanted.src_lang, wanted.tgt_field or wanted.tgt_lang
        if src_lang is None or tgt_lang is None:
            raise ConfigError(
                f"{self.name}: a .tmx file may hold many languages; say which two are read with data.src_lang and "
                "data.tgt_lang (--src-lang, --tgt-lang), or with src_field and tgt_field of the corpus"
            )
        self._languages = (src_lang, tgt_lang)

    def _read(self, path: Path, size: int) -> Iterator[Block[Pair]]:
        units = _Units(path, self._languages, self._meter, skips=self._on_bad_record == "skip").read()
        return cut_strings(units, size, file=str(path), noun="unit", on_bad_utf8=self._on_bad_utf8)


class _Units:
    """What a parser reports of a file, as units.

    Where broken units are left out, another parser goes on with the next unit: none goes on by itself after an error.
    """

    def __init__(self, path: Path, languages: tuple[str, str], meter: Meter, *, skips: bool) -> None:
        self._path = path
        self._meter = meter
        self._skips = skips
        self._failure: DataError | None = None
        """What was wrong with the first unit that was left out."""
        self._encoding = "utf-8"
        """As the file names it, or as its first bytes show."""
        self._wanted = languages
        self._found: dict[str, int] = {}
        """How many texts there are in each language."""
        self._units: list[Unit] = []
        """Those that have ended since the last chunk."""
        self._number = 0
        self._read = 0
        """How many of them were not broken."""
        self._unread: bytes | None = None
        """The end of what has been passed over since an error; None: the parser reads."""
        self._fed = 0
        """Bytes that the parser has been given."""
        self._depth = 0
        self._texts: dict[str, str] = {}
        """The texts of this unit by language, the first in each."""
        self._language = ""
        self._parts: list[str] | None = None
        """Of the text that is being read; None: there is none."""
        self._size = 0
        """Characters of that text."""
        self._in_code = 0
        """How many elements of native code are open."""
        self._fault: Fault | None = None
        """Of this unit."""
        self._parser = self._make_parser()

    def read(self) -> Iterator[Unit]:
        """Yield the units of the file, of which some have to have the two languages, or there is a DataError."""
        for number, chunk in enumerate(chain(read_chunks(self._path, self._meter), (b"",))):
            if not number:  # told by the first bytes, as XML does; UTF-8 is what the file declares to be another one
                self._encoding = _ENCODINGS.get(chunk[:2], "utf-8")
            self._parse(chunk)
            yield from self._units
            self._units.clear()
        if self._failure and not self._read:
            raise self._failure
        for language in self._wanted:
            if self._read and not any(is_language(found, language) for found in self._found):
                found = ", ".join(sorted(map(shown, self._found))) or "none"
                raise DataError(f"{self._path}: no unit has a text in {language}; the languages are {found}")

    def _make_parser(self, encoding: str | None = None) -> expat.XMLParserType:
        parser = expat.ParserCreate(encoding)
        parser.buffer_text = True
        parser.XmlDeclHandler = self._declare
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._add_text
        parser.EntityDeclHandler = self._refuse_declaration
        parser.SkippedEntityHandler = self._refuse_entity
        return parser

    def _parse(self, chunk: bytes) -> None:
        """Parse a chunk, of which an empty one is the end; where broken units are left out, up to its last error."""
        rest: bytes | None = chunk
        while True:
            if self._unread is not None:
                rest = self._next_unit(self._unread + (rest or b""))
            if rest is None:
                return
            try:
                self._parser.Parse(rest, not chunk)
            except expat.ExpatError as error:
                reason = expat.errors.messages.get(error.code, "unknown error")
                failure = DataError(f"{self._path}, line {error.lineno}: found no well-formed XML: {reason}{SKIP_HINT}")
                if not self._skips:
                    raise failure from error
                self._failure = self._failure or failure
                # A broken unit, or what is broken between two, counts as one; the next one is looked for now.
                self._number += 1
                self._units.append(Unit("", "", self._number, "broken"))
                self._parts, self._depth, self._unread = None, 0, b""
                # From the byte after: where a tag is broken, the error stands at its start.
                rest = rest[max(0, self._parser.ErrorByteIndex - self._fed) + 1 :]
            except (ValueError, LookupError) as error:  # an encoding that Python does not have, or not for this
                raise DataError(f"{self._path}: cannot read its encoding: {first_line(error)}") from error
            else:
                self._fed += len(rest)
                return

    def _next_unit(self, data: bytes) -> bytes | None:
        """Find where the next unit begins, and let another parser go on there; None: none begins here."""
        tags = [f"<tu{end}".encode(self._encoding) for end in " \t\r\n>"]
        found = [start for tag in tags if (start := data.find(tag)) >= 0]
        if not found:
            self._unread = data[-len(tags[0]) + 1 :]
            return None
        self._unread = None
        self._parser = self._make_parser(self._encoding)
        before = "<tmx><body>".encode(self._encoding)
        self._parser.Parse(before, False)
        self._fed = len(before)
        return data[min(found) :]

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if not self._depth and name != "tmx":
            raise self._error(f"found the element {shown(name)}, expected tmx")
        self._depth += 1
        if self._parts is not None:
            self._in_code += name in _NATIVE_CODE
        elif name == "tu":
            self._texts, self._fault = {}, None
        elif name == "tuv":
            self._language = attributes.get("xml:lang") or attributes.get("lang") or ""
        elif name == "seg":
            self._parts, self._size, self._in_code = [], 0, 0

    def _end(self, name: str) -> None:
        self._depth -= 1
        if name == "seg" and self._parts is not None:
            self._texts.setdefault(self._language, "".join(self._parts))
            self._found[self._language] = self._found.get(self._language, 0) + 1
            self._parts = None
        elif self._parts is not None:
            self._in_code -= name in _NATIVE_CODE
        elif name == "tu":
            self._number += 1
            src, tgt = ("", "") if self._fault else map(self._text_in, self._wanted)
            self._read += self._fault != "broken"
            self._units.append(Unit(src, tgt, self._number, self._fault))

    def _add_text(self, text: str) -> None:
        if self._parts is None or self._in_code:
            return
        self._size += len(text)
        if self._size > LONGEST_LINE:
            self._fault = self._fault or "too_long"
        else:
            self._parts.append(text)

    def _declare(self, version: str, encoding: str | None, standalone: int) -> None:
        if encoding and not self._encoding.startswith("UTF-16"):
            self._encoding = encoding

    def _text_in(self, language: str) -> str:
        """Return the text of this unit in a language, in this very variety if there is one."""
        if language in self._texts:
            return self._texts[language]
        return next((text for found, text in self._texts.items() if is_language(found, language)), "")

    def _refuse_declaration(self, name: str, *_: object) -> None:
        raise self._error(f"it declares the entity {shown(name)}; expected a file without entities of its own")

    def _refuse_entity(self, name: str, *_: object) -> None:
        failure = self._error(
            f"the entity {shown(name)} is not declared; expected a character, or its number as in &#233;{SKIP_HINT}"
        )
        if not self._skips:
            raise failure
        self._failure, self._fault = self._failure or failure, "broken"

    def _error(self, message: str) -> DataError:
        return DataError(f"{self._path}, line {self._parser.CurrentLineNumber}: {message}")
