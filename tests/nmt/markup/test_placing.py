from nmt.markup.putting import Link, Place, Placer
from nmt.markup.spans import extract


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
