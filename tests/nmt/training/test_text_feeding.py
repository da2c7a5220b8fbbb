from itertools import islice

import numpy as np
import pytest
import torch

from nmt.text.sequences import FlatSequences
from nmt.text.vocab import EOS, PAD
from nmt.training.distributed import Ranks
from nmt.training.feeding import UpdateData
from nmt.training.state import Position
from nmt.training.text_feeding import Parts, TextFeed, TextStream

E, P = EOS, PAD
# 4 5 </s> 6 </s> </s> 7 8 9 </s>: ten words
SHORT = TextStream(FlatSequences.from_lists([[4, 5], [6], [], [7, 8, 9]]))


def read(stream: TextStream, *places: int) -> list[int]:
    return [int(word) for word in stream.read(np.array(places))]


def test_a_text_is_its_sentences_end_to_end_with_an_end_behind_each() -> None:
    assert len(SHORT) == 10
    assert read(SHORT, *range(10)) == [4, 5, E, 6, E, E, 7, 8, 9, E]


def test_before_the_first_word_stands_an_end() -> None:
    assert read(SHORT, -1, 0) == [E, 4]


def test_places_may_come_in_any_order_and_shape() -> None:
    assert SHORT.read(np.array([[9, 0], [3, 7]])).tolist() == [[E, 4], [6, 8]]


def test_sentences_may_lie_anywhere_in_their_file() -> None:
    values = np.array([99, 7, 8, 9, 99, 4, 5, 99], dtype=np.int32)
    flat = FlatSequences(values, np.array([5, 1]), np.array([2, 3], dtype=np.int32))
    assert read(TextStream(flat), *range(7)) == [4, 5, E, 7, 8, 9, E]


def test_the_parts_of_a_text_are_read_side_by_side_each_from_its_own_place() -> None:
    parts = Parts(SHORT, rows=2)
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
    parts = Parts(SHORT, rows=4)  # 3 words each: 4 5 E | 6 E E | 7 8 9 | E
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
    parts = Parts(SHORT, rows)
    segments = list(parts.segments(steps))
    inputs, outputs = (
        torch.cat([getattr(segment, name) for segment in segments], dim=1).flatten().tolist()
        for name in ("inputs", "outputs")
    )
    assert [word for word in outputs if word != P] == read(SHORT, *range(10))
    assert [word for word in inputs if word != P] == read(SHORT, *range(-1, 9))
    assert sum(len(segment.pieces) for segment in segments) == parts.pieces(0, parts.columns) == 10


def test_some_of_the_parts_can_be_read_by_themselves() -> None:
    segment = Parts(SHORT, rows=4).segment(1, 3, rows=np.array([0, 2]), is_fresh=False)
    assert segment.outputs.tolist() == [[5, E], [8, 9]]
    assert not segment.is_fresh


def test_halves_know_whose_rows_they_are() -> None:
    whole = Parts(SHORT, rows=4).segment(0, 2, rows=np.arange(4), is_fresh=True)
    first, second = whole.halves()
    assert (first.first_row, second.first_row, second.is_fresh) == (0, 2, True)
    assert second.outputs.tolist() == [[7, 8], [E, P]]
    assert second.pieces.tolist() == [0, 1, 2]
    assert [quarter.first_row for quarter in second.halves()] == [2, 3]
    assert len(second) == 2


ALONE = Ranks()
# 28 words with the ends; in 3 parts 10 columns, the last part two words short
STREAM = TextStream(FlatSequences.from_lists([[10 + i] * (1 + i % 4) for i in range(8)]))


def feed(*, rows: int = 3, steps: int = 2, accumulate: int = 1, carries: bool = True, ranks: Ranks = ALONE) -> TextFeed:
    return TextFeed(Parts(STREAM, rows), steps, accumulate, carries, ranks, pin=False)


def made(source: TextFeed, count: int, position: Position | None = None) -> list[UpdateData]:
    return list(islice(source.updates(position or Position()), count))


def outputs(updates: list[UpdateData]) -> list[list[list[int]]]:
    return [batch.outputs.tolist() for update in updates for batch in update.batches]


def test_the_text_of_these_tests_has_28_words() -> None:
    assert len(STREAM) == 28
    assert Parts(STREAM, 3).columns == 10


def test_a_pass_is_read_in_order_and_the_next_one_begins_again() -> None:
    updates = made(feed(steps=4), 4)
    assert [update.after for update in updates] == [
        Position(0, ((3, 4),)),
        Position(0, ((3, 8),)),
        Position(1),
        Position(1, ((3, 4),)),
    ]
    assert [update.pieces for update in updates] == [12, 12, 4, 12]
    assert [batch.is_fresh for update in updates for batch in update.batches] == [True, False, False, True]
    whole = Parts(STREAM, 3).segments(4)
    assert outputs(updates[:3]) == [segment.outputs.tolist() for segment in whole]
    assert outputs(updates[3:]) == outputs(updates[:1])


@pytest.mark.parametrize("accumulate", [1, 2, 3])
def test_from_any_position_the_same_updates_follow(accumulate: int) -> None:
    straight = made(feed(accumulate=accumulate), 9)
    for done in range(1, 8):
        rest = made(feed(accumulate=accumulate), 9 - done, straight[done - 1].after)
        assert outputs(rest) == outputs(straight[done:])
        assert [update.pieces for update in rest] == [update.pieces for update in straight[done:]]
        assert [update.after for update in rest] == [update.after for update in straight[done:]]


def test_an_update_of_several_segments_does_not_reach_into_the_next_pass() -> None:
    updates = made(feed(steps=4, accumulate=2), 3)
    assert [len(update.batches) for update in updates] == [2, 1, 2]
    assert [update.pieces for update in updates] == [24, 4, 24]
    assert updates[1].after == Position(1)


def test_without_a_carried_state_every_segment_is_fresh() -> None:
    assert all(batch.is_fresh for update in made(feed(carries=False), 12) for batch in update.batches)


def test_processes_share_the_rows_of_every_segment() -> None:
    whole = made(feed(), 6)
    shares = [made(feed(ranks=Ranks(rank, 2)), 6) for rank in range(2)]
    for all_of_it, first, second in zip(whole, *shares, strict=True):
        assert first.pieces == second.pieces == all_of_it.pieces
        assert first.after == second.after == all_of_it.after
        (batch,), (even,), (odd,) = all_of_it.batches, first.batches, second.batches
        assert torch.equal(even.outputs, batch.outputs[0::2])
        assert torch.equal(odd.outputs, batch.outputs[1::2])


def test_segments_may_change_their_length_in_the_middle_of_a_pass() -> None:
    (first,) = made(feed(steps=4), 1)
    rest = made(feed(steps=3), 2, first.after)
    assert [update.pieces for update in rest] == [9, 7]
    assert rest[1].after == Position(1)
    seen = np.concatenate([np.array(rows) for rows in outputs([first, *rest])], axis=1)
    assert [word for word in seen.flatten().tolist() if word] == STREAM.read(np.arange(28)).tolist()


def test_steps_are_counted_to_the_end_of_the_last_pass() -> None:
    assert feed(steps=4).segments == 3
    assert feed(steps=4).steps_left(Position(), max_epochs=3) == 9
    assert feed(steps=4, accumulate=2).steps_left(Position(), max_epochs=3) == 6
    assert feed(steps=4).steps_left(Position(1, ((3, 4),)), max_epochs=3) == 2 + 3
    assert feed(steps=3).steps_left(Position(2, ((3, 4),)), max_epochs=3) == 2
    assert feed(steps=4).steps_left(Position(3), max_epochs=3) == 0
