import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmt.batching import Batch, cut_batches, plan_epoch, source_batch, target_batch
from nmt.sequences import FlatSequences

ROWS = [[5, 6, 7], [8], [9, 10]]


def test_sources_are_reversed_within_their_own_length_with_eos_last() -> None:
    batch = source_batch(FlatSequences.from_lists(ROWS), np.array([0, 1, 2]), reverse_source=True)
    assert batch.ids.tolist() == [[7, 6, 5, 3], [8, 3, 0, 0], [10, 9, 3, 0]]
    assert batch.lengths.tolist() == [4, 2, 3]


def test_sources_can_be_read_forwards() -> None:
    batch = source_batch(FlatSequences.from_lists(ROWS), np.array([2, 0]), reverse_source=False)
    assert batch.ids.tolist() == [[9, 10, 3, 0], [5, 6, 7, 3]]


def test_targets_are_shifted_and_padding_gets_no_weight() -> None:
    batch = target_batch(FlatSequences.from_lists(ROWS), np.array([0, 1]))
    assert batch.inputs.tolist() == [[2, 5, 6, 7], [2, 8, 0, 0]]
    assert batch.outputs.tolist() == [[5, 6, 7, 3], [8, 3, 0, 0]]
    assert batch.weights.tolist() == [[1, 1, 1, 1], [1, 1, 0, 0]]
    assert batch.words.tolist() == [0, 1, 2, 3, 4, 5]


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
    assert (second.tgt.words + width).tolist() == [word for word in whole.tgt.words.tolist() if word >= width]


def test_an_empty_row_is_eos_alone() -> None:
    flat = FlatSequences.from_lists([[]])
    assert source_batch(flat, np.array([0]), reverse_source=True).ids.tolist() == [[3]]
    assert target_batch(flat, np.array([0])).outputs.tolist() == [[3]]


def test_rows_need_not_be_neighbours_in_the_flat_array() -> None:
    flat = FlatSequences(
        np.array([99, 5, 6, 99, 7], dtype=np.int32),
        np.array([4, 1], dtype=np.int64),
        np.array([1, 2], dtype=np.int32),
    )
    assert flat.padded(np.array([0, 1])).tolist() == [[7, 0], [5, 6]]
    assert flat.row(1) == [5, 6]


def test_batches_are_cut_where_the_budget_is_reached() -> None:
    src, tgt = np.array([1, 2, 2, 4, 9]), np.array([1, 1, 3, 3, 4])
    # 3 rows x 3 = 9 cells fit into 9, a fourth row of 4 would make 16; 1 x 4; the row of 9 stands alone
    assert cut_batches(src, tgt, batch_tokens=9) == [(0, 3), (3, 4), (4, 5)]


def test_a_row_over_the_budget_gets_a_batch_of_its_own() -> None:
    assert cut_batches(np.array([5, 50]), np.array([5, 5]), batch_tokens=10) == [(0, 1), (1, 2)]


lengths = st.lists(st.integers(1, 40), min_size=1, max_size=60)


@given(lengths, st.integers(1, 300), st.integers(0, 5))
def test_a_plan_holds_every_row_once_within_the_budget(tgt: list[int], budget: int, epoch: int) -> None:
    tgt_lengths = np.array(tgt, dtype=np.int32)
    src_lengths = tgt_lengths[::-1].copy()
    plan = plan_epoch(src_lengths, tgt_lengths, batch_tokens=budget, seed=1, epoch=epoch)
    assert sorted(row for rows in plan.batches for row in rows.tolist()) == list(range(len(tgt)))
    for rows in plan.batches:
        longest = max(src_lengths[rows].max(), tgt_lengths[rows].max()) + 1
        assert len(rows) == 1 or len(rows) * longest <= budget


def plan_of(*, seed: int, epoch: int) -> list[list[int]]:
    rng = np.random.default_rng(0)
    src, tgt = rng.integers(3, 30, 500, dtype=np.int32), rng.integers(3, 30, 500, dtype=np.int32)
    plan = plan_epoch(src, tgt, batch_tokens=100, seed=seed, epoch=epoch)
    return [rows.tolist() for rows in plan.batches]


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    assert plan_of(seed=1, epoch=0) == plan_of(seed=1, epoch=0)
    assert plan_of(seed=1, epoch=0) != plan_of(seed=1, epoch=1)
    assert plan_of(seed=1, epoch=0) != plan_of(seed=2, epoch=0)


def test_padding_is_the_share_of_cells_without_a_word() -> None:
    # with </s>: sources 2, 4 and targets 3, 3 in one batch: 12 words in 2 x 4 + 2 x 3 = 14 cells
    plan = plan_epoch(np.array([1, 3], np.int32), np.array([2, 2], np.int32), batch_tokens=100, seed=1, epoch=0)
    assert plan.padding == pytest.approx(1 - 12 / 14)


def test_lengths_like_those_of_real_text_leave_at_most_five_percent_padding() -> None:
    rng = np.random.default_rng(0)
    tgt = np.maximum(1, rng.poisson(15, 20_000)).astype(np.int32)
    src = np.maximum(1, tgt + rng.integers(-4, 5, 20_000)).astype(np.int32)
    assert plan_epoch(src, tgt, batch_tokens=800, seed=1, epoch=0).padding < 0.05
