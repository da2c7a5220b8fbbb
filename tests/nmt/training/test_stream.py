import numpy as np
import pytest
import torch

from nmt.text.sequences import FlatSequences
from nmt.text.vocab import EOS, PAD
from nmt.training.text_feeding import Parts, TextStream

E, P = EOS, PAD
# 4 5 </s> 6 </s> </s> 7 8 9 </s>: ten words
STREAM = TextStream(FlatSequences.from_lists([[4, 5], [6], [], [7, 8, 9]]))


def read(stream: TextStream, *places: int) -> list[int]:
    return [int(word) for word in stream.read(np.array(places))]


def test_a_text_is_its_sentences_end_to_end_with_an_end_behind_each() -> None:
    assert len(STREAM) == 10
    assert read(STREAM, *range(10)) == [4, 5, E, 6, E, E, 7, 8, 9, E]


def test_before_the_first_word_stands_an_end() -> None:
    assert read(STREAM, -1, 0) == [E, 4]


def test_places_may_come_in_any_order_and_shape() -> None:
    assert STREAM.read(np.array([[9, 0], [3, 7]])).tolist() == [[E, 4], [6, 8]]


def test_sentences_may_lie_anywhere_in_their_file() -> None:
    values = np.array([99, 7, 8, 9, 99, 4, 5, 99], dtype=np.int32)
    flat = FlatSequences(values, np.array([5, 1]), np.array([2, 3], dtype=np.int32))
    assert read(TextStream(flat), *range(7)) == [4, 5, E, 7, 8, 9, E]


def test_the_parts_of_a_text_are_read_side_by_side_each_from_its_own_place() -> None:
    parts = Parts(STREAM, rows=2)
    assert parts.columns == 5
    first, second, third = parts.segments(2)
    assert first.inputs.tolist() == [[E, 4], [E, E]]  # the word before the second part is the </s> at the first's end
    assert first.outputs.tolist() == [[4, 5], [E, 7]]
    assert second.inputs.tolist() == [[5, E], [7, 8]]
    assert second.outputs.tolist() == [[E, 6], [8, 9]]
    assert third.inputs.tolist() == [[6], [9]]
    assert third.outputs.tolist() == [[E], [E]]
    assert [segment.is_fresh for segment in (first, second, third)] == [True, False, False]
    assert first.pieces.tolist() == [0, 1, 2, 3]


def test_the_last_part_is_shorter_and_what_it_lacks_counts_for_nothing() -> None:
    parts = Parts(STREAM, rows=4)  # 3 words each: 4 5 E | 6 E E | 7 8 9 | E
    first, second = parts.segments(2)
    assert first.outputs.tolist() == [[4, 5], [6, E], [7, 8], [E, P]]
    assert first.inputs.tolist() == [[E, 4], [E, 6], [E, 7], [9, P]]
    assert first.pieces.tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert second.outputs.tolist() == [[E], [E], [9], [P]]
    assert second.pieces.tolist() == [0, 1, 2]
    assert (parts.pieces(0, 2), parts.pieces(2, 3), parts.pieces(2, 9)) == (7, 3, 3)


@pytest.mark.parametrize("rows", [1, 3, 7, 10, 16])
@pytest.mark.parametrize("steps", [1, 2, 4, 50])
def test_every_word_is_predicted_once_and_after_the_word_before_it(rows: int, steps: int) -> None:
    parts = Parts(STREAM, rows)
    segments = list(parts.segments(steps))
    inputs, outputs = (
        torch.cat([getattr(segment, name) for segment in segments], dim=1).flatten().tolist()
        for name in ("inputs", "outputs")
    )
    assert [word for word in outputs if word != P] == read(STREAM, *range(10))
    assert [word for word in inputs if word != P] == read(STREAM, *range(-1, 9))
    assert sum(len(segment.pieces) for segment in segments) == parts.pieces(0, parts.columns) == 10


def test_some_of_the_parts_can_be_read_by_themselves() -> None:
    segment = Parts(STREAM, rows=4).segment(1, 3, rows=np.array([0, 2]), is_fresh=False)
    assert segment.outputs.tolist() == [[5, E], [8, 9]]
    assert not segment.is_fresh


def test_halves_know_whose_rows_they_are() -> None:
    whole = Parts(STREAM, rows=4).segment(0, 2, rows=np.arange(4), is_fresh=True)
    first, second = whole.halves()
    assert (first.first_row, second.first_row, second.is_fresh) == (0, 2, True)
    assert second.outputs.tolist() == [[7, 8], [E, P]]
    assert second.pieces.tolist() == [0, 1, 2]
    assert [quarter.first_row for quarter in second.halves()] == [2, 3]
    assert len(second) == 2
