import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmt.io.lines import clean, normalise, normalise_cleaned, normaliser

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
WALES = "\U0001f3f4\U000e0067\U000e0062\U000e0077\U000e006c\U000e0073\U000e007f"
HEART_ON_FIRE = "\u2764\ufe0f\u200d\U0001f525"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Haus\u00adt\u00fcr", "Haust\u00fcr"),
        ("a\u200bb \u2060c\ufeffd", "ab cd"),
        ("10\u00a0km, 1\u202f234\u2009kg\u3000x\ty\x0bz", "10 km, 1 234 kg x y z"),
        ("\u202bone\u202c \u200etwo\u200f \u2066three\u2069", "one two three"),
        ("a\0b\x1bc\x7fd\x9fe", "abcde"),
        ("e\u200b\u0301", "\u00e9"),
        ("\u200b \u00ad\ufeff", ""),
        ("\u00a0a\u200b ", "a"),
    ],
)
def test_what_nobody_sees_is_no_part_of_a_text(text: str, expected: str) -> None:
    assert normalise_cleaned(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "\u0645\u06cc\u200c\u0631\u0648\u0645",  # Persian
        "\u0915\u094d\u200d\u0937 \u0d28\u0d4d\u200d",  # Devanagari, Malayalam
        FAMILY,
        HEART_ON_FIRE,
        WALES,
        "\u180b\u180e\u1820",  # Mongolian
        "\u06dd1 \ufffc \ue000 \u0378",  # seen, or nobody knows
        "two  blanks, and e\u0301\u0300"[:-2],
    ],
)
def test_what_scripts_and_emoji_are_written_with_stays(text: str) -> None:
    assert clean(text) == text


def test_joiners_go_where_no_script_needs_them() -> None:
    assert clean("a\u200db \u200cc \u6771\u200d\u4eac") == "ab c \u6771\u4eac"
    assert clean("\u0645\u200c\u200c\u06cc") == "\u0645\u200c\u06cc"
    assert clean("x\U000e0067\U000e007f") == "x"


AWKWARD = st.sampled_from(
    "\u200c\u200d\u200b\u00ad\u0301\u0327ea\u0628\u0915\u094d \u2764\ufe0f\U0001f3f4\U000e0067\u00a0\u1100\u1161\u11a8"
)


@given(st.text(st.one_of(st.characters(exclude_categories=["Cs"]), AWKWARD)))
def test_a_cleaned_text_is_normalised_and_cleaning_it_again_changes_nothing(text: str) -> None:
    cleaned = normalise_cleaned(text)
    assert normalise(cleaned) == cleaned
    assert clean(cleaned) == cleaned


def test_the_setting_chooses() -> None:
    assert normaliser(cleans=False)(" a\u00adb ") == "a\u00adb"
    assert normaliser(cleans=True)(" a\u00adb ") == "ab"
