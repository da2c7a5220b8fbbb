import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmt.markup.spans import find_unread

KNOWN = frozenset("abcdefghijklmnopqrstuvwxyzé0123456789.,❤")
FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
FLAG = "\U0001f1eb\U0001f1f7"
WAVE = "\U0001f44b\U0001f3fd"
ON_FIRE = "\U0001f9d1\u200d❤\ufe0f"


def taken(text: str) -> list[str]:
    return [text[stretch.start : stretch.end] for stretch in find_unread(text, KNOWN)]


@pytest.mark.parametrize("emoji", ["😀", FAMILY, FLAG, WAVE, ON_FIRE, "😀😀", "→", "★"])
def test_symbols_are_taken_whole_wherever_they_stand(emoji: str) -> None:
    assert taken(f"a dog{emoji}. {emoji} b") == [emoji, emoji]


@pytest.mark.parametrize("word", ["北京", "Привет", "हिन्दी", "४२", "北京2"[:-1]])
def test_words_of_which_nothing_is_known_are_taken(word: str) -> None:
    assert taken(f"a {word}, dog {word}") == [word, word]


@pytest.mark.parametrize(
    "text", ["aЖb", "Жan", "e\u0301", "北京x", "a\u00adb", "a\u200bb", "what?! no — yes", "a \0 b", "❤\ufe0f"]
)
def test_parts_of_words_punctuation_and_control_characters_stay(text: str) -> None:
    assert taken(text) == []


def test_what_is_masked_stays() -> None:
    assert find_unread("a ४२ b", KNOWN, [(2, 4)]) == []
    assert len(find_unread("a ४२ b", KNOWN, [(4, 6)])) == 1


@given(st.text(st.one_of(st.characters(), st.sampled_from("ab 😀\u200d\ufe0f北Ж.\U0001f3fd"))))
def test_stretches_are_in_order_and_apart_and_hold_something_unknown(text: str) -> None:
    end = 0
    for stretch in find_unread(text, KNOWN):
        assert end <= stretch.start < stretch.end <= len(text)
        assert text[stretch.start] not in KNOWN
        assert not any(character.isspace() for character in text[stretch.start : stretch.end])
        end = stretch.end
