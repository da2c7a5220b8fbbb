import threading
from itertools import chain, islice

import numpy as np
import pytest
import torch

from nmt.batching import Batch
from nmt.errors import DataError
from nmt.text.sequences import FlatSequences, Rows, Sequences
from nmt.text.vocab import BOS, EOS, PAD
from nmt.training import feeding as module
from nmt.training.distributed import Ranks
from nmt.training.feeding import DataOrder, Feed, TrainingPairs, UpdateData
from nmt.training.state import Position

ALONE = Ranks()


def numbered(lengths: list[int]) -> TrainingPairs:
    """Pairs of equal sides of these lengths, all pieces of a pair being its number + 10."""
    rows = FlatSequences.from_lists([[10 + row] * length for row, length in enumerate(lengths)])
    return TrainingPairs(rows, rows, reverse_source=False)


MIXED = numbered([int(length) for length in np.random.default_rng(0).integers(1, 9, size=50)])
EQUAL = numbered([3] * 10)  # 4 cells a row: a budget of 8 makes 5 batches of 2 rows


def feed(
    pairs: TrainingPairs = MIXED, *, batch_tokens: int = 30, accumulate: int = 1, ranks: Ranks = ALONE, seed: int = 1
) -> Feed:
    return Feed(DataOrder(pairs, batch_tokens, seed), accumulate, ranks, pin=False)


def made(source: Feed, count: int, position: Position | None = None) -> list[UpdateData]:
    return list(islice(source.updates(position or Position()), count))


def first_pass(source: Feed) -> list[UpdateData]:
    updates = []
    for data in source.updates(Position()):
        updates.append(data)
        if data.after.epoch == 1:
            break
    return updates


def tensors(batch: Batch) -> list[torch.Tensor]:
    return [*vars(batch.src).values(), *vars(batch.tgt).values()]


def pair_numbers(batch: Batch) -> list[int]:
    return [] if len(batch.tgt.pieces) == 0 else [int(row[0]) - 10 for row in batch.src.ids]


def assert_same(got: list[UpdateData], expected: list[UpdateData]) -> None:
    assert len(got) == len(expected)
    for one, other in zip(got, expected, strict=True):
        assert (one.pieces, one.after) == (other.pieces, other.after)
        assert len(one.batches) == len(other.batches)
        for batch, like in zip(one.batches, other.batches, strict=True):
            assert all(torch.equal(x, y) for x, y in zip(tensors(batch), tensors(like), strict=True))


class Failing:
    """Cuts nothing anew, and breaks after some calls."""

    def __init__(self, calls: int) -> None:
        self.calls = calls

    def resample(self, rows: FlatSequences, numbers: Rows, *, seed: int) -> FlatSequences:
        self.calls -= 1
        if self.calls < 0:
            raise OSError("the disk is gone")
        return rows


class Doubling:
    """Doubles rows with an even number in passes with an odd seed, the others in the rest."""

    def resample(self, rows: FlatSequences, numbers: Rows, *, seed: int) -> FlatSequences:
        return FlatSequences.from_lists(
            [rows.row(at) * (1 + int(number + seed) % 2) for at, number in enumerate(numbers)]
        )


@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("resamplers", [None, (Doubling(), Doubling())], ids=["stored", "cut anew"])
def test_updates_from_any_position_equal_those_of_a_run_that_never_stopped(
    accumulate: int, resamplers: tuple[Doubling, Doubling] | None
) -> None:
    source = feed(
        TrainingPairs(MIXED.src, MIXED.tgt, reverse_source=True, resamplers=resamplers), accumulate=accumulate
    )
    updates = made(source, 30)
    assert updates[-1].after.epoch >= 1
    for number, data in enumerate(updates[:-1]):
        assert_same(made(source, 3, data.after)[: 29 - number], updates[number + 1 : number + 4])


def test_an_update_is_made_from_so_many_batches_and_the_last_of_a_pass_from_what_is_left() -> None:
    updates = made(feed(EQUAL, batch_tokens=8, accumulate=2), 6)
    assert [len(data.batches) for data in updates] == [2, 2, 1, 2, 2, 1]
    for begin in (0, 3):
        numbers = [pair_numbers(batch) for data in updates[begin : begin + 3] for batch in data.batches]
        assert sorted(chain.from_iterable(numbers)) == list(range(10))
    assert [data.pieces for data in updates] == [16, 16, 8, 16, 16, 8]


def test_an_update_says_where_the_next_one_begins() -> None:
    places = [data.after for data in made(feed(EQUAL, batch_tokens=8, accumulate=2), 4)]
    assert places == [Position(0, ((8, 4),)), Position(0, ((8, 8),)), Position(1), Position(1, ((8, 4),))]


def test_another_batch_size_gets_a_part_of_its_own_and_the_rest_of_the_pass() -> None:
    before, _ = made(feed(EQUAL, batch_tokens=8), 2)
    data = made(feed(EQUAL, batch_tokens=16), 2, before.after)
    assert [update.after for update in data] == [Position(0, ((8, 2), (16, 4))), Position(1)]
    seen = [pair_numbers(update.batches[0]) for update in (before, *data)]
    assert [len(numbers) for numbers in seen] == [2, 4, 4]
    assert sorted(chain.from_iterable(seen)) == list(range(10))


@pytest.mark.parametrize("size", [2, 3, 7])
def test_processes_share_every_batch_and_no_pair_twice(size: int) -> None:
    alone = first_pass(feed())
    shared = [first_pass(feed(ranks=Ranks(rank, size))) for rank in range(size)]
    for number, data in enumerate(alone):
        parts = [shared[rank][number] for rank in range(size)]
        assert {(part.pieces, part.after) for part in parts} == {(data.pieces, data.after)}
        numbers = [pair_numbers(part.batches[0]) for part in parts]
        assert sorted(chain.from_iterable(numbers)) == sorted(pair_numbers(data.batches[0]))
        assert max(map(len, numbers)) - min(map(len, numbers)) <= 1
        assert sum(len(part.batches[0].tgt.pieces) for part in parts) == data.pieces


def test_a_process_for_which_no_pair_is_left_gets_one_without_words() -> None:
    source = feed(EQUAL, batch_tokens=8, ranks=Ranks(2, 3))
    (data,) = made(source, 1)
    (batch,) = data.batches
    assert len(batch) == 1
    assert batch.tgt.outputs.shape == (1, 4)
    assert len(batch.tgt.pieces) == 0
    assert data.pieces == 8


def test_words_are_those_of_the_rows_as_they_were_cut_for_this_pass() -> None:
    pairs = TrainingPairs(MIXED.src, MIXED.tgt, reverse_source=False, resamplers=(Doubling(), Doubling()))
    for data in made(feed(pairs, accumulate=2), 20):
        assert data.pieces == sum(len(batch.tgt.pieces) for batch in data.batches)


def test_the_pairs_of_a_pass_are_cut_with_the_seed_of_that_pass() -> None:
    order = DataOrder(TrainingPairs(EQUAL.src, EQUAL.tgt, False, (Doubling(), Doubling())), 100, 1)
    for data in made(Feed(order, 1, ALONE, pin=False), 9):
        epoch = data.after.epoch if data.after.parts else data.after.epoch - 1
        for batch in data.batches:
            for number, length in zip(pair_numbers(batch), batch.src.lengths.tolist(), strict=True):
                assert length == 3 * (1 + (number + order.epoch_seed(epoch)) % 2) + 1


@pytest.mark.parametrize(
    ("batch_tokens", "accumulate", "position", "step", "max_epochs", "total"),
    [
        (8, 1, Position(), 0, 1, 5),
        (8, 1, Position(), 0, 3, 15),
        (8, 2, Position(), 0, 4, 12),  # 2 + 2 + 1 batches make 3 updates
        (8, 9, Position(), 0, 4, 4),
        (8, 2, Position(0, ((8, 4),)), 1, 4, 12),  # 3 batches left: 2 updates, then 3 passes of 3
        (8, 2, Position(2, ((8, 8),)), 8, 4, 12),
        (8, 2, Position(1), 3, 4, 12),
        (16, 2, Position(0, ((8, 4),)), 1, 4, 8),  # 6 rows left, 4 to a batch: 1 update, then 3 passes of 3 batches
        (8, 1, Position(0, ((8, 4),)), 1, 4, 19),  # begun with 2 batches an update
        (8, 1, Position(4), 20, 4, 20),
        (8, 1, Position(4, ((8, 2),)), 21, 4, 21),
        (8, 1, Position(6), 30, 4, 30),
    ],
)
def test_the_length_of_a_run_is_what_is_made_and_what_is_left(
    batch_tokens: int, accumulate: int, position: Position, step: int, max_epochs: int, total: int
) -> None:
    source = feed(EQUAL, batch_tokens=batch_tokens, accumulate=accumulate)
    assert step + source.steps_left(position, max_epochs=max_epochs) == total


@pytest.mark.parametrize("accumulate", [1, 2, 4])
def test_the_length_of_a_run_is_the_number_of_updates_until_the_last_pass_ends(accumulate: int) -> None:
    source = feed(accumulate=accumulate)
    per_pass = len(first_pass(source))
    assert source.steps_left(Position(), max_epochs=1) == per_pass
    for number, data in enumerate(made(source, per_pass)):
        assert number + 1 + source.steps_left(data.after, max_epochs=1) == per_pass


def test_the_next_update_is_made_while_one_is_in_use() -> None:
    class Noting:
        def __init__(self) -> None:
            self.taken = threading.Semaphore(0)

        def resample(self, rows: FlatSequences, numbers: Rows, *, seed: int) -> FlatSequences:
            assert threading.current_thread() is not threading.main_thread()
            self.taken.release()
            return rows

    src, tgt = Noting(), Noting()
    updates = feed(TrainingPairs(EQUAL.src, EQUAL.tgt, False, (src, tgt)), batch_tokens=8).updates(Position())
    next(updates)
    for _ in range(3):  # the lengths of the pass, the first update and the one after it
        assert tgt.taken.acquire(timeout=120)
    updates.close()


@pytest.mark.parametrize("calls", [0, 3], ids=["at once", "later"])
def test_a_failure_of_the_background_thread_reaches_the_caller(calls: int) -> None:
    pairs = TrainingPairs(EQUAL.src, EQUAL.tgt, False, (Failing(99), Failing(calls)))
    before = set(threading.enumerate())
    updates = feed(pairs, batch_tokens=8).updates(Position())
    for _ in range(max(0, calls - 1)):  # one call is for the lengths
        next(updates)
    with pytest.raises(OSError, match="the disk is gone"):
        next(updates)
    assert not set(threading.enumerate()) - before


def test_the_background_thread_ends_with_the_updates() -> None:
    before = set(threading.enumerate())
    updates = feed().updates(Position())
    next(updates)
    assert len(set(threading.enumerate()) - before) == 1
    updates.close()
    assert not set(threading.enumerate()) - before


SRC = [[10, 11, 12], [], [13], [14, 15]]
TGT = [[20], [21, 22], [], [23, 24, 25, 26]]


class Repeating:
    """Repeats row r (r + seed) % 3 times, and remembers what it was asked for."""

    def __init__(self) -> None:
        self.calls: list[tuple[list[int], int]] = []

    def resample(self, rows: FlatSequences, numbers: Rows, *, seed: int) -> FlatSequences:
        self.calls.append((numbers.tolist(), seed))
        return FlatSequences.from_lists([rows.row(at) * int((number + seed) % 3) for at, number in enumerate(numbers)])


def stored(reverse_source: bool = False, resamplers: tuple[Repeating, Repeating] | None = None) -> TrainingPairs:
    return TrainingPairs(FlatSequences.from_lists(SRC), FlatSequences.from_lists(TGT), reverse_source, resamplers)


def rows_of(sequences: Sequences) -> list[list[int]]:
    return [sequences.row(index) for index in range(len(sequences))]


def test_pairs_that_are_taken_are_the_stored_ones_in_the_wanted_order() -> None:
    taken = stored().take(np.array([3, 0, 2]), seed=7)
    assert rows_of(taken.src) == [[14, 15], [10, 11, 12], [13]]
    assert rows_of(taken.tgt) == [[23, 24, 25, 26], [20], []]
    assert len(taken) == 3


def test_both_sides_are_cut_anew_with_the_same_seed_and_the_row_numbers_of_the_corpus() -> None:
    src, tgt = Repeating(), Repeating()
    taken = stored(resamplers=(src, tgt)).take(np.array([3, 0]), seed=1)
    assert src.calls == tgt.calls == [([3, 0], 1)]
    assert rows_of(taken.src) == [[14, 15], [10, 11, 12]]  # (3 + 1) % 3 = 1 and (0 + 1) % 3 = 1
    assert rows_of(stored(resamplers=(src, tgt)).take(np.array([3, 0]), seed=2).tgt) == [[23, 24, 25, 26] * 2, [20, 20]]


def test_pairs_that_are_taken_are_not_cut_again() -> None:
    src, tgt = Repeating(), Repeating()
    taken = stored(resamplers=(src, tgt)).take(np.array([3, 0]), seed=1)
    assert taken.resamplers is None
    assert rows_of(taken.take(np.array([1]), seed=2).src) == [[10, 11, 12]]


@pytest.mark.parametrize("block", [1, 3, 4, 100])
def test_lengths_are_those_of_all_pairs_taken_in_that_pass(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK", block)
    pairs = stored(resamplers=(Repeating(), Repeating()))
    for seed in range(3):
        taken = pairs.take(np.arange(4), seed=seed)
        src, tgt = pairs.lengths(seed=seed)
        assert src.tolist() == taken.src.lengths.tolist()
        assert tgt.tolist() == taken.tgt.lengths.tolist()
        assert src.dtype == tgt.dtype == np.uint16
    assert pairs.lengths(seed=0)[0].tolist() == [0, 0, 2, 0]  # 0, 1, 2 and 0 times 3, 0, 1 and 2


def test_a_block_is_cut_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK", 3)
    src, tgt = Repeating(), Repeating()
    stored(resamplers=(src, tgt)).lengths(seed=5)
    assert src.calls == tgt.calls == [([0, 1, 2], 5), ([3], 5)]


def test_without_resamplers_lengths_are_the_stored_ones() -> None:
    src, tgt = stored().lengths(seed=5)
    assert src.tolist() == [3, 0, 1, 2]
    assert tgt.tolist() == [1, 2, 0, 4]


class Same:
    """Cuts nothing anew."""

    def resample(self, rows: FlatSequences, numbers: Rows, *, seed: int) -> FlatSequences:
        return rows


@pytest.mark.parametrize("resamplers", [None, (Same(), Same())])
def test_a_pair_that_is_too_long_for_any_batch_is_refused(
    resamplers: tuple[Same, Same] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BLOCK", 3)
    short, rows = FlatSequences.from_lists([[5]] * 4), FlatSequences.from_lists([[5], [5], [5], [5] * 65_535])
    with pytest.raises(DataError, match=r"^training pair 4 has a side of 65,535 pieces, expected at most 65,534; "):
        TrainingPairs(short, rows, False, resamplers).lengths(seed=0)
    longest = FlatSequences.from_lists([[5] * 65_534])
    assert TrainingPairs(longest, longest, reverse_source=False).lengths(seed=0)[1].tolist() == [65_534]


def test_words_are_the_target_pieces_and_an_end_for_each_pair() -> None:
    assert stored().pieces() == 1 + 2 + 0 + 4 + 4
    assert stored().take(np.array([2]), seed=0).pieces() == 1
    assert stored().take(np.array([], dtype=np.int64), seed=0).pieces() == 0


def test_a_batch_holds_the_pairs_padded_and_the_source_reversed_where_that_is_wanted() -> None:
    batch = stored().batch(np.array([2, 3]))
    assert batch.src.ids.tolist() == [[13, EOS, PAD], [14, 15, EOS]]
    assert batch.tgt.inputs.tolist()[0] == [BOS, PAD, PAD, PAD, PAD]
    assert batch.tgt.outputs.tolist() == [[EOS, PAD, PAD, PAD, PAD], [23, 24, 25, 26, EOS]]
    assert len(batch.tgt.pieces) == stored().take(np.array([2, 3]), seed=0).pieces()
    assert stored(reverse_source=True).batch(np.array([2, 3])).src.ids.tolist() == [[13, EOS, PAD], [15, 14, EOS]]


def test_taken_pairs_stay_reversed() -> None:
    taken = stored(reverse_source=True, resamplers=(Repeating(), Repeating())).take(np.array([3]), seed=1)
    assert taken.batch(np.array([0])).src.ids.tolist() == [[15, 14, EOS]]
