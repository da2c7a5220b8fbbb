import pytest

from nmt.markup.scanning import Comment, Element, Message, MessageHead, Region, Tag, through


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
