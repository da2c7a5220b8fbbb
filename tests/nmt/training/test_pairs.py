import numpy as np
import pytest

from nmt.errors import DataError
from nmt.text.sequences import FlatSequences, Rows, Sequences
from nmt.text.vocab import BOS, EOS, PAD
from nmt.training import feeding as module
from nmt.training.feeding import TrainingPairs

SRC = [[10, 11, 12], [], [13], [14, 15]]
TGT = [[20], [21, 22], [], [23, 24, 25, 26]]


class Repeating:
    """Repeats row r (r + seed) % 3 times, and remembers what it was asked for."""

    def __init__(self) -> None:
        self.calls: list[tuple[list[int], int]] = []

    def resample(self, rows: Sequences, wanted: Rows, *, seed: int) -> FlatSequences:
        self.calls.append(([int(row) for row in wanted], seed))
        return FlatSequences.from_lists([rows.row(row) * int((row + seed) % 3) for row in wanted])


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

    def resample(self, rows: Sequences, wanted: Rows, *, seed: int) -> FlatSequences:
        return rows.take(wanted)


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
