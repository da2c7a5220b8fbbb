import numpy as np

from nmt.text.alignment import Link
from nmt.translate.result import Part, Piecewise, Translation, join_ranks, nothing, one_line


def part(
    text: str, *links: Link, src_words: int = 1, score: float = -1.0, continues: bool = False, attended: bool = True
) -> Piecewise:
    """Make a translated part, whose log-probability is twice its score."""
    details = (Part(("s",), (text,), np.ones((1, 1), dtype=np.float32)),) if attended else None
    one = Translation(text, 2 * score, score, 1, alignment=links if attended else None, details=details)
    return Piecewise(one, src_words, len(text.split()), continues)


def test_line_ends_become_spaces() -> None:
    assert one_line("a\r\nb\nc\rd\u2028e") == "a b c d\u2028e"


def test_the_translation_of_a_blank_line_is_in_no_parts_and_certain() -> None:
    assert nothing(alignment=False, details=False) == Translation("", 0.0, 0.0, 0)
    assert nothing(alignment=True, details=True) == Translation("", 0.0, 0.0, 0, alignment=(), details=())


def test_one_part_is_the_line() -> None:
    first, second = part("a"), part("b", score=-3.0)
    assert join_ranks([[first, second]]) == [first.translation, second.translation]


def test_the_ranks_of_parts_are_joined_and_the_last_of_the_shorter_list_again() -> None:
    best, worse = join_ranks([[part("A b."), part("C d.", score=-2.0)], [part("E f.", score=-0.5)]])
    assert (best.text, best.score, best.log_probability, best.parts) == ("A b. E f.", -1.5, -3.0, 2)
    assert (worse.text, worse.score, worse.log_probability, worse.parts) == ("C d. E f.", -2.5, -5.0, 2)


def test_a_part_without_a_translation_leaves_no_double_space() -> None:
    [joined] = join_ranks([[part("a")], [part("")], [part("b")]])
    assert (joined.text, joined.parts) == ("a b", 3)


def test_words_of_later_parts_are_counted_behind_those_of_earlier_ones() -> None:
    [joined] = join_ranks(
        [[part("a b", (0, 1), (2, 0), src_words=3)], [part("", src_words=2)], [part("c d", (0, 0), (1, 1))]]
    )
    assert joined.alignment == ((0, 1), (2, 0), (5, 2), (6, 3))
    assert [one.tgt for one in joined.details or ()] == [("a b",), ("",), ("c d",)]


def test_a_word_that_was_cut_is_counted_once() -> None:
    first, second = part("a b", (0, 0), (1, 1), src_words=2), part("c d", (0, 0), (1, 1), continues=True)
    [joined] = join_ranks([[first], [second]])
    assert (joined.text, joined.alignment) == ("a b c d", ((0, 0), (1, 1), (1, 2), (2, 3)))


def test_translations_that_are_joined_without_a_space_make_one_word() -> None:
    sentences = [part("走。", (0, 0)), part(""), part("犬。", (0, 0)), part("cat", (0, 0))]
    [joined] = join_ranks([[one] for one in sentences])
    assert (joined.text, joined.alignment) == ("走。犬。cat", ((0, 0), (2, 0), (3, 0)))


def test_what_was_not_asked_for_is_not_made_up_by_joining() -> None:
    [joined] = join_ranks([[part("a", attended=False)], [part("b", attended=False)]])
    assert (joined.alignment, joined.details) == (None, None)
