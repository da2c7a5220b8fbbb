import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmt.text.tokenizer import Characters, Words
from nmt.text.tokenizer_training import BYTE_PIECES
from nmt.text.vocab import BOS, EOS, PAD, UNK

SPECIALS = ["<pad>", "<unk>", "<s>", "</s>"]
BYTE_NAMES = [piece.text for piece in BYTE_PIECES]
WORDS = Words([*SPECIALS, "\u2581the", "\u2581cat", "\u2581[NUM]"])
CHARACTERS = Characters([*SPECIALS, "\u2581", "a", "b", "[NUM]"])
WITH_BYTES = Characters([*SPECIALS, "[NUM]", *BYTE_NAMES, "\u2581", "a", "é"], first_byte=5)


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


def test_a_piece_without_a_mark_is_no_word() -> None:
    assert Words([*SPECIALS, "the", "\u2581cat"]).encode(["the cat"]) == [[UNK, 5]]


def test_text_is_cut_into_characters_and_each_unknown_one_counts() -> None:
    assert CHARACTERS.encode(["a b", "azyb"]) == [[4, 5, 4, 6], [4, 5, UNK, UNK, 6]]
    assert CHARACTERS.split("a b") == ["\u2581", "a", "\u2581", "b"]
    assert CHARACTERS.decode([4, 5, UNK, UNK, 6]) == "a\u2047\u2047b"


def test_a_symbol_is_one_character_and_the_longest_wins() -> None:
    assert CHARACTERS.encode(["a[NUM]b[N"]) == [[4, 5, 7, 6, UNK, UNK]]
    nested = Characters([*SPECIALS, "\u2581", "<b>", "<b>x", "x"])
    assert nested.encode(["<b>x<b><b"]) == [[4, 6, 5, UNK, UNK]]
    assert nested.split("<b>x<b>") == ["\u2581", "<b>x", "<b>"]


def test_a_character_without_a_piece_is_cut_into_its_bytes() -> None:
    mark, a, e_acute = 261, 262, 263
    assert WITH_BYTES.encode(["aé", "b走[NUM]", "", "\U0001f600"]) == [
        [mark, a, e_acute],
        [mark, 5 + 0x62, 5 + 0xE8, 5 + 0xB5, 5 + 0xB0, 4],
        [],
        [mark, *(5 + byte for byte in b"\xf0\x9f\x98\x80")],
    ]
    assert WITH_BYTES.split("ab走") == ["\u2581", "a", "b", "\udce8", "\udcb5", "\udcb0"]
    assert WITH_BYTES.decode([mark, a, 5 + 0xE8, 5 + 0xB5, mark, 5 + 0x20]) == "a\ufffd\ufffd  "


def test_odd_characters_are_characters() -> None:
    assert CHARACTERS.split("\n\r\u2028\0\U0001f600") == ["\u2581", "\n", "\r", "\u2028", "\0", "\U0001f600"]
    assert CHARACTERS.encode(["\n\r\u2028\0\U0001f600"]) == [[4, *[UNK] * 5]]


@pytest.mark.parametrize("units", [WORDS, CHARACTERS])
def test_special_ids_leave_no_trace_in_text(units: Words | Characters) -> None:
    assert units.decode([BOS, 4, PAD, 5, EOS]) == units.decode([4, 5])
    assert units.decode([]) == ""
    assert units.encode(["", "   ", "\u2581"]) == [[], [], []]


@pytest.mark.parametrize("units", [WORDS, CHARACTERS, WITH_BYTES])
@given(st.lists(st.text(st.one_of(st.sampled_from("ab é"), st.characters(blacklist_categories=("Cs",)))), max_size=4))
def test_flat_ids_are_the_same_and_as_many_as_the_parts_of_the_text(
    units: Words | Characters, texts: list[str]
) -> None:
    flat, lists = units.encode_flat(texts), units.encode(texts)
    assert [flat.row(index) for index in range(len(flat))] == lists
    assert [len(units.split(text)) for text in texts] == list(map(len, lists))
    assert flat.values.dtype == flat.lengths.dtype == "int32"


@given(st.lists(st.text(st.characters(blacklist_characters=" \u2581"), min_size=1), max_size=5))
def test_text_of_words_comes_back(words: list[str]) -> None:
    text = " ".join(words)
    units = Words([*SPECIALS, *{f"\u2581{word}": None for word in words}])
    assert units.decode(units.encode([text])[0]) == text
    letters = Characters([*SPECIALS, "\u2581", *dict.fromkeys("".join(words))])
    assert letters.decode(letters.encode([text])[0]) == text


@given(st.lists(st.text(st.characters(blacklist_characters=" \u2581", blacklist_categories=("Cs",)), min_size=1)))
def test_with_bytes_nothing_is_unknown_and_text_comes_back(words: list[str]) -> None:
    text = " ".join(words)
    [ids] = WITH_BYTES.encode([text])
    assert UNK not in ids
    assert WITH_BYTES.decode(ids) == text
