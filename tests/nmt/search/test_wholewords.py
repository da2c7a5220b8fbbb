import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nmt.search.forbidden import WholeWords, as_bytes


def found(text: str, *words: str) -> bool:
    return WholeWords(words).found_in(text)


def by_expression(text: str, word: str) -> bool:
    """Search with borders where one of two neighbours is no letter, mark or digit of a script with spaces, but for a
    sign behind any letter."""
    letter = r"[ae\u03040]"
    sign = "(?!\u0e48)"
    before = rf"(?<!{letter})" if re.match(letter, word) else ""
    behind = rf"(?!{letter}){sign}" if re.match(letter, word[-1]) else sign if word[-1] in "\u0e17\u0e48" else ""
    return re.search(before + r"\s+".join(map(re.escape, word.split())) + behind, text) is not None


@pytest.mark.parametrize("text", ["Hund", "der Hund.", "(Hund", "Hund-Katze", "▁Hund▁", "\u201eHund\u201c", "走Hund走"])
def test_a_word_is_found_whatever_stands_beside_it(text: str) -> None:
    assert found(text, "Hund")


@pytest.mark.parametrize("text", ["Hunden", "Schäferhund", "xHund", "Hund1", "Hund\u0301", "hund", "Hun d", ""])
def test_longer_words_and_others_are_not_found(text: str) -> None:
    assert not found(text, "Hund")


def test_a_word_may_begin_within_one_that_broke_off() -> None:
    assert found("a-a-b", "a-b")
    assert found("na na no", "na no")
    assert not found("na nano", "na no")


def test_any_white_space_is_as_good_as_another() -> None:
    for text in ("rote Katze", "rote  Katze", "rote\u00a0Katze", "rote▁▁Katze", "rote\t Katze"):
        assert found(text, " rote  Katze")
    assert not found("roteKatze", "rote Katze")


def test_every_character_of_a_script_without_spaces_is_a_word() -> None:
    assert found("東京都", "京")
    assert not found("東京都", "京東")
    assert found("a京", "京")


def test_signs_belong_to_the_letter_before_them() -> None:
    assert not found("ที่บ้าน", "ที")
    assert not found("มีที่", "ที")
    for text in ("ที", "ทีนี้", "ทีx", "ที 1", "มีที"):
        assert found(text, "ที")
    assert found("ที่", "ที่")
    assert not found("๑๒", "๒")


def test_what_begins_or_ends_without_a_letter_needs_no_border_there() -> None:
    assert found("x...y", "..")
    assert found("C++17", "C++")
    assert found("x-1y", "-1") is False
    assert found("x-1", "-1")


def test_one_of_several_texts_is_enough() -> None:
    assert found("a cat", "dog", "cat")
    assert not found("cats and dogs", "dog", "cat")


def test_characters_that_come_byte_by_byte_are_read() -> None:
    assert as_bytes("aä") == "a\udcc3\udca4"
    for text in ("Bär", "ä", "\u201cB", "走"):
        assert found(f"x {as_bytes(text)} x", text)
    assert not found(as_bytes("Bär"), "Bö")
    assert not found(as_bytes("BäR"), "Bär")


def test_other_characters_in_bytes_count_as_borders() -> None:
    assert found(as_bytes("Häus"), "H")
    assert not found("H" + "äus", "H")


def test_blank_texts_are_refused() -> None:
    for blank in ("", " ", "▁"):
        with pytest.raises(ValueError, match=r"^found a blank text among those that are looked for$"):
            WholeWords(["a", blank])


TEXTS = st.text(alphabet="aae0\u0304 -京\u0e17\u0e17\u0e48", max_size=14)
WORDS = st.text(alphabet="ae0\u0304 -京\u0e17\u0e48", min_size=1, max_size=5).filter(str.strip)
ASCII_WORDS = st.text(alphabet="abe0 -", min_size=1, max_size=6).filter(str.strip)


@given(text=TEXTS, words=st.lists(WORDS, min_size=1, max_size=3))
@example(text="a-a-a-e", words=["a-a-e"])
def test_what_is_found_is_what_an_expression_finds(text: str, words: list[str]) -> None:
    assert WholeWords(words).found_in(text) == any(by_expression(text, word.strip()) for word in words)


@given(words=st.lists(ASCII_WORDS, min_size=1, max_size=5))
def test_the_states_are_one_for_each_beginning_of_a_text_and_two_without_one(words: list[str]) -> None:
    assert len(WholeWords(words).moves) <= 2 + sum(map(len, words))


def test_characters_that_may_come_in_bytes_need_at_most_two_states_a_byte_in_ordinary_words() -> None:
    # a character that came in bytes is a border, so there is a state for it with either end
    words = ["Äpfel", "grün", "größere Straße", "東京タワー"]
    assert len(WholeWords(words).moves) <= 2 + 2 * sum(len(as_bytes(word)) for word in words)
