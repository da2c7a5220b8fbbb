import numpy as np
import pytest

from nmt.errors import ModelError
from nmt.text.sequences import FlatSequences
from nmt.training.resampling import Alphabet, lay_out

PIECES = ["<pad>", "<unk>", "<s>", "</s>", "[NUM]", "▁", "a", "b", "ab", "▁ab"]
UNK, NUM, MARK, A, B, AB, MARK_AB = 1, 4, 5, 6, 7, 8, 9
# The characters a, b and the mark of a word's start are 0, 1, 2; then come the fixed pieces in their order.
CODE_OF_UNK, CODE_OF_NUM = 4, 7


def alphabet() -> Alphabet:
    return Alphabet(PIECES, symbols=["[NUM]"])


def test_pieces_are_spelled_in_characters_and_fixed_pieces_are_one() -> None:
    assert alphabet().size == 3 + 5
    assert alphabet().spellings == [[3], [4], [5], [6], [7], [2], [0], [1], [0, 1], [2, 0, 1]]


def test_rows_are_written_out_with_their_words() -> None:
    rows = FlatSequences.from_lists([[MARK_AB, MARK, UNK, B], [A], [], [AB, NUM, MARK_AB]])
    text = alphabet().spell(rows, np.array([3, 2, 0]), np.array([10, 20, 30], dtype=np.uint64))
    assert text.codes.tolist() == [0, 1, CODE_OF_NUM, 2, 0, 1, 2, 0, 1, 2, CODE_OF_UNK, 1]
    assert text.rows.tolist() == [0, 0, 0, 0, 0, 0, 2, 2, 2, 2, 2, 2]
    assert np.flatnonzero(text.begins).tolist() == [0, 3, 6, 9]


def test_keys_depend_on_the_row_and_the_place_alone() -> None:
    rows = FlatSequences.from_lists([[MARK_AB, AB], [A, B]])
    both = alphabet().spell(rows, np.array([0, 1]), np.array([10, 20], dtype=np.uint64))
    second = alphabet().spell(rows, np.array([1]), np.array([20], dtype=np.uint64))
    assert both.keys[5:].tolist() == second.keys.tolist()
    assert len(set(both.keys.tolist())) == 7


def test_a_character_that_is_no_piece_is_an_error() -> None:
    with pytest.raises(ModelError, match=r"the tokenizer has no piece for the character 'c' alone"):
        Alphabet([*PIECES, "ac"], symbols=["[NUM]"])


def test_rows_are_laid_out_in_the_order_asked_for() -> None:
    scattered = FlatSequences(
        np.array([9, 5, 6, 7, 9, 8], dtype=np.int32), np.array([5, 1, 3]), np.array([1, 2, 0], dtype=np.int32)
    )
    rows = lay_out(scattered, np.array([1, 2, 0, 1]))
    assert rows.values.tolist() == [5, 6, 8, 5, 6]
    assert [rows.row(index) for index in range(4)] == [[5, 6], [], [8], [5, 6]]
