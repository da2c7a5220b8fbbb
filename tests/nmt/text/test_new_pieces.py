from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmt.errors import ConfigError
from nmt.text.new_pieces import new_words, parts, wanting, with_more
from nmt.text.tokenizer import Kind, Tokenizer
from nmt.text.tokenizer_training import TokenizerPlan, train_tokenizer
from nmt.text.vocab import SPACE_MARK, UNK

LINES = ["the cat sat on the mat", "a cat and a hat and the rat", "that hen has ten hats"] * 4
TOKENIZERS = {
    kind: Tokenizer(train_tokenizer(LINES, TokenizerPlan(kind, 24 if kind in ("unigram", "bpe") else 40)))
    for kind in get_args(Kind)
}
KINDS = pytest.mark.parametrize("kind", ["unigram", "bpe", "word", "char"])


def grown(kind: Kind, pieces: list[str], symbols: list[str]) -> tuple[Tokenizer, list[str]]:
    model, new = with_more(TOKENIZERS[kind], pieces, symbols)
    return Tokenizer(model), new


@KINDS
def test_a_text_is_cut_into_a_new_piece(kind: Kind) -> None:
    piece = "z" if kind == "char" else " hatches"
    tokenizer, new = grown(kind, [piece], [])
    assert new == [piece.replace(" ", SPACE_MARK) if kind != "word" else f"{SPACE_MARK}hatches"]
    assert tokenizer.pieces == [*TOKENIZERS[kind].pieces, *new]
    text = "the hatches zat" if kind != "char" else "the zat"
    assert len(tokenizer.pieces) - 1 in tokenizer.encode([text])[0]
    assert tokenizer.decode(tokenizer.encode(["the hatches"])) == ["the hatches"]


@pytest.mark.parametrize("kind", get_args(Kind))
def test_a_new_symbol_is_never_cut(kind: Kind) -> None:
    tokenizer, new = grown(kind, [], ["<b>"])
    assert tokenizer.encode(["the <b> cat"])[0].count(len(tokenizer) - 1) == 1
    assert "<b>" in tokenizer.symbols
    assert new == [f"{SPACE_MARK}<b>" if kind == "word" else "<b>"]


@given(st.lists(st.sampled_from(["the", "cat", "hats", "then", "ten", "and", "xyz"]), max_size=8))
def test_text_without_the_new_pieces_is_cut_as_before(words: list[str]) -> None:
    for kind, old in TOKENIZERS.items():
        tokenizer, _ = grown(kind, [] if kind == "byte" else ["q"] if kind == "char" else [" quick"], ["<b>"])
        assert tokenizer.encode([" ".join(words)]) == old.encode([" ".join(words)])


def test_pieces_that_are_there_are_passed_over() -> None:
    known = TOKENIZERS["unigram"].pieces[5]
    assert grown("unigram", [known, " quick", " quick"], [])[1] == [f"{SPACE_MARK}quick"]


@pytest.mark.parametrize(
    ("kind", "piece", "problem"),
    [
        ("unigram", "two words", r"^'two words' cannot be a piece: expected characters without spaces between them$"),
        ("unigram", " ", r"cannot be a piece: expected characters"),
        ("unigram", "<s>", r"^'<s>' cannot be a piece: a special piece or a byte has this name$"),
        ("bpe", "a\nb", r"cannot be a piece: it has control characters or line ends$"),
        ("byte", "quick", r"^'quick' cannot be a piece: text of bytes has no other pieces; add it as a symbol$"),
    ],
)
def test_what_no_piece_can_be_is_refused(kind: Kind, piece: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        with_more(TOKENIZERS[kind], [piece], [])


@pytest.mark.parametrize("symbol", ["a b", "a▁b", "x"])
def test_a_symbol_is_one_that_settings_can_have(symbol: str) -> None:
    with pytest.raises(ConfigError, match=rf"^found the symbol '{symbol}', expected two characters or more and no spa"):
        with_more(TOKENIZERS["unigram"], [], [symbol])


def test_a_text_wants_every_unknown_character_that_can_be_seen() -> None:
    lines = ["10 € 👍\u00ad\u200d\u00a0the"] * 2
    assert set(wanting(TOKENIZERS["unigram"], lines, min_count=2, limit=10)) == {"1", "0", "€", "👍"}


def test_the_parts_of_a_piece_are_those_that_it_was_cut_into() -> None:
    tokenizer = TOKENIZERS["char"]
    pieces = [tokenizer.pieces[index] for index in parts(tokenizer, "hen")]
    assert pieces == ["h", "e", "n"]
    assert [tokenizer.pieces[index] for index in parts(tokenizer, f"{SPACE_MARK}hen")] == [SPACE_MARK, "h", "e", "n"]
    assert parts(tokenizer, "q") == [UNK]


def test_a_text_wants_the_words_that_it_has_often_and_that_are_cut_into_many() -> None:
    lines = ["the Quagga, the quokka.", "Quagga! quokka", "quokka; the Numbat"]
    found = wanting(TOKENIZERS["unigram"], lines, min_count=2, limit=10)
    assert found[0] == "u"  # a character that it does not know, in every line
    assert f"{SPACE_MARK}quokka" in found
    assert f"{SPACE_MARK}Numbat" not in found
    assert f"{SPACE_MARK}the" not in found
    assert wanting(TOKENIZERS["unigram"], lines, min_count=2, limit=1) == found[:1]
    assert wanting(TOKENIZERS["byte"], lines, min_count=1, limit=10) == []


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("the cat sat", "the chest, hatches sat, hatches", ["chest", "hatches"]),
        ("a chest sat", "a chest", []),
        ("the cat", 'the "chest (hens', []),
        ("the cat", "the Chest", []),
    ],
)
def test_new_words_come_after_a_space_and_are_cut_into_several_known_pieces(
    before: str, after: str, words: list[str]
) -> None:
    assert new_words(TOKENIZERS["unigram"], before, after) == words


@pytest.mark.parametrize("kind", ["word", "char", "byte"])
def test_only_subwords_make_new_words(kind: Kind) -> None:
    assert new_words(TOKENIZERS[kind], "the cat", "the hatches") == []


def test_a_script_without_spaces_makes_no_new_words() -> None:
    lines = ["\u732b\u304c\u5bdd\u308b", "\u72ac\u304c\u5bdd\u308b"] * 4
    tokenizer = Tokenizer(train_tokenizer(lines, TokenizerPlan("unigram", 12)))
    assert len(tokenizer.encode(["\u732b\u72ac"])[0]) > 1
    assert new_words(tokenizer, "\u732b", "\u732b\u72ac") == []
