from itertools import islice

import numpy as np
import pytest
import torch

from nmt.text.sequences import FlatSequences
from nmt.training.distributed import Ranks
from nmt.training.feeding import UpdateData
from nmt.training.state import Position
from nmt.training.text_feeding import Parts, TextFeed, TextStream

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
