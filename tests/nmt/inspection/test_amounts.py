import pytest

from nmt.inspection.amounts import describe, percent, visible


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (0, 7, "0.00%"),
        (1, 8, "12.5%"),
        (1, 16, "6.25%"),
        (1, 10_000, "0.01%"),
        (1, 10_001, "< 0.01%"),
        (3, 3, "100.0%"),
        (0, 0, "0.00%"),
    ],
)
def test_a_share_has_as_many_digits_as_it_needs(part: int, whole: int, text: str) -> None:
    assert percent(part, whole) == text


@pytest.mark.parametrize(
    ("character", "shown", "code", "name"),
    [
        ("a", "a", "U+0061", "LATIN SMALL LETTER A"),
        ("\u0301", "\u25cc\u0301", "U+0301", "COMBINING ACUTE ACCENT"),
        ("\u00a0", "", "U+00A0", "NO-BREAK SPACE"),
        ("\u202e", "", "U+202E", "RIGHT-TO-LEFT OVERRIDE"),
        ("\x07", "", "U+0007", "control character"),
        ("\ue000", "", "U+E000", "private use"),
        ("\U0001f642", "\U0001f642", "U+1F642", "SLIGHTLY SMILING FACE"),
    ],
)
def test_a_character_is_shown_with_its_code_and_name(character: str, shown: str, code: str, name: str) -> None:
    named = describe(character)
    assert (named.shown, named.code, named.name) == (shown, code, name)


def test_control_characters_and_half_pairs_become_something_to_look_at() -> None:
    assert visible("a\x1b[31m\n\x7f\x9b\ud800\u05d0") == "a\u241b[31m\u240a\u2421\ufffd\ufffd\u05d0"
