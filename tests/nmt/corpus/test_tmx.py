import gzip
import re
from pathlib import Path

import pytest

from nmt.corpus.fields import Wanted
from nmt.corpus.tmx import TmxFiles
from nmt.errors import ConfigError, DataError
from nmt.io import compressed
from nmt.io.lines import SKIP_HINT, OnBadRecord, Pair

UNIT = '<tu><tuv xml:lang="en"><seg>a</seg></tuv><tuv xml:lang="fr"><seg>b</seg></tuv></tu>'


def tmx(*units: str, encoding: str = "utf-8", before: str = "") -> bytes:
    head = f'<?xml version="1.0" encoding="{encoding}"?>\n{before}<tmx version="1.4"><header srclang="en"/>\n'
    return "\n".join([head + "<body>", *units, "</body></tmx>"]).encode(encoding)


def unit(**texts: str) -> str:
    inner = "".join(f'<tuv xml:lang="{name.replace("_", "-")}"><seg>{text}</seg></tuv>' for name, text in texts.items())
    return f'<tu><note>n</note><prop type="x">p</prop>{inner}</tu>'


def read(path: Path, src_lang: str | None = "en", tgt_lang: str | None = "fr") -> list[Pair]:
    return list(TmxFiles([path], "error", Wanted(src_lang=src_lang, tgt_lang=tgt_lang), name=path.name).records())


def texts(tmp_path: Path, *units: str, src_lang: str = "en", tgt_lang: str = "fr") -> list[tuple[str, ...]]:
    path = tmp_path / "a.tmx"
    path.write_bytes(tmx(*units))
    return [pair[:2] for pair in read(path, src_lang, tgt_lang)]


def test_units_are_pairs_numbered_from_1(tmp_path: Path) -> None:
    path = tmp_path / "a.tmx"
    path.write_bytes(tmx(unit(en="a", de="x", fr="b"), unit(fr="d\n  e", en="c &amp; <![CDATA[<f>]]>")))
    assert read(path) == [Pair("a", "b", str(path), 1), Pair("c & <f>", "d e", str(path), 2)]


def test_varieties_of_a_language_are_taken_and_the_language_itself_before_them(tmp_path: Path) -> None:
    units = [unit(EN_us="a", fr_CA="b"), unit(en_GB="c", en="d", fr="e"), unit(en_GB="f", en_US="g", fr="h")]
    assert texts(tmp_path, *units) == [("a", "b"), ("d", "e"), ("f", "h")]
    assert texts(tmp_path, *units, src_lang="en-US") == [("a", "b"), ("", "e"), ("g", "h")]


def test_of_several_texts_in_a_language_the_first_is_read(tmp_path: Path) -> None:
    twice = (
        '<tu><tuv lang="en"><seg>a</seg></tuv><tuv lang="fr"><seg>b</seg></tuv><tuv lang="fr"><seg>c</seg></tuv></tu>'
    )
    assert texts(tmp_path, twice) == [("a", "b")]


def test_a_unit_without_one_of_the_languages_has_an_empty_side(tmp_path: Path) -> None:
    assert texts(tmp_path, unit(en="a"), unit(de="x"), unit(fr="b"), unit(en="c", fr="d"), unit()) == [
        ("a", ""),
        ("", ""),
        ("", "b"),
        ("c", "d"),
        ("", ""),
    ]


def test_native_code_is_dropped_and_highlighted_text_is_kept(tmp_path: Path) -> None:
    marked = (
        'a <bpt i="1">&lt;b&gt;</bpt>b<ept i="1">&lt;/b&gt;</ept> <hi type="t">c <hi>d</hi></hi><it pos="begin">x</it>'
        '<ph>&lt;img alt="<sub>y</sub>"<ph>z</ph>&gt;</ph>.'
    )
    assert texts(tmp_path, unit(en=marked, fr="e")) == [("a b c d.", "e")]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "iso-8859-1", "windows-1252"])
def test_other_encodings_are_read(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.tmx"
    declared = encoding.removesuffix("-sig")
    path.write_bytes(
        tmx(unit(en="caf\u00e9", fr="d\u00e9j\u00e0"), encoding=declared).decode(declared).encode(encoding)
    )
    assert read(path) == [Pair("caf\u00e9", "d\u00e9j\u00e0", str(path), 1)]


def test_a_file_may_be_compressed_and_longer_than_a_chunk(tmp_path: Path) -> None:
    path = tmp_path / "a.tmx.gz"
    path.write_bytes(gzip.compress(tmx(*[unit(en="x" * 1000, fr="y" * 1000)] * 1500)))
    source = TmxFiles([path], "error", Wanted(src_lang="en", tgt_lang="fr"), name="a")
    assert [len(block) for block in source.blocks(1000)] == [1000, 500]
    assert {(len(pair.src), len(pair.tgt)) for pair in source.records()} == {(1000, 1000)}


def test_a_reference_to_the_usual_document_type_is_not_followed(tmp_path: Path) -> None:
    path = tmp_path / "a.tmx"
    path.write_bytes(tmx(UNIT, before='<!DOCTYPE tmx SYSTEM "tmx14.dtd">\n'))
    assert [pair[:2] for pair in read(path)] == [("a", "b")]


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))


@pytest.mark.parametrize(
    ("before", "text", "message"),
    [
        (
            f'<!DOCTYPE tmx [<!ENTITY l0 "ha">{LAUGHS}]>\n',
            "&l9;",
            "line 2: it declares the entity l0; expected a file wit",
        ),
        (
            '<!DOCTYPE tmx [<!ENTITY e SYSTEM "secret">]>\n',
            "&e;",
            "line 2: it declares the entity e; expected a file with",
        ),
        (
            '<!DOCTYPE tmx [<!ENTITY % e SYSTEM "secret"> %e;]>\n',
            "x",
            "line 2: it declares the entity e; expected a file",
        ),
        (
            '<!DOCTYPE tmx SYSTEM "tmx14.dtd">\n',
            "&nbsp;",
            "line 5: the entity nbsp is not declared; expected a character",
        ),
        ("", "&nbsp;", "line 4: found no well-formed XML: undefined entity"),
    ],
)
def test_entities_read_no_files_and_do_not_grow(tmp_path: Path, before: str, text: str, message: str) -> None:
    (tmp_path / "secret").write_text("secret")
    path = tmp_path / "a.tmx"
    path.write_bytes(tmx(unit(en=text, fr="b"), before=before))
    with pytest.raises(DataError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}, {message}")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", ", line 1: found no well-formed XML: no element found"),
        (tmx(UNIT)[:-20], ", line 4: found no well-formed XML: unclosed token"),
        (tmx(UNIT, "<tu>\n</tuv>"), ", line 6: found no well-formed XML: mismatched tag"),
        (tmx(UNIT.replace("a", "\x01")), ", line 4: found no well-formed XML: not well-formed (invalid token)"),
        (tmx(UNIT).replace(b">a<", b">\xff<"), ", line 4: found no well-formed XML: not well-formed (invalid token)"),
        (
            tmx(UNIT).replace(b">a<", b">&#xD800;<"),
            ", line 4: found no well-formed XML: reference to invalid character",
        ),
        (b"<html>\n</html>", ", line 1: found the element html, expected tmx"),
        (b'<?xml version="1.0" encoding="nothing"?><tmx/>', ": cannot read its encoding: unknown encoding: nothing"),
        (
            b'<?xml version="1.0" encoding="big5"?><tmx/>',
            ": cannot read its encoding: multi-byte encodings are not supp",
        ),
    ],
)
def test_files_that_are_no_tmx_are_named(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "a.tmx"
    path.write_bytes(data)
    with pytest.raises(DataError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}{message}")


def test_a_language_that_no_unit_has_is_an_error_with_those_there_are(tmp_path: Path) -> None:
    path = tmp_path / "a.tmx"
    path.write_bytes(tmx(unit(en_US="a", fr="b"), unit(en_GB="c")))
    with pytest.raises(DataError) as caught:
        read(path, "en", "de")
    assert str(caught.value) == f"{path}: no unit has a text in de; the languages are en-GB, en-US, fr"


def test_both_languages_have_to_be_said() -> None:
    with pytest.raises(
        ConfigError, match=r"^a\.tmx: a \.tmx file may hold many languages; say .* data\.src_lang and da"
    ):
        read(Path("a.tmx"), None, "fr")


BROKEN = [
    "<tu><tuv xml:lang='en'><seg>a &#x1F; b</seg></tuv></tu>",
    "<tu><tuv xml:lang='en'><seg>a & b</seg></tuv></tu>",
    "<tu><tuv xml:lang='en'><seg>a < b</seg></tuv></tu>",
    "<tu><tuv xml:lang='en'><seg>a</tuv></tu>",
    "<tu <tuv xml:lang='en'><seg>a</seg></tuv></tu>",
    "<tu><tuv xml:lang='en'><seg>a &nbsp; b</seg></tuv></tu>",
]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "iso-8859-1"])
@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("chunk", [2, 7, 1 << 20])
def test_broken_units_can_be_left_out_and_take_no_other_with_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str, encoding: str, chunk: int
) -> None:
    monkeypatch.setattr(compressed, "CHUNK", chunk)
    good = [unit(en=f"{number} \u00e9", fr="x") for number in range(3)]
    path = tmp_path / "a.tmx"
    path.write_bytes(tmx(good[0], broken, broken, good[1], broken, good[2], encoding=encoding))
    source = TmxFiles([path], "error", Wanted(src_lang="en", tgt_lang="fr"), name="a", on_bad_record="skip")
    assert [(pair.src, pair.tgt, pair.line, pair.fault) for pair in source.records()] == [
        ("0 \u00e9", "x", 1, None),
        ("", "", 2, "broken"),
        ("", "", 3, "broken"),
        ("1 \u00e9", "x", 4, None),
        ("", "", 5, "broken"),
        ("2 \u00e9", "x", 6, None),
    ]


def test_a_file_of_broken_units_alone_is_an_error_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "a.tmx"
    path.write_bytes(tmx(*BROKEN))
    with pytest.raises(DataError, match="found no well-formed XML"):
        list(TmxFiles([path], "error", Wanted(src_lang="en", tgt_lang="fr"), name="a", on_bad_record="skip").records())


@pytest.mark.parametrize("on_bad_record", ["error", "skip"])
def test_an_empty_file_is_no_well_formed_xml(tmp_path: Path, on_bad_record: OnBadRecord) -> None:
    path = tmp_path / "a.tmx"
    path.write_bytes(b"")
    source = TmxFiles([path], "error", Wanted(src_lang="en", tgt_lang="fr"), name="a", on_bad_record=on_bad_record)
    with pytest.raises(DataError, match=r"a\.tmx, line 1: found no well-formed XML: no element found"):
        list(source.records())


def test_what_is_said_of_a_broken_unit_names_the_line_and_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "a.tmx"
    path.write_bytes(tmx("\n", BROKEN[0]))
    with pytest.raises(DataError) as caught:
        read(path)
    expected = "found no well-formed XML: reference to invalid character number"
    assert re.fullmatch(rf"{path}, line \d: {expected}{SKIP_HINT}", str(caught.value))
