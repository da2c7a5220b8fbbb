import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from nmt.text.alignment import align_words, join_pieces, pharaoh, replace_unknown, word_spans
from nmt.text.tokenizer import Tokenizer
from nmt.text.tokenizer_training import TokenizerPlan, train_tokenizer

LINES = ["the cat sat on the mat", "a dog ran to the cat", "le chat dort [NUM]"] * 5
TOKENIZER = Tokenizer(train_tokenizer(LINES, TokenizerPlan("bpe", 36, symbols=("[NUM]",))))


def pieces(text: str) -> list[str]:
    """Write the mark as an underscore."""
    return text.replace("_", "\u2581").split()


def attending(*columns: int, width: int) -> NDArray[np.float32]:
    """Let each row attend to one column."""
    return np.eye(width, dtype=np.float32)[list(columns)]


@given(st.lists(st.integers(0, len(TOKENIZER) - 1), max_size=12))
def test_joined_pieces_are_what_the_tokenizer_makes_of_the_ids(ids: list[int]) -> None:
    assert join_pieces([TOKENIZER.pieces[index] for index in ids]) == TOKENIZER.decode([ids])[0]


@given(st.lists(st.integers(0, len(TOKENIZER) - 1), max_size=12))
def test_there_are_as_many_words_as_the_text_has(ids: list[int]) -> None:
    assert len(word_spans([TOKENIZER.pieces[index] for index in ids])) == len(TOKENIZER.decode([ids])[0].split())


@pytest.mark.parametrize(
    ("written", "spans"),
    [
        ("_the _c at", [(0, 1), (1, 3)]),
        ("the _cat", [(0, 1), (1, 2)]),
        ("_ [NUM] x _cat", [(0, 3), (3, 4)]),
        ("_ _ _cat", [(0, 3)]),
        ("_cat _ _", [(0, 3)]),
        ("_cat _ [NUM]", [(0, 1), (1, 3)]),
        ("_c <unk> t", [(0, 1), (1, 2), (2, 3)]),
        ("_ <unk> <unk>", [(0, 2), (2, 3)]),
        ("<s> _a </s> <pad>", [(0, 4)]),
        ("_", []),
        ("", []),
        ("_New_York _is", [(0, 1), (0, 1), (1, 2)]),
    ],
)
def test_words_begin_where_the_text_has_spaces(written: str, spans: list[tuple[int, int]]) -> None:
    assert word_spans(pieces(written)) == spans


def test_attention_to_the_pieces_of_a_source_word_adds_up() -> None:
    weights = np.array([[0.4, 0.3, 0.3]], dtype=np.float32)
    assert align_words(pieces("_a _b c"), pieces("_x"), weights) == [(1, 0)]


def test_the_attention_of_the_pieces_of_a_target_word_is_averaged() -> None:
    weights = np.array([[0.9, 0.1], [0.2, 0.8], [0.1, 0.85], [0.9, 0.1]], dtype=np.float32)  # means of three: 0.4, 0.58
    assert align_words(pieces("_a _b"), pieces("_x y z _z"), weights) == [(0, 1), (1, 0)]


def test_words_are_those_of_the_text_where_its_white_space_is_no_space() -> None:
    assert word_spans([*pieces("_a"), "\t", "b", *pieces("_c")]) == [(0, 3), (0, 3), (3, 4)]
    assert word_spans([*pieces("_"), "\u2028", *pieces("_c")]) == [(2, 3)]


def test_links_are_sorted_by_source_then_target() -> None:
    weights = attending(2, 0, 2, 1, width=3)
    assert align_words(pieces("_a _b _c"), pieces("_w _x _y _z"), weights) == [(0, 1), (1, 3), (2, 0), (2, 2)]


def test_of_equal_attention_the_first_source_word_gets_the_link() -> None:
    weights = np.array([[0.25, 0.25, 0.25, 0.25]], dtype=np.float32)
    assert align_words(pieces("_a _b _c _d"), pieces("_x"), weights) == [(0, 0)]
    assert align_words(pieces("_a _b c _d"), pieces("_x"), weights) == [(1, 0)]


def test_a_target_word_without_attention_has_no_link() -> None:
    weights = np.array([[0.0, 0.0], [0.0, 0.1]], dtype=np.float32)
    assert align_words(pieces("_a _b"), pieces("_x _y"), weights) == [(1, 1)]


@pytest.mark.parametrize(("src", "tgt"), [("", "_x _y"), ("_a", ""), ("", ""), ("_", "_x")])
def test_without_words_there_are_no_links(src: str, tgt: str) -> None:
    weights = np.ones((len(pieces(tgt)), len(pieces(src))), dtype=np.float32)
    assert align_words(pieces(src), pieces(tgt), weights) == []
    assert replace_unknown(pieces(src), pieces(tgt), weights) == pieces(tgt)


def test_links_are_written_source_first() -> None:
    assert pharaoh([(0, 0), (1, 2), (10, 3)]) == "0-0 1-2 10-3"
    assert pharaoh([]) == ""


@pytest.mark.parametrize(
    ("src", "tgt", "columns", "replaced"),
    [
        ("_in _K ö ln", "_in _ <unk>", [0, 1, 2], "in Köln"),
        ("_K ö ln , _yes", "_K <unk> ln , _ja", [0, 1, 0, 3, 4], "Köln, ja"),  # its comma comes with the word
        ("_a _b", "<unk> _x", [1, 0], "b x"),
        ("_a _b", "_ <unk> <unk> _x", [0, 1, 1, 0], "b x"),
        ("_a _b", "_ <unk> _ <unk>", [0, 0, 0, 1], "a b"),
        ("_a _b", "_x _ _ <unk> _", [0, 0, 0, 1, 0], "x b"),
        ("_a _b", "_x _y", [0, 1], "x y"),
    ],
)
def test_an_unknown_word_becomes_the_source_word_that_it_attends_to(
    src: str, tgt: str, columns: list[int], replaced: str
) -> None:
    weights = attending(*columns, width=len(pieces(src)))
    assert join_pieces(replace_unknown(pieces(src), pieces(tgt), weights)) == replaced


def test_only_the_unknown_pieces_of_a_word_choose_its_source_word() -> None:
    weights = np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6]], dtype=np.float32)
    assert replace_unknown(pieces("_a _b"), pieces("_x y <unk>"), weights) == [*pieces("_b"), "", ""]


def test_in_scripts_without_spaces_pieces_are_replaced_one_by_one() -> None:
    src, tgt = pieces("_\u6211 \u559c\u6b61 \u3402"), pieces("_\u79c1\u306f <unk> \u304c <unk> <unk>")
    replaced = replace_unknown(src, tgt, attending(0, 2, 1, 1, 1, width=3))
    assert join_pieces(replaced) == "\u79c1\u306f\u3402\u304c\u559c\u6b61"


def test_a_dictionary_translates_the_source_word() -> None:
    dictionary = {"Cologne": "Köln", "etc.": "usw.", "NYC": "New York", "um": ""}

    def translate(word: str) -> str:
        src, tgt = pieces(f"_{word}"), pieces("_in _ <unk> _x")
        return join_pieces(replace_unknown(src, tgt, attending(0, 0, 0, 0, width=1), dictionary=dictionary))

    assert translate("Cologne") == "in Köln x"
    assert translate("(Cologne),") == "in (Köln), x"
    assert translate("etc.") == "in usw. x"
    assert translate("Bonn,") == "in Bonn, x"
    assert translate("...") == "in ... x"
    assert translate("NYC") == "in New York x"
    assert translate("um") == "in x"


def test_replaced_words_can_be_aligned_by_the_same_weights() -> None:
    src, tgt = pieces("_a _NYC _b"), pieces("_x _ N <unk> _y")
    weights = attending(0, 1, 1, 1, 2, width=3)
    replaced = replace_unknown(src, tgt, weights, dictionary={"NYC": "New York"})
    assert join_pieces(replaced) == "x New York y"
    assert align_words(src, replaced, weights) == [(0, 0), (1, 1), (1, 2), (2, 3)]


def test_an_unknown_piece_without_attention_stays() -> None:
    weights = np.zeros((2, 1), dtype=np.float32)
    assert replace_unknown(pieces("_a"), pieces("_x <unk>"), weights) == pieces("_x <unk>")


@given(st.lists(st.sampled_from(pieces("_the _ at _c [NUM] </s> \u6211")), max_size=8))
def test_pieces_without_an_unknown_one_stay_as_they_are(tgt: list[str]) -> None:
    weights = np.ones((len(tgt), 2), dtype=np.float32)
    assert replace_unknown(pieces("_a _b"), tgt, weights) == tgt


@pytest.mark.parametrize("function", [align_words, replace_unknown])
def test_weights_of_another_shape_are_refused(function: object) -> None:
    message = "attention weights of shape [2, 1] for 1 target pieces and 2 source pieces; expected [1, 2]"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        function(pieces("_a _b"), pieces("_x"), np.ones((2, 1), dtype=np.float32))  # type: ignore[operator]


def test_bytes_are_joined_to_characters() -> None:
    spelled = pieces("_caf \udcc3 \udca9 _ \udce8 \udcb5 \udcb0")
    assert join_pieces(spelled) == "café 走"
    assert word_spans(spelled) == [(0, 3), (3, 7)]
    assert join_pieces(pieces("_a \udcc3 _ \udcb5 b")) == "a\ufffd \ufffdb"


BYTEWISE = Tokenizer(train_tokenizer([], TokenizerPlan("byte", 16)))


@given(st.text(st.characters(blacklist_categories=("Cs",))).map(str.lstrip))
def test_joined_bytes_are_what_the_tokenizer_makes_of_the_ids(text: str) -> None:
    [ids] = BYTEWISE.encode([text])
    assert join_pieces(BYTEWISE.split(text)) == text == BYTEWISE.decode([ids])[0]
