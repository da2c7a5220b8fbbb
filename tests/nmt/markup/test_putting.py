import re
from collections import Counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nmt.markup.putting import Link, Node, Place, Placer, reinsert, tree
from nmt.markup.spans import extract

FRAGMENTS = [
    "<b>",
    "</b>",
    "<i>",
    "</i>",
    "<b>",
    "</b>",
    "<br/>",
    "{x}",
    "%s",
    "a",
    "bc",
    ",",
    '"',
    "(",
    " ",
    " ",
    "  ",
]
LINES = st.lists(st.sampled_from(FRAGMENTS), max_size=14).map("".join)
TRANSLATIONS = st.lists(st.sampled_from(["A", "BC", ",", '"', "(", " ", " ", "bc"]), max_size=9).map("".join)
LINKS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=10)


@st.composite
def nested_lines(draw: st.DrawFn, depth: int = 3) -> str:
    parts = [st.sampled_from(["a", "b,", "(c", " ", " ", "{x}"])]
    if depth:
        name = draw(st.sampled_from("bi"))
        parts.append(nested_lines(depth - 1).map(lambda inner: f"<{name}>{inner}</{name}>"))
    return "".join(draw(st.lists(st.one_of(parts), max_size=4)))


def put(line: str, translation: str, *links: tuple[int, int]) -> str:
    return reinsert(translation, extract(line), links)


def texts(line: str) -> list[str]:
    return [span.text for span in extract(line).spans]


def is_balanced(line: str) -> bool:
    """Tell whether every tag of a line has its partner, none crossing another."""
    opened: list[str] = []
    for slash, name in re.findall(r"<(/?)([bi])>", line):
        if not slash:
            opened.append(name)
        elif not opened or opened.pop() != name:
            return False
    return not opened


@pytest.mark.parametrize(
    ("line", "translation", "links", "expected"),
    [
        ("the <b>red</b> house", "la maison rouge", [(0, 0), (1, 2), (2, 1)], "la maison <b>rouge</b>"),
        ("Hello {name}, come.", "Viens, bonjour.", [(0, 1), (1, 0)], "Viens, bonjour {name}."),
        ("Hello {name}, come.", "Bonjour viens.", [(0, 0), (1, 1)], "Bonjour {name} viens."),
        ("{name} sleeps", "il dort", [(0, 1)], "il {name} dort"),
        ("at 10&nbsp;km", "zu 10 km", [(0, 0), (1, 1), (2, 2)], "zu 10&nbsp;km"),
        ("un<b>believ</b>able!", "incroyable !", [(0, 0)], "<b>incroyable</b> !"),
        ("<b>A</b> <i>B</i>", "w x y z", [(0, 0), (0, 2), (1, 1), (1, 3)], "<b>w x y</b> <i>z</i>"),
        ("a {x} {y} b", "d c", [(0, 1), (1, 0)], "d c {x} {y}"),
        ("<a href='u v'>{x}</a>, hi", "salut", [], "<a href='u v'>{x}</a> salut"),
        ("{x}, hi", ", salut", [(0, 0)], "{x}, salut"),
        ("Hi, {x}.", "Salut,.", [(0, 0)], "Salut, {x}."),
        ("Hi, {x}.", "Salut!", [(0, 0)], "Salut {x}!"),
        ("<b>bus</b>?", "le bus ?", [(0, 1), (0, 2)], "le <b>bus</b> ?"),
        ("<p>A <i>b</i> {x} c</p>", "d e", [(1, 0), (0, 1)], "<p><i>d</i> {x} e</p>"),
        ("<p>A b {x}</p>", "d e", [(1, 0), (0, 1)], "<p>d {x} e</p>"),
        ("A  <b> b  </b>c", "c b a", [(0, 2), (1, 1), (2, 0)], "c  <b> b  </b>a"),
        ("<td>A</td><td>b</td>", "c d", [(0, 0), (1, 1)], "<td>c</td><td>d</td>"),
        (" \tA <b>b</b>  ", "c d", [(0, 0), (1, 1)], " \tc <b>d</b>  "),
        ("R&amp;D & a&#39;b", "a'b & c's & R & D", [], "a&#39;b &amp; c&#39;s & R &amp; D"),
        ("%d dogs, %s", "%, chiens", [(0, 1), (1, 1)], "%, %d chiens %s"),
    ],
)
def test_spans_go_where_their_words_went(
    line: str, translation: str, links: list[tuple[int, int]], expected: str
) -> None:
    assert put(line, translation, *links) == expected


def test_a_line_without_markup_gives_its_translation_unchanged() -> None:
    assert put("a b", "  c   d ", (0, 1)) == "  c   d "


@pytest.mark.parametrize("line", ["<b></b>", " <b>  </b> {x}", "&nbsp;", "{a} {b}\t"])
def test_a_line_of_markup_only_comes_out_as_it_was(line: str) -> None:
    assert put(line, "") == line


def test_words_that_a_model_gives_for_markup_only_follow_it() -> None:
    assert put("<br/>", "what") == "<br/> what"


def test_a_blank_translation_still_has_the_spans() -> None:
    assert put("a <b>c</b> {x}", " ") == "<b></b> {x}"


def test_tags_may_be_nested_deeper_than_python_calls() -> None:
    line = "<b>" * 3000 + "a" + "</b>" * 3000
    assert put(line, "c", (0, 0)) == line.replace("a", "c")


@given(line=LINES, translation=TRANSLATIONS, links=LINKS)
def test_every_span_appears_once_and_the_rest_is_the_translation(
    line: str, translation: str, links: list[tuple[int, int]]
) -> None:
    written = put(line, translation, *links)
    assert Counter(texts(written)) == Counter(texts(line))
    rest = re.sub("|".join(map(re.escape, texts(line))), "", written) if texts(line) else written
    assert "".join(rest.split()) == "".join(translation.split())


@given(line=nested_lines(), translation=TRANSLATIONS, links=LINKS)
def test_tags_that_were_nested_stay_nested_and_keep_what_they_held(
    line: str, translation: str, links: list[tuple[int, int]]
) -> None:
    assert is_balanced(line)
    assert is_balanced(put(line, translation, *links))


@given(line=LINES)
@example(line='a "<b> <b>')
def test_words_that_stay_in_place_give_the_line_back_but_for_white_space(line: str) -> None:
    marked = extract(line)
    links = [(i, i) for i in range(len(marked.plain.split()))]
    assert "".join(reinsert(marked.plain, marked, links).split()) == "".join(line.split())


@given(line=nested_lines(), translation=TRANSLATIONS, links=LINKS)
def test_no_span_leaves_its_pair(line: str, translation: str, links: list[tuple[int, int]]) -> None:
    numbers = iter(range(99))
    line = re.sub("{x}", lambda _: f"{{x{next(numbers)}}}", line)
    line = re.sub(r"<(b|i)>", lambda match: f"<{match[1]} id={next(numbers)}>", line)
    after = _holders(put(line, translation, *links))
    assert all(holders <= after[text] for text, holders in _holders(line).items())


def _holders(line: str) -> dict[str, set[str]]:
    """Name for every placeholder and opening tag the tags around it."""
    spans = extract(line).spans
    holders: dict[str, set[str]] = {}

    def visit(node: Node, around: set[str]) -> None:
        for child in node.children:
            text = spans[child.first].text
            holders[text] = around
            visit(child, around | {text})

    visit(tree(spans), set())
    return holders


def places(line: str, translation: str, links: list[Link]) -> list[tuple[Place, str]]:
    placer = Placer(extract(line), translation.split(), links)
    return [(place, span.text) for place, span in placer.in_order()]


def test_a_pair_goes_around_the_words_aligned_to_those_it_held() -> None:
    assert places("the <b>red house</b>", "la maison rouge", [(0, 0), (1, 2), (2, 1)]) == [
        ((1, 0), "<b>"),
        ((2, 5), "</b>"),
    ]


def test_a_single_span_goes_behind_the_last_word_aligned_to_the_word_before() -> None:
    assert places("a {x} b", "p qq r", [(0, 0), (0, 1), (1, 2)]) == [((1, 2), "{x}")]


def test_a_single_span_goes_before_the_next_word_if_the_one_before_has_no_link() -> None:
    assert places("a {x} b", "p qq r", [(1, 2)]) == [((2, 0), "{x}")]


def test_without_links_a_span_stands_at_its_share_of_the_line() -> None:
    assert places("a b {x} c d", "o p q r s t u v", []) == [((3, 1), "{x}")]
    assert places("a {x}", "o p q", []) == [((2, 1), "{x}")]


def test_a_span_keeps_to_its_side_of_the_punctuation() -> None:
    assert places("(<b>a</b>), b", "(cd). e", [(0, 0), (1, 1)]) == [((0, 1), "<b>"), ((0, 3), "</b>")]


def test_a_span_in_a_pair_stays_in_it() -> None:
    assert places("a <b>{x} b</b>", "o p", [(0, 0)]) == [((1, 0), "<b>"), ((1, 0), "{x}"), ((1, 1), "</b>")]


def test_of_pairs_that_would_cross_the_later_shrinks() -> None:
    crossing = [(0, 0), (0, 2), (1, 1), (1, 3)]
    assert places("<b>A</b> <i>B</i>", "w x y z", crossing) == [
        ((0, 0), "<b>"),
        ((2, 1), "</b>"),
        ((3, 0), "<i>"),
        ((3, 1), "</i>"),
    ]


def test_a_pair_within_the_words_of_another_moves_into_it() -> None:
    order = [text for _, text in places("<b>A</b> <i>B</i>", "x y z", [(0, 0), (0, 2), (1, 1)])]
    assert order == ["<b>", "<i>", "</i>", "</b>"]


def test_links_to_words_that_are_not_there_are_left_aside() -> None:
    assert places("a {x} b", "p q", [(0, 5), (7, 0), (-1, 0), (1, 1)]) == [((1, 0), "{x}")]


def nodes(line: str) -> list[Node]:
    return tree(extract(line).spans).children


def test_a_pair_holds_what_stands_between_its_tags() -> None:
    assert nodes("<b> {x} <i> a </i> </b> {y}") == [Node(0, 4, [Node(1, 1), Node(2, 3)]), Node(5, 5)]


def test_pairs_of_one_name_nest() -> None:
    assert nodes("<b> <b> </b> </B>") == [Node(0, 3, [Node(1, 2)])]


def test_a_tag_without_partner_is_single() -> None:
    assert nodes("</b> <p> a <b>") == [Node(0, 0), Node(1, 1), Node(2, 2)]
    assert nodes("<b> <p> </b> </p>") == [Node(0, 2, [Node(1, 1)]), Node(3, 3)]


def test_tags_that_stand_alone_open_nothing() -> None:
    assert nodes("<br> <x/> </br> </x>") == [Node(0, 0), Node(1, 1), Node(2, 2), Node(3, 3)]
