import tracemalloc
from collections.abc import Sequence
from itertools import groupby, pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from nmt.batching import (
    LONGEST_ROW,
    Batch,
    Batches,
    Lengths,
    Segment,
    cut_batches,
    plan_epoch,
    source_batch,
    target_batch,
)
from nmt.text.sequences import FlatSequences

ROWS = [[5, 6, 7], [8], [9, 10]]


def test_sources_are_reversed_within_their_own_length_with_eos_last() -> None:
    batch = source_batch(FlatSequences.from_lists(ROWS), np.array([0, 1, 2]), reverse_source=True)
    assert batch.ids.tolist() == [[7, 6, 5, 3], [8, 3, 0, 0], [10, 9, 3, 0]]
    assert batch.lengths.tolist() == [4, 2, 3]


def test_sources_can_be_read_forwards() -> None:
    batch = source_batch(FlatSequences.from_lists(ROWS), np.array([2, 0]), reverse_source=False)
    assert batch.ids.tolist() == [[9, 10, 3, 0], [5, 6, 7, 3]]


def test_targets_are_shifted_and_padding_is_no_piece() -> None:
    batch = target_batch(FlatSequences.from_lists(ROWS), np.array([0, 1]))
    assert batch.inputs.tolist() == [[2, 5, 6, 7], [2, 8, 0, 0]]
    assert batch.outputs.tolist() == [[5, 6, 7, 3], [8, 3, 0, 0]]
    assert batch.pieces.tolist() == [0, 1, 2, 3, 4, 5]


def test_targets_that_are_written_from_right_to_left_are_turned_around_within_their_lengths() -> None:
    batch = target_batch(FlatSequences.from_lists(ROWS), np.array([0, 1, 2]), right_to_left=True)
    assert batch.inputs.tolist() == [[2, 7, 6, 5], [2, 8, 0, 0], [2, 10, 9, 0]]
    assert batch.outputs.tolist() == [[7, 6, 5, 3], [8, 3, 0, 0], [10, 9, 3, 0]]
    assert batch.pieces.tolist() == [0, 1, 2, 3, 4, 5, 8, 9, 10]


def test_halves_are_the_rows_of_the_whole() -> None:
    flat, rows = FlatSequences.from_lists(ROWS), np.array([0, 1, 2])
    whole = Batch(source_batch(flat, rows, reverse_source=True), target_batch(flat, rows))
    first, second = whole.halves()
    assert (len(whole), len(first), len(second)) == (3, 1, 2)
    for part, start, end in ((first, 0, 1), (second, 1, 3)):
        assert part.src.ids.tolist() == whole.src.ids[start:end].tolist()
        assert part.src.lengths.tolist() == whole.src.lengths[start:end].tolist()
        assert part.tgt.outputs.tolist() == whole.tgt.outputs[start:end].tolist()
    width = whole.tgt.outputs.shape[1]
    assert (second.tgt.pieces + width).tolist() == [word for word in whole.tgt.pieces.tolist() if word >= width]


def test_repeated_rows_come_one_time_after_the_other() -> None:
    flat = FlatSequences.from_lists(ROWS)
    once, rows = np.array([0, 1, 2]), np.array([0, 1, 2] * 3)
    batch, expected = (
        Batch(source_batch(flat, rows, reverse_source=True), target_batch(flat, rows)) for rows in (once, rows)
    )
    repeated = batch.repeated(3)
    for side, other in ((repeated.src, expected.src), (repeated.tgt, expected.tgt)):
        assert {name: part.tolist() for name, part in vars(side).items()} == {
            name: part.tolist() for name, part in vars(other).items()
        }
    assert batch.repeated(1) is batch


def test_a_batch_moves_to_a_device_whole() -> None:
    flat, rows = FlatSequences.from_lists(ROWS), np.array([0, 1, 2])
    moved = Batch(source_batch(flat, rows, reverse_source=True), target_batch(flat, rows)).to(torch.device("meta"))
    tensors = [*vars(moved.src).values(), *vars(moved.tgt).values()]
    assert [tensor.device.type for tensor in tensors] == ["meta"] * 5


def test_a_segment_moves_to_a_device_whole() -> None:
    segment = Segment.of(torch.tensor([[4]]), torch.tensor([[5]]), first_row=3, is_fresh=True)
    moved = segment.to(torch.device("meta"))
    assert {moved.inputs.device.type, moved.outputs.device.type, moved.pieces.device.type} == {"meta"}
    assert (moved.first_row, moved.is_fresh) == (3, True)


def test_an_empty_row_is_eos_alone() -> None:
    flat = FlatSequences.from_lists([[]])
    assert source_batch(flat, np.array([0]), reverse_source=True).ids.tolist() == [[3]]
    assert target_batch(flat, np.array([0])).outputs.tolist() == [[3]]


def test_rows_need_not_be_neighbours_in_the_flat_array() -> None:
    flat = FlatSequences(
        np.array([99, 5, 6, 99, 7], dtype=np.int32), np.array([4, 1], dtype=np.int64), np.array([1, 2], dtype=np.int32)
    )
    assert flat.padded(np.array([0, 1])).tolist() == [[7, 0], [5, 6]]
    assert flat.row(1) == [5, 6]


def test_batches_are_cut_where_the_budget_is_reached() -> None:
    # 3 rows x 3 = 9 cells fit into 9, a fourth row of 4 would make 16; 1 x 4; the row of 9 stands alone
    assert cut_batches(np.array([1, 2, 3, 4, 9]), batch_tokens=9).tolist() == [0, 3, 4, 5]


def test_a_row_over_the_budget_gets_a_batch_of_its_own() -> None:
    assert cut_batches(np.array([5, 50]), batch_tokens=10).tolist() == [0, 1, 2]


def test_no_rows_make_no_batches() -> None:
    assert cut_batches(np.array([], dtype=np.uint16), batch_tokens=10).tolist() == [0]
    plan = plan_epoch(as_lengths([]), as_lengths([]), batch_tokens=10, seed=1, epoch=0)
    assert (list(plan.batches), plan.padding) == ([], 0.0)


def slow_cut(longest: NDArray[np.int64], batch_tokens: int) -> list[tuple[int, int]]:
    """One batch after the other, whose rows are tried one by one."""
    runs, first = list[tuple[int, int]](), 0
    while first < len(longest):
        last = first + 1
        while last < len(longest) and (last + 1 - first) * int(longest[first : last + 1].max()) <= batch_tokens:
            last += 1
        runs.append((first, last))
        first = last
    return runs


def slow_plan(
    src_lengths: NDArray[np.int64], tgt_lengths: NDArray[np.int64], *, batch_tokens: int, seed: int, epoch: int
) -> tuple[list[list[int]], float]:
    """What `plan_epoch` should find: with all rows sorted at once, in 8 bytes each, then shuffled within equal ones."""
    rng = np.random.default_rng([seed, epoch])
    order = np.lexsort((src_lengths, tgt_lengths))
    equal = groupby(order, key=lambda row: (src_lengths[row], tgt_lengths[row]))
    order = np.concatenate([rng.permutation(list(rows)) for _, rows in equal])
    plan = [order[a:b] for a, b in slow_cut(np.maximum(src_lengths, tgt_lengths)[order] + 1, batch_tokens)]
    cells = sum(len(rows) * (int(src_lengths[rows].max()) + int(tgt_lengths[rows].max()) + 2) for rows in plan)
    real = int(src_lengths.sum() + tgt_lengths.sum()) + 2 * len(src_lengths)
    return [plan[i].tolist() for i in rng.permutation(len(plan))], 1 - real / cells


def as_lengths(lengths: Sequence[int]) -> Lengths:
    return np.array(lengths, dtype=np.uint16)


@given(st.lists(st.integers(1, 9), max_size=60), st.integers(1, 60))
def test_runs_of_equal_rows_are_cut_as_if_one_by_one(longest: list[int], budget: int) -> None:
    for rows in (longest, sorted(longest)):
        bounds = cut_batches(np.array(rows, dtype=np.uint16), batch_tokens=budget).tolist()
        assert list(pairwise(bounds)) == slow_cut(np.array(rows), budget)


LENGTHS = st.one_of(st.integers(0, 6), st.integers(0, 40), st.sampled_from([0, 255, 256, 40_000, LONGEST_ROW]))


@given(st.lists(st.tuples(LENGTHS, LENGTHS), min_size=1, max_size=60), st.integers(1, 300), st.integers(0, 5))
def test_a_plan_is_that_of_the_slow_way(pairs: list[tuple[int, int]], budget: int, epoch: int) -> None:
    src, tgt = np.array(pairs).T
    plan = plan_epoch(as_lengths(src), as_lengths(tgt), batch_tokens=budget, seed=1, epoch=epoch)
    batches, padding = slow_plan(src, tgt, batch_tokens=budget, seed=1, epoch=epoch)
    assert [rows.tolist() for rows in plan.batches] == batches
    assert plan.padding == pytest.approx(padding, abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_a_plan_of_many_rows_is_that_of_the_slow_way(seed: int) -> None:
    rng = np.random.default_rng(seed)
    src, tgt = rng.poisson(12, 100_000), rng.poisson(12, 100_000)  # more than a block of them
    plan = plan_epoch(as_lengths(src), as_lengths(tgt), batch_tokens=500, seed=seed, epoch=4)
    assert [rows.tolist() for rows in plan.batches] == slow_plan(src, tgt, batch_tokens=500, seed=seed, epoch=4)[0]
    assert plan.batches[3].dtype == np.int64


@given(st.lists(st.integers(0, 7), min_size=1, max_size=30), st.integers(0, 5))
def test_chosen_rows_are_planned_as_a_corpus_of_their_own(rows: list[int], seed: int) -> None:
    src, tgt = np.array([3, 1, 4, 1, 5, 9, 2, 6]), np.array([2, 7, 1, 8, 2, 8, 1, 8])
    chosen = np.array(rows, dtype=np.uint32)
    plan = plan_epoch(as_lengths(src), as_lengths(tgt), batch_tokens=20, seed=seed, epoch=0, rows=chosen)
    batches, padding = slow_plan(src[chosen], tgt[chosen], batch_tokens=20, seed=seed, epoch=0)
    assert [found.tolist() for found in plan.batches] == [[rows[place] for place in batch] for batch in batches]
    assert plan.padding == pytest.approx(padding, abs=1e-12)
    assert chosen.tolist() == rows


def test_a_plan_needs_at_most_12_bytes_a_row_with_the_lengths() -> None:
    count = 3_000_000
    rng = np.random.default_rng(0)
    tracemalloc.start()
    src, tgt = (rng.poisson(20, count).astype(np.uint16) for _ in range(2))
    tracemalloc.reset_peak()
    plan = plan_epoch(src, tgt, batch_tokens=2000, seed=1, epoch=0)
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak <= 12 * count
    assert held <= 9 * count  # the lengths, the rows in their order, and the batches
    assert sum(map(len, plan.batches)) == count


def test_what_is_left_of_a_plan() -> None:
    rows = np.array([7, 3, 5, 0, 1], dtype=np.uint32)
    batches = Batches(rows, np.array([3, 0, 2]), np.array([5, 2, 3]))
    assert [batch.tolist() for batch in batches] == [[0, 1], [7, 3], [5]]
    assert [batch.tolist() for batch in batches.after(2)] == [[7, 3], [5]]
    assert batches.after(2).sorted_rows().tolist() == [3, 5, 7]
    assert [batch.tolist() for batch in batches.after(3)] == [[7, 3], [5]]
    assert [len(batches.after(seen)) for seen in (0, 4, 5)] == [3, 1, 0]
    assert batches.after(5).sorted_rows().tolist() == []


lengths = st.lists(st.integers(1, 40), min_size=1, max_size=60)


@given(lengths, st.integers(1, 300), st.integers(0, 5))
def test_a_plan_holds_every_row_once_within_the_budget(tgt: list[int], budget: int, epoch: int) -> None:
    tgt_lengths = as_lengths(tgt)
    src_lengths = tgt_lengths[::-1].copy()
    plan = plan_epoch(src_lengths, tgt_lengths, batch_tokens=budget, seed=1, epoch=epoch)
    assert sorted(row for rows in plan.batches for row in rows.tolist()) == list(range(len(tgt)))
    for rows in plan.batches:
        longest = int(max(src_lengths[rows].max(), tgt_lengths[rows].max())) + 1
        assert len(rows) == 1 or len(rows) * longest <= budget


def plan_of(*, seed: int, epoch: int) -> list[list[int]]:
    rng = np.random.default_rng(0)
    src, tgt = (as_lengths(rng.integers(3, 30, 500, dtype=np.int32)) for _ in range(2))
    plan = plan_epoch(src, tgt, batch_tokens=100, seed=seed, epoch=epoch)
    return [rows.tolist() for rows in plan.batches]


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    assert plan_of(seed=1, epoch=0) == plan_of(seed=1, epoch=0)
    assert plan_of(seed=1, epoch=0) != plan_of(seed=1, epoch=1)
    assert plan_of(seed=1, epoch=0) != plan_of(seed=2, epoch=0)


def test_padding_is_the_share_of_cells_without_a_word() -> None:
    # with </s>: sources 2, 4 and targets 3, 3 in one batch: 12 words in 2 x 4 + 2 x 3 = 14 cells
    plan = plan_epoch(as_lengths([1, 3]), as_lengths([2, 2]), batch_tokens=100, seed=1, epoch=0)
    assert plan.padding == pytest.approx(1 - 12 / 14)


def test_lengths_like_those_of_real_text_leave_at_most_five_percent_padding() -> None:
    rng = np.random.default_rng(0)
    tgt = np.maximum(1, rng.poisson(15, 20_000))
    src = np.maximum(1, tgt + rng.integers(-4, 5, 20_000))
    assert plan_epoch(as_lengths(src), as_lengths(tgt), batch_tokens=800, seed=1, epoch=0).padding < 0.05
