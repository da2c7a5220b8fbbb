"""Which parts of the lines of a document are markup."""

import re
from itertools import accumulate

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nmt.markup.putting import reinsert
from nmt.markup.scanning import (
    LINES,
    Comment,
    Element,
    Message,
    MessageHead,
    Region,
    Tag,
    Unclosed,
    left_open,
    scan,
    through,
)
from nmt.markup.spans import compile_pattern, extract

FRAGMENTS = [
    *[
        "a",
        "bc,",
        "(",
        "'",
        "&",
        "<",
        "3 <4",
        ">",
        " ",
        " ",
        "{x}",
        "&amp;",
        "&nbsp;",
        "\n",
        "\n",
        "\n",
        "<b>",
        "</b>",
        "</p><p>",
    ],
    *[
        "<script>",
        "</SCRIPT>",
        "<style x>",
        "</style",
        "<pre>",
        "</pre>",
        "<code>",
        "</code>",
        "<br/>",
        "<i translate=no>",
        "</i>",
    ],
    *[
        "<!--",
        "-->",
        "<![CDATA[",
        "]]>",
        "<?php",
        "?>",
        "<!DOCTYPE",
        "<a",
        ' href="x"',
        ' href="',
        '"',
        " id='",
        " disabled",
        "/>",
    ],
    *["{n, plural, one {", "{n,", "plural,", "}", "'{'"],
]
DOCUMENTS = st.lists(st.sampled_from(FRAGMENTS), max_size=25).map("".join)


def plain(document: str) -> list[str]:
    """Return the text of each line of a document, and see that it gives the lines back as a translation of itself."""
    texts = []
    opened: Region | None = None
    for line in document.split("\n"):
        marked = extract(line, None, opened)
        links = [(i, i) for i in range(len(marked.plain.split()))]
        assert reinsert(marked.plain, marked, links) == line
        texts.append(marked.plain)
        opened = marked.opened
    return texts


@pytest.mark.parametrize(
    ("document", "texts"),
    [
        ("a <script>\nvar x = '<b>';\n</SCRIPT > b", ["a", "", "b"]),
        ("<style>\n\n p { color: red }\n</style>\nb", ["", "", "", "", "b"]),
        ("<script>if (a<b) '</b>'</script>b", ["b"]),
        ("<script src='x'/> a", ["a"]),
        ("<script\n  src='x'\n  async>\nvar\n</script>\nb", ["", "", "", "", "", "b"]),
        ("<pre>\n  a <pre> b </pre>\n c\n</pre> d", ["", "", "", "d"]),
        ("Call <code>f(x)</code> now", ["Call now"]),
        ("<code>a\nb</code\n> c", ["", "", "c"]),
        ("a <!-- b\n<b> -- \n--> c <!--> d", ["a", "", "c d"]),
        ("<![CDATA[ a\n]] >\n]]>b", ["", "", "b"]),
        ("<?php if ($a > 1)\n echo; ?> b <?= $x ?>", ["", "b"]),
        ('<?xml version="1.0"?>a', ["a"]),
        ('<!DOCTYPE html PUBLIC "x"\n  "y">\nb', ["", "", "b"]),
        ('The <a\nhref="x">lesson</a> was', ["The", "lesson was"]),
        ('a <img\n  alt="a b\n  c"\n\n  width=3 disabled @click="f" data-x/> b', ["a", "", "", "", "b"]),
        ("a</b\n>c", ["a", "c"]),
        ('<i title="no"\n translate="no">\na\n<i>b</i>\n</i> c', ["", "", "", "", "c"]),
        ('<p class="x notranslate y">a</p> <p class="x">b</p> <br translate=no> c', ["b c"]),
        ("{n, plural,\n one {# {a}}\n other {'}'}} b", ["", "", "b"]),
        ("{n,\n\n select, a {b} other {c}} d", ["", "", "d"]),
        ("the {n, plural, =0 {no {x, select, a {it''s} other {}}} other {#}} b", ["the b"]),
        ("{d, date, short} {x, number} b {x, y}", ["b {x, y}"]),
    ],
)
def test_what_is_open_goes_on_in_the_next_lines(document: str, texts: list[str]) -> None:
    assert plain(document) == texts


@pytest.mark.parametrize(
    ("document", "texts"),
    [
        ("a < b\nc > d", ["a < b", "c > d"]),
        ("3 <4\nb", ["3 <4", "b"]),
        ("a <b and c\nd > e", ["a <b and c", "d > e"]),
        ("if a <b\nthen c", ["if a", "then c"]),
        ('<a href="x>lesson</a> b\nc', ['<a href="x>lesson b', "c"]),
        ('<a href="x\nlesson</a> b', ["", "lesson b"]),
        ('<a href="x\ny" lesson\nb', ["", 'y" lesson', "b"]),
        ("let {a,\nb} = c", ["let", "b} = c"]),
        ("a {n, plurals, b\nc", ["a {n, plurals, b", "c"]),
        ("<!foo\na", ["<!foo", "a"]),
    ],
)
def test_what_opens_nothing_is_text(document: str, texts: list[str]) -> None:
    assert plain(document) == texts


@pytest.mark.parametrize("opening", ["a <b", 'a <b c="', "a <code>", "a {n, plural, one {"])
def test_what_nobody_closes_is_text_again_after_a_hundred_lines(opening: str) -> None:
    filler = "" if opening == "a <b" else "b"
    assert plain("\n".join([opening, *[filler] * LINES, "c"])) == ["a", *[""] * (LINES - 1), filler, "c"]


@pytest.mark.parametrize("opening", ["<script>", "<pre>", "<!--", "<p translate=no>"])
def test_elements_and_comments_may_be_longer(opening: str) -> None:
    assert not any(plain("\n".join([opening, *["b"] * LINES * 2])))


def test_a_pattern_of_the_user_hides_what_it_matches() -> None:
    own = compile_pattern("%<script>%|<x")
    assert scan("%<script>% a <x", None, own).opened is None
    assert left_open(["%<script>%", "<script>", "a"], None, own) == left_open(["<script>", "a"])


def test_what_is_open_at_the_end_was_opened_in_a_line() -> None:
    unclosed = Unclosed()
    unclosed.read(["<pre>", "</pre> a <!-- b"])
    assert unclosed.place == (2, "<!-- b")
    unclosed.read(["c", "--> d <script> x"])
    assert unclosed.place == (4, "<script> x")
    unclosed.read(["</script>"])
    assert unclosed.place is None


@pytest.mark.parametrize("opening", ["<b", "<code>", "{n, plural, one {"])
def test_what_is_given_up_was_opened_in_a_line(opening: str) -> None:
    filler = "" if opening == "<b" else "b"
    unclosed = Unclosed()
    assert unclosed.read(["a", opening, *[filler] * (LINES - 1)]) == []
    assert unclosed.read([filler + "c </pre>", "<pre>"]) == [(2, opening)]
    assert unclosed.read([""] * LINES * 2) == []
    assert unclosed.place == (LINES + 3, "<pre>")


@given(document=DOCUMENTS)
@example(document="<code>a\nb <script></code> c\n")
@example(document='<a href="\n<i\n"> b')
def test_a_document_whose_text_stays_comes_back_in_its_bytes(document: str) -> None:
    document = re.sub(" +", " ", document)
    plain(document)


@given(document=DOCUMENTS, cuts=st.lists(st.integers(1, 5), min_size=25))
def test_what_is_open_does_not_depend_on_what_is_read_at_once(document: str, cuts: list[int]) -> None:
    lines = document.split("\n")
    opened: Region | None = None
    for start, end in zip([0, *accumulate(cuts)], accumulate(cuts), strict=False):
        opened = left_open(lines[start:end], opened)
    assert opened == left_open(lines)


@pytest.mark.parametrize(
    "line",
    [
        *[
            "",
            "  ",
            " b=\"c d\" e='f>'",
            " b=/c?d=e",
            "b = c",
            " disabled CHECKED",
            " @click='f()' :to=x v-else data-x",
            "/",
        ],
        *[' b="c', " b='c \"d", " b=", ' "c"', " xlink:href='x'"],
    ],
)
def test_a_tag_goes_on_with_attributes(line: str) -> None:
    end, region = Tag("a").read(line, 0)
    assert (end, isinstance(region, Tag)) == (len(line), True)


@pytest.mark.parametrize("line", ["b", " b c", ".", ' b="c" d', " b='c <d", '"b', " b=c' d", "< /b>", " = b"])
def test_what_are_no_attributes_end_a_tag_before_them(line: str) -> None:
    assert Tag("a").read(line, 0) == (0, None)


def test_a_value_that_is_open_ends_at_its_quote() -> None:
    value = Tag("a", '"')
    assert value.read("b > 'c", 0) == (6, Tag("a", '"', lines=1))
    assert value.read('b" c=d> e', 0) == (7, None)
    assert value.read('b" c', 0) == (0, None)
    assert value.read("b </a>", 0) == (0, None)


@pytest.mark.parametrize(
    ("region", "line", "expected"),
    [
        (Tag("pre"), ">a", (1, Element("pre"))),
        (Tag("pre"), "/>a", (2, None)),
        (Tag("b"), " translate=no>a", (14, Element("b"))),
        (Tag("br", kept=True), ">", (1, None)),
        (Tag(""), ">", (1, None)),
        (Element("pre"), "<PRE x> </pre> <pre/>", (21, Element("pre", lines=1))),
        (Element("script"), "<script> </scripts> </script>", (29, None)),
        (Element("code"), "</code", (6, Tag(""))),
        (Comment("-->"), " -> --> ", (7, None)),
        (Message(), "one {'{' it''s #}} b", (18, None)),
        (MessageHead(), " select, a {", (7, Message())),
    ],
)
def test_a_region_ends_where_its_kind_says(region: Region, line: str, expected: tuple[int, Region | None]) -> None:
    assert region.read(line, 0) == expected


def test_what_follows_a_region_directly_is_gone_through() -> None:
    assert through("><b></code> a", 0, Tag("code")) == (11, None)
    assert through(">", 0, Tag("pre")) == (1, Element("pre"))
