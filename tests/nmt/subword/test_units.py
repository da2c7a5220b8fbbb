import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmt.subword.units import character_units, word_units
from nmt.vocab import BOS, EOS, PAD, UNK

SPECIALS = ["<pad>", "<unk>", "<s>", "</s>"]
WORDS = word_units([*SPECIALS, "\u2581the", "\u2581cat", "\u2581[NUM]"])
CHARACTERS = character_units([*SPECIALS, "\u2581", "a", "b", "[NUM]"])


def test_text_is_cut_at_spaces_and_each_unknown_word_counts() -> None:
    assert WORDS.encode(["the cat", "a zebra the", "The cat.", "the [NUM] [NUM]."]) == [
        [4, 5],
        [UNK, UNK, 4],
        [UNK, UNK],
        [4, 6, UNK],
    ]
    assert WORDS.split("a zebra the") == ["\u2581a", "\u2581zebra", "\u2581the"]


def test_the_word_unk_is_an_unknown_word_and_other_special_pieces_are_words_of_no_place() -> None:
    assert WORDS.encode(["<unk> cat <s> </s> <pad>"]) == [[UNK, 5, UNK, UNK, UNK]]
    assert WORDS.decode([4, UNK, 5]) == "the <unk> cat"


def test_only_spaces_and_their_marks_part_words() -> None:
    assert WORDS.split("a\tb\u00a0c\u2028d\r\0 \u2581 e\u2581f") == [
        "\u2581a\tb\u00a0c\u2028d\r\0",
        "\u2581e",
        "\u2581f",
    ]


def test_text_is_cut_into_characters_and_each_unknown_one_counts() -> None:
    assert CHARACTERS.encode(["a b", "azyb"]) == [[4, 5, 4, 6], [4, 5, UNK, UNK, 6]]
    assert CHARACTERS.split("a b") == ["\u2581", "a", "\u2581", "b"]
    assert CHARACTERS.decode([4, 5, UNK, UNK, 6]) == "a\u2047\u2047b"


def test_a_placeholder_is_one_character() -> None:
    assert CHARACTERS.encode(["a[NUM]b[N"]) == [[4, 5, 7, 6, UNK, UNK]]


def test_odd_characters_are_characters() -> None:
    assert CHARACTERS.split("\n\r\u2028\0\U0001f600") == ["\u2581", "\n", "\r", "\u2028", "\0", "\U0001f600"]


@pytest.mark.parametrize("units", [WORDS, CHARACTERS])
def test_special_ids_leave_no_trace_in_text(units: object) -> None:
    assert isinstance(units, type(WORDS))
    assert units.decode([BOS, 4, PAD, 5, EOS]) == units.decode([4, 5])
    assert units.decode([]) == ""
    assert units.encode(["", "   ", "\u2581"]) == [[], [], []]


@given(st.lists(st.text(st.characters(blacklist_characters=" \u2581"), min_size=1), max_size=5))
def test_text_of_words_comes_back(words: list[str]) -> None:
    text = " ".join(words)
    units = word_units([*SPECIALS, *{f"\u2581{word}": None for word in words}])
    assert units.decode(units.encode([text])[0]) == text
    letters = character_units([*SPECIALS, "\u2581", *dict.fromkeys("".join(words))])
    assert letters.decode(letters.encode([text])[0]) == text
