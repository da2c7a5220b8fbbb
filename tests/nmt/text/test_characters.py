import re
import sys
import unicodedata
from itertools import pairwise

import pytest

from nmt.errors import ConfigError
from nmt.text import characters
from nmt.text.characters import continues, is_sign, script_shares, scripts_of, shares_by_script, symbol_shares


def scripts(language: str | None) -> tuple[str, ...]:
    return scripts_of(language, setting="data.src_lang")


def test_symbols_are_all_but_letters_marks_and_spaces() -> None:
    assert symbol_shares(["ab", "a1", "a, b!", "3.14", "1\u00a0000 €"]).tolist() == [0.0, 0.5, 0.5, 1.0, 1.0]


def test_marks_are_part_of_words() -> None:
    assert unicodedata.category("\u093f") == "Mc"
    assert symbol_shares(["हिन्दी", "e\u0301", "a\ufe0f", "a\U000e0100"]).tolist() == [0.0] * 4


def test_letters_of_any_script_are_no_symbols() -> None:
    texts = ["Ελληνικά", "Русский", "中文", "한국어", "ไทย", "\U0001d49c", "ª", "\u02bc", "𠀀", "\U0001e900"]
    assert symbol_shares(texts).tolist() == [0.0] * len(texts)


def test_pictures_replaced_bytes_and_characters_that_nobody_knows_are_symbols() -> None:
    texts = ["🙂", "\ufffd", "\u0378", "\ue000", "\U0010ffff", "\ud800", "\x00", "²", "½", "_"]
    assert symbol_shares(texts).tolist() == [1.0] * len(texts)


def test_the_share_of_symbols_is_of_what_can_be_seen() -> None:
    assert symbol_shares(["ab \t\u2003 1"]).tolist() == [1 / 3]
    assert symbol_shares(["", " "]).tolist() == [0.0, 0.0]


def test_every_character_is_what_unicode_says() -> None:
    characters = [chr(code) for code in range(sys.maxunicode + 1)]
    expected = [not character.isspace() and unicodedata.category(character)[0] not in "LM" for character in characters]
    assert symbol_shares(characters).astype(bool).tolist() == expected


def test_the_script_share_is_of_the_letters() -> None:
    assert script_shares(["abc", "abc где", "где", "a 1234!", "où?"], ["Latn"]).tolist() == [1.0, 0.5, 0.0, 1.0, 1.0]
    assert script_shares(["abc где"], ["Cyrl"]).tolist() == [0.5]
    assert script_shares(["abc где"], ["Latn", "Cyrl"]).tolist() == [1.0]


def test_a_text_without_letters_is_of_every_script() -> None:
    assert script_shares(["", "42", "?!", "🙂"], ["Thai"]).tolist() == [1.0] * 4


def test_marks_do_not_count_as_letters_of_a_script() -> None:
    assert script_shares(["a\u0301\u0302д"], ["Latn"]).tolist() == [0.5]


def test_signs_that_every_script_uses_are_left_aside() -> None:
    micro, italic_x, apostrophe, aleph = "\u00b5", "\U0001d465", "\u02bc", "\u2135"
    assert script_shares([f"5 {micro} {italic_x} {apostrophe} {aleph} дa"], ["Cyrl"]).tolist() == [0.5]
    assert script_shares([f"{micro}{italic_x}{apostrophe}{aleph}"], ["Cyrl"]).tolist() == [1.0]


def test_letters_that_several_scripts_share_are_of_the_script_in_whose_words_they_stand() -> None:
    assert script_shares(["ー〆ab", "ｰﾟab"], ["Kana", "Hani"]).tolist() == [0.5, 0.5]
    assert script_shares(["ـa"], ["Arab"]).tolist() == [0.5]
    assert script_shares(["1ᵉʳд"], ["Latn"]).tolist() == [2 / 3]


def test_letters_of_scripts_without_a_language_here_count_against_a_text() -> None:
    assert script_shares(["ab\U00010380\U00010381", "\U00017000"], ["Latn"]).tolist() == [0.5, 0.0]


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("am", "አማርኛ"),
        ("ar", "العربيـــة"),
        ("bn", "বাংলা"),
        ("bo", "བོད་སྐད།"),
        ("chr", "ᏣᎳᎩ"),
        ("de", "Straße Öl"),
        ("dv", "ދިވެހި"),
        ("el", "Ελληνικά"),
        ("es", "1º 2ª ñandú"),
        ("fa", "می\u200cشود"),
        ("gu", "ગુજરાતી"),
        ("he", "עברית"),
        ("hi", "हिन्दी"),
        ("hy", "Հայերեն"),
        ("ja", "東京タワーへ行く 人々 ﾃｽﾄ"),
        ("ka", "ქართული"),
        ("km", "ភាសាខ្មែរ"),
        ("kn", "ಕನ್ನಡ"),
        ("ko", "한국어 漢字"),
        ("lo", "ພາສາລາວ"),
        ("ml", "മലയാളം"),
        ("my", "မြန်မာ"),
        ("or", "ଓଡ଼ିଆ"),
        ("pa", "ਪੰਜਾਬੀ"),
        ("ru", "Русский язык"),
        ("si", "සිංහල"),
        ("sr", "Српски srpski"),
        ("ta", "தமிழ்"),
        ("te", "తెలుగు"),
        ("th", "ภาษาไทย"),
        ("ti", "ትግርኛ"),
        ("uk", "Українська"),
        ("vi", "Tiếng Việt"),
        ("zgh", "ⵜⴰⵎⴰⵣⵉⵖⵜ"),
        ("zh", "中文 ㄅㄆㄇ 々"),
    ],
)
def test_a_language_is_written_in_its_script_and_no_other(language: str, text: str) -> None:
    own = scripts(language)
    assert script_shares([text], own).tolist() == [1.0]
    other = "Latn" if "Latn" not in own else "Thai"
    assert script_shares([text], [other]).tolist() == [0.0]


def test_a_code_may_name_the_script_or_a_region() -> None:
    assert scripts("sr") == ("Latn", "Cyrl")
    assert scripts("sr-Latn") == scripts("sr_latn_RS") == scripts("en-GB") == scripts("EN") == ("Latn",)
    assert scripts("zh-Hant") == ("Hani",)
    assert scripts("xx-Cyrl") == ("Cyrl",)
    assert scripts("ja") == ("Hani", "Hira", "Kana")


def test_a_missing_language_is_an_error_that_names_the_setting() -> None:
    with pytest.raises(ConfigError, match=r"^data\.src_lang is not set, but data\.min_script_share needs it; expected"):
        scripts(None)


def test_an_unknown_language_is_an_error_that_says_which_are_known() -> None:
    message = (
        r"^data\.src_lang is 'english', whose script data\.min_script_share does not know; expected one of af, am, an, "
        r".*zu, or a code with its script such as 'sr-Latn'$"
    )
    with pytest.raises(ConfigError, match=message):
        scripts("english")


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
