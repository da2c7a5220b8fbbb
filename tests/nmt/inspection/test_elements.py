from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from nmt.inspection.amounts import visible
from nmt.inspection.elements import Html, element, escape, folded, join, quoted, table


class Words(HTMLParser):
    """Collects the text and the elements of a piece of HTML."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        self.elements: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_plain_text_is_escaped_and_elements_are_not() -> None:
    inner = element("b", "a < b & c")
    assert element("p", "x > ", inner) == "<p>x &gt; <b>a &lt; b &amp; c</b></p>"


def test_attributes_are_escaped_and_named_as_html_does() -> None:
    made = element("a", "x", href='"><script>', class_="one two", aria_label="&", id=None)
    assert made == '<a href="&quot;&gt;&lt;script&gt;" class="one two" aria-label="&amp;">x</a>'


def test_elements_without_content_have_no_end() -> None:
    assert element("meta", charset="utf-8") == '<meta charset="utf-8">'
    assert element("rect", x=1, text_anchor="end") == '<rect x="1" text-anchor="end"/>'


@given(st.text())
def test_any_text_comes_back_as_it_was_but_for_what_cannot_be_seen(text: str) -> None:
    parser = Words()
    parser.feed(element("p", text, title=text))
    parser.close()
    assert parser.text == visible(text)
    assert parser.elements == [("p", {"title": visible(text)})]
    escape(text).encode("utf-8")


def test_a_table_names_its_columns_and_rows_and_says_which_are_numbers() -> None:
    made = table(("name", "number"), [("a<b", "1")], numbers=(1,), caption="Caption")
    assert '<th scope="col">name</th><th scope="col" class="number">number</th>' in made
    assert '<tr><th scope="row">a&lt;b</th><td class="number">1</td></tr>' in made
    assert made.startswith('<div class="wide" role="region" aria-label="Caption" tabindex="0"><table><caption>Caption')


def test_text_of_a_corpus_finds_its_own_direction() -> None:
    assert quoted("\u05d0 <") == '<span dir="auto" class="text">\u05d0 &lt;</span>'


def test_a_folded_part_has_a_summary() -> None:
    assert folded("a & b", element("p", "c")) == "<details><summary>a &amp; b</summary><p>c</p></details>"


def test_parts_are_put_together() -> None:
    joined = join([Html("<br>"), "<"])
    assert joined == "<br>&lt;"
    assert isinstance(joined, Html)
