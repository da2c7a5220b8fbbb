import re
from itertools import pairwise

import pytest

from nmt.text import characters
from nmt.text.characters import continues, is_sign, shares_by_script

ASSIGNED = list(map(chr, [*range(0xD800), *range(0xE000, 0x40000)]))


@pytest.mark.parametrize("script", characters.SCRIPTS)
def test_every_letter_of_a_script_is_among_its_characters(script: str) -> None:
    inside = re.compile(f"[{characters.SCRIPTS[script]}]")
    outside = "".join(character for character in ASSIGNED if not inside.match(character))
    assert script not in shares_by_script([outside])


def test_no_character_is_of_two_scripts() -> None:
    spans = sorted(
        (span[0], span[-1]) for script in characters.SCRIPTS.values() for span in re.findall(".(?:-.)?", script)
    )
    assert all(last < first for (_, last), (first, _) in pairwise(spans))


def test_letters_marks_and_digits_of_scripts_with_spaces_go_on_in_a_word() -> None:
    assert [character for character in "aß1\u0301я٣ -.'_走ねก한" if continues(character)] == list("aß1\u0301я٣한")
    assert not any(map(continues, "𠀋ｱㄅㆠ々ກကខཀꩠꧠ"))
    assert all(map(continues, "Ａ１"))  # noqa: RUF001 (full-width ones are meant)


def test_joiners_stand_within_words() -> None:
    assert all(map(continues, "\u200c\u200d"))


def test_digits_of_scripts_without_spaces_make_one_number() -> None:
    assert all(map(continues, "๑໒༣၄៥"))


def test_signs_stand_on_the_letter_before_them() -> None:
    assert all(map(is_sign, "\u0e48\u0e34\u0ec8\u102d\u17d2\u0f72"))
    assert not any(map(is_sign, "กา走\u0301\u0940a1 "))
