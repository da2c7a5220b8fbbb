from collections import Counter
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmt.batching import plan_epoch
from nmt.errors import DataError
from nmt.text.sequences import FlatSequences, Rows
from nmt.training.feeding import DataOrder, Share, TrainingPairs, draw_rows, pairs_of_epoch
from nmt.training.state import Position


def pairs_of(lengths: list[int]) -> TrainingPairs:
    """Pairs with sources of these lengths and targets as long."""
    rows = FlatSequences.from_lists([[5] * length for length in lengths])
    return TrainingPairs(rows, rows, reverse_source=False)


PAIRS = pairs_of([int(length) for length in np.random.default_rng(0).integers(1, 12, size=60)])


SHARES = (Share(20, 2.5), Share(30), Share(10, 0.4))  # 50 + 30 + 4 pairs of an epoch


class Doubling:
    """Doubles every row in passes with an odd seed."""

    def resample(self, rows: FlatSequences, numbers: Rows, *, seed: int) -> FlatSequences:
        return FlatSequences.from_lists([rows.row(at) * (1 + seed % 2) for at in range(len(rows))])


def whole_pass(order: DataOrder, epoch: int) -> list[list[int]]:
    return as_lists(order.left(Position(epoch))[1])


def as_lists(batches: Iterable[Rows]) -> list[list[int]]:
    return [[int(row) for row in batch] for batch in batches]


def after(order: DataOrder, position: Position, count: int) -> tuple[Position, list[list[int]]]:
    """Make `count` batches: where the next one begins, and what was seen."""
    place, batches = order.left(position)
    *before, (budget, seen) = place.parts
    made = as_lists(batches)[:count]
    return Position(place.epoch, (*before, (budget, seen + sum(map(len, made))))), made


@pytest.mark.parametrize("shares", [(), SHARES], ids=["plain", "weighted"])
def test_from_every_position_the_rest_of_the_pass_follows_in_the_same_order(shares: tuple[Share, ...]) -> None:
    batches = whole_pass(DataOrder(PAIRS, 30, 3, shares), 2)
    assert len(batches) > 10
    for count in range(len(batches)):
        order = DataOrder(PAIRS, 30, 3, shares)  # as a new process has it
        position, seen = after(order, Position(2), count)
        assert seen == batches[:count]
        assert as_lists(order.left(position)[1]) == batches[count:]


def test_a_plan_made_ahead_is_the_same() -> None:
    order = DataOrder(PAIRS, 30, 3, SHARES)
    order.plan_ahead(0)
    assert as_lists(order.plan(0).batches) == whole_pass(DataOrder(PAIRS, 30, 3, SHARES), 0)
    order.plan_ahead(0)
    assert as_lists(order.plan(1).batches) == whole_pass(DataOrder(PAIRS, 30, 3, SHARES), 1)


def test_a_plan_that_fails_in_the_background_says_so_when_it_is_asked_for() -> None:
    rows = FlatSequences.from_lists([[5] * 65_535])
    order = DataOrder(TrainingPairs(rows, rows, reverse_source=False), 30, 3)
    order.plan_ahead(0)
    with pytest.raises(DataError, match="has a side of 65,535 pieces"):
        order.plan(0)


def test_the_position_gets_a_part_for_its_batch_size_when_it_has_none() -> None:
    order = DataOrder(PAIRS, batch_tokens=30, seed=3)
    assert order.left(Position(1))[0] == Position(1, ((30, 0),))
    assert order.left(Position(1, ((30, 8),)))[0] == Position(1, ((30, 8),))
    assert order.left(Position(1, ((20, 8),)))[0] == Position(1, ((20, 8), (30, 0)))


def test_a_batch_size_that_changes_within_a_pass_leaves_no_pair_out_and_repeats_none() -> None:
    position, first = after(DataOrder(PAIRS, batch_tokens=30, seed=3), Position(0), 4)
    larger = as_lists(DataOrder(PAIRS, batch_tokens=90, seed=3).left(position)[1])
    assert sorted(row for batch in first + larger for row in batch) == list(range(60))
    assert max(map(len, larger)) > max(map(len, first))


def test_a_batch_size_that_changes_twice_leaves_no_pair_out_and_repeats_none() -> None:
    small, large = DataOrder(PAIRS, batch_tokens=30, seed=3), DataOrder(PAIRS, batch_tokens=90, seed=3)
    position, first = after(small, Position(0), 3)
    position, second = after(large, position, 2)
    position, third = after(small, position, 1)
    assert [budget for budget, _ in position.parts] == [30, 90, 30]
    assert position.pairs == sum(map(len, first + second + third))
    rest = as_lists(small.left(position)[1])
    assert sorted(row for batch in first + second + third + rest for row in batch) == list(range(60))


@given(
    lengths=st.lists(st.integers(0, 15), min_size=1, max_size=40),
    changes=st.lists(st.tuples(st.sampled_from([1, 7, 20, 64]), st.integers(0, 5)), max_size=4),
    seed=st.integers(0, 5),
)
def test_every_pair_is_seen_once_in_a_pass_whatever_the_batch_sizes(
    lengths: list[int], changes: list[tuple[int, int]], seed: int
) -> None:
    pairs, position, seen = pairs_of(lengths), Position(1), []
    for batch_tokens, count in changes:
        order = DataOrder(pairs, batch_tokens, seed)
        left = len(order.left(position)[1])
        position, batches = after(order, position, min(count, left - 1))  # no position stands at the end of an epoch
        seen += batches
    seen += as_lists(DataOrder(pairs, 30, seed).left(position)[1])
    assert sorted(row for batch in seen for row in batch) == list(range(len(lengths)))


def test_another_pass_or_seed_brings_the_pairs_in_another_order() -> None:
    order = DataOrder(PAIRS, batch_tokens=30, seed=3)
    assert whole_pass(order, 0) == whole_pass(order, 0)
    assert whole_pass(order, 0) != whole_pass(order, 1)
    assert whole_pass(order, 0) != whole_pass(DataOrder(PAIRS, batch_tokens=30, seed=4), 0)


def test_every_pass_of_every_seed_has_a_seed_of_its_own() -> None:
    seeds = {DataOrder(PAIRS, 30, seed).epoch_seed(epoch) for seed in range(20) for epoch in range(20)}
    assert len(seeds) == 400
    assert DataOrder(PAIRS, 30, 1).epoch_seed(2) == DataOrder(PAIRS, 90, 1).epoch_seed(2)


@pytest.mark.parametrize("epoch", [0, 2])
def test_a_plan_is_that_of_a_whole_pass_and_made_once(epoch: int) -> None:
    order = DataOrder(PAIRS, batch_tokens=30, seed=3)
    plan = order.plan(epoch)
    assert as_lists(plan.batches) == whole_pass(order, epoch)
    assert order.plan(epoch) is plan
    assert order.padding == plan.padding
    assert as_lists(order.plan(epoch + 1).batches) == whole_pass(DataOrder(PAIRS, batch_tokens=30, seed=3), epoch + 1)


def test_the_padding_is_that_of_the_first_pass_where_none_is_planned_yet() -> None:
    order = DataOrder(PAIRS, batch_tokens=30, seed=3)
    assert 0 < order.padding == order.plan(0).padding


def drawn(*, seed: int, epoch: int) -> Counter[int]:
    rows = draw_rows(SHARES, seed=seed, epoch=epoch)
    assert rows is not None
    return Counter(rows.tolist())


def test_pairs_come_as_often_as_they_were_drawn() -> None:
    order = DataOrder(PAIRS, 30, 3, SHARES)
    for epoch in range(3):
        batches = whole_pass(order, epoch)
        assert Counter(row for batch in batches for row in batch) == drawn(seed=3, epoch=epoch)
        assert sum(map(len, batches)) == 84


def test_corpora_of_weight_1_are_read_as_if_they_were_one() -> None:
    plain = DataOrder(PAIRS, 30, 3)
    assert whole_pass(DataOrder(PAIRS, 30, 3, (Share(20), Share(40))), 1) == whole_pass(plain, 1)


def test_drawn_pairs_are_planned_by_their_lengths() -> None:
    order = DataOrder(PAIRS, 30, 3, SHARES)
    rows = np.array(sorted(drawn(seed=3, epoch=0).elements()))
    src, tgt = (side[rows] for side in PAIRS.lengths(seed=0))
    plan = plan_epoch(src, tgt, batch_tokens=30, seed=3, epoch=0)
    by_length = [sorted(PAIRS.src.lengths[rows[batch]].tolist()) for batch in plan.batches]
    assert [sorted(PAIRS.src.lengths[batch].tolist()) for batch in order.plan(0).batches] == by_length
    assert order.padding == plan.padding


@given(
    changes=st.lists(st.tuples(st.sampled_from([1, 7, 20, 64]), st.integers(0, 9)), max_size=4), seed=st.integers(0, 5)
)
def test_a_batch_size_that_changes_leaves_every_pair_as_often_as_it_was_drawn(
    changes: list[tuple[int, int]], seed: int
) -> None:
    position, seen = Position(1), list[list[int]]()
    for batch_tokens, count in changes:
        order = DataOrder(PAIRS, batch_tokens, seed, SHARES)
        position, batches = after(order, position, min(count, len(order.left(position)[1]) - 1))
        seen += batches
    seen += as_lists(DataOrder(PAIRS, 30, seed, SHARES).left(position)[1])
    assert Counter(row for batch in seen for row in batch) == drawn(seed=seed, epoch=1)


@pytest.mark.parametrize("epoch", range(4))
def test_batches_are_cut_by_the_lengths_of_their_own_pass(epoch: int) -> None:
    pairs = TrainingPairs(PAIRS.src, PAIRS.tgt, reverse_source=False, resamplers=(Doubling(), Doubling()))
    order = DataOrder(pairs, batch_tokens=30, seed=3)
    factor = 1 + order.epoch_seed(epoch) % 2
    for batch in whole_pass(order, epoch):
        longest = factor * max(int(PAIRS.src.lengths[row]) for row in batch) + 1
        assert len(batch) * longest <= 30
    plain = whole_pass(DataOrder(PAIRS, batch_tokens=30, seed=3), epoch)
    assert (whole_pass(order, epoch) == plain) == (factor == 1)


def test_passes_of_both_kinds_are_among_those_above() -> None:
    assert {DataOrder(PAIRS, 30, 3).epoch_seed(epoch) % 2 for epoch in range(4)} == {0, 1}


def counts(*shares: Share, seed: int = 1, epoch: int = 0) -> Counter[int]:
    rows = draw_rows(shares, seed=seed, epoch=epoch)
    assert rows is not None
    assert rows.dtype == np.uint32
    return Counter(rows.tolist())


def test_a_whole_weight_repeats_every_pair() -> None:
    assert counts(Share(2, 3), Share(1)) == {0: 3, 1: 3, 2: 1}


def test_a_fraction_is_a_sample_of_exact_size_without_repeats() -> None:
    found = counts(Share(3), Share(10, 0.3), Share(2))
    assert found.total() == 3 + 3 + 2
    assert set(found.values()) == {1}
    assert {0, 1, 2, 13, 14} < set(found)


def test_a_sample_comes_beside_the_copies() -> None:
    found = counts(Share(10, 2.5))
    assert sorted(found.values()) == [2] * 5 + [3] * 5


def test_weights_of_1_draw_nothing() -> None:
    assert draw_rows((Share(3), Share(4)), seed=1, epoch=0) is None
    assert draw_rows((), seed=1, epoch=0) is None


def test_every_epoch_seed_and_corpus_has_a_sample_of_its_own() -> None:
    def sample(*, seed: int, epoch: int) -> tuple[frozenset[int], frozenset[int]]:
        found = set(counts(Share(30, 0.5), Share(30, 0.5), seed=seed, epoch=epoch))
        return frozenset(row for row in found if row < 30), frozenset(row - 30 for row in found if row >= 30)

    samples = [side for seed in (1, 2) for epoch in (0, 1) for side in sample(seed=seed, epoch=epoch)]
    assert len(set(samples)) == 8
    assert {len(side) for side in samples} == {15}
    assert sample(seed=1, epoch=1) == sample(seed=1, epoch=1)


def test_over_many_passes_every_pair_comes_as_often_as_the_others() -> None:
    total = sum((counts(Share(20, 0.25), epoch=epoch) for epoch in range(400)), Counter[int]())
    assert total.total() == 400 * 5
    assert all(70 < total[row] < 130 for row in range(20))  # 100 expected, with a deviation of 8.7


@given(
    st.lists(st.builds(Share, st.integers(0, 12), st.sampled_from([0.1, 0.5, 1.0, 1.7, 3.0])), min_size=1, max_size=4)
)
def test_a_pass_has_the_pairs_that_were_counted(shares: list[Share]) -> None:
    rows = draw_rows(shares, seed=1, epoch=2)
    drawn = sum(share.pairs for share in shares) if rows is None else len(rows)
    if drawn:
        assert pairs_of_epoch(shares) == drawn


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ((Share(4, 0.1),), "no epoch has a pair: there are 4 in all, and the weights of the corpora leave none"),
        (
            (Share(2**32 + 1, 0.5),),
            "an epoch would have 4,294,967,297 pairs to draw from or to see, expected at most 4,294,967,296",
        ),
        (
            (Share(2**31, 2.5),),
            "an epoch would have 5,368,709,120 pairs to draw from or to see, expected at most 4,294,967,296",
        ),
    ],
)
def test_a_pass_without_pairs_or_with_too_many_is_refused(shares: tuple[Share, ...], message: str) -> None:
    with pytest.raises(DataError) as error:
        pairs_of_epoch(shares)
    assert str(error.value) == message
