import pytest
from hypothesis import given
from hypothesis import strategies as st
from sentencepiece import SentencePieceProcessor

from nmt.text.tokenizer import Tokenizer
from nmt.text.tokenizer_training import make_byte_model, train_tokenizer

BYTES = Tokenizer(make_byte_model(("<news>",)))
SENTENCEPIECE = SentencePieceProcessor(model_proto=make_byte_model(("<news>",)))
TEXTS = st.text(st.characters(blacklist_categories=("Cs",)))


def test_a_model_of_bytes_has_specials_symbols_and_256_bytes() -> None:
    assert (BYTES.kind, len(BYTES), BYTES.has_bytes, BYTES.symbols) == ("byte", 261, True, {"<news>"})
    assert BYTES.pieces[:6] == ["<pad>", "<unk>", "<s>", "</s>", "<news>", "<0x00>"]
    assert BYTES.pieces[-1] == "<0xFF>"


def test_text_becomes_its_bytes_behind_a_space() -> None:
    assert BYTES.encode(["aé", "a<news> b", ""]) == [
        [5 + byte for byte in b" a\xc3\xa9"],
        [5 + 0x20, 5 + 0x61, 4, 5 + 0x20, 5 + 0x62],
        [],
    ]
    assert BYTES.split("aé <news>") == ["\u2581", "a", "\udcc3", "\udca9", "\u2581", "<news>"]


@given(TEXTS)
def test_any_text_comes_back_from_its_bytes_and_has_nothing_unknown(text: str) -> None:
    [ids] = BYTES.encode([text])
    assert BYTES.decode([ids]) == [text]
    assert min(ids, default=4) >= 4
    assert len(BYTES.split(text)) == len(ids)


@given(TEXTS)
def test_sentencepiece_cuts_a_model_of_bytes_in_the_same_way(text: str) -> None:
    assert BYTES.encode([text]) == [SENTENCEPIECE.encode(text)]


def test_bytes_that_are_no_character_are_decoded_with_a_mark() -> None:
    assert BYTES.decode([[5 + 0x61, 5 + 0xC3, 5 + 0x62, 2, 3, 0], [5 + 0xE4, 5 + 0xB8]]) == ["a\ufffdb", "\ufffd\ufffd"]


def test_words_below_the_frequency_have_no_piece_and_the_most_frequent_comes_first() -> None:
    lines = ["the cat", "the dog", "the cat", "a bird"]
    model = train_tokenizer(lines, kind="word", vocab_size=99, min_frequency=2)
    assert Tokenizer(model).pieces[4:] == ["\u2581the", "\u2581cat"]
    model = train_tokenizer(lines, kind="word", vocab_size=99, min_frequency=4)
    assert Tokenizer(model).pieces[4:] == []


def test_characters_below_the_frequency_have_no_piece_but_the_mark_of_a_space_has() -> None:
    model = train_tokenizer(["aab", "acb", "d"], kind="char", vocab_size=99, min_frequency=2)
    assert Tokenizer(model).pieces[4:] == ["a", "\u2581", "b"]
    model = train_tokenizer(["aab", "acb"], kind="char", vocab_size=99, min_frequency=3, symbols=["<b>"])
    assert Tokenizer(model).pieces[4:] == ["<b>", "a", "\u2581"]


def test_a_frequency_leaves_the_pieces_of_bytes() -> None:
    model = train_tokenizer(["aab", "acb"], kind="char", vocab_size=999, min_frequency=3, byte_fallback=True)
    tokenizer = Tokenizer(model)
    assert tokenizer.pieces[4 + 256 :] == ["a", "\u2581"]
    assert tokenizer.encode(["ab"]) == [[261, 260, 4 + ord("b")]]


@pytest.mark.parametrize("min_frequency", [1, 2])
def test_symbols_are_words_of_the_vocabulary_however_rare(min_frequency: int) -> None:
    lines = ["the cat", "the cat", "<b> the dog"]
    options = {"kind": "word", "min_frequency": min_frequency, "symbols": ["<news>", "<b>"]}
    tokenizer = Tokenizer(train_tokenizer(lines, vocab_size=8, **options))  # type: ignore[arg-type]
    assert tokenizer.pieces[4:] == ["\u2581<news>", "\u2581<b>", "\u2581the", "\u2581cat"]
    assert tokenizer.encode(["<news> the<b>"]) == [[4, 1]]
    assert {"<news>", "<b>", "the"} <= tokenizer.symbols
