import json

import numpy as np
import pytest
from pydantic import TypeAdapter

from nmt.prepared.statistics import LONGEST, RATIO_BINS, Lengths, count_ratios, ratio_of_bin, to_counts

STORED = TypeAdapter(Lengths)

MIDDLE = RATIO_BINS // 2


def lengths_of(*values: int) -> Lengths:
    lengths = Lengths.empty()
    lengths.add(np.array(values, dtype=np.int64))
    return lengths


def test_lengths_are_counted_summed_and_the_largest_is_known() -> None:
    lengths = lengths_of(3, 1, 3)
    assert lengths.counts[:5].tolist() == [0, 1, 0, 2, 0]
    assert (lengths.total, lengths.largest, lengths.rows) == (7, 3, 3)
    assert lengths.mean == pytest.approx(7 / 3)


def test_very_long_ones_share_a_bin_but_their_sum_and_the_largest_stay_exact() -> None:
    lengths = lengths_of(LONGEST, 1_000_000, 2)
    assert lengths.counts[LONGEST] == 2
    assert (lengths.total, lengths.largest) == (LONGEST + 1_000_002, 1_000_000)


def test_nothing_has_no_length() -> None:
    assert (Lengths.empty().rows, Lengths.empty().mean, Lengths.empty().quantile(0.5)) == (0, 0.0, 0)


@pytest.mark.parametrize(
    ("share", "length"), [(0.0, 1), (0.25, 1), (0.26, 2), (0.5, 2), (0.75, 3), (0.76, 9), (1.0, 9)]
)
def test_a_quantile_is_the_smallest_length_that_enough_rows_do_not_exceed(share: float, length: int) -> None:
    assert lengths_of(1, 2, 3, 9).quantile(share) == length


def test_a_quantile_in_the_last_bin_is_the_largest_length() -> None:
    assert lengths_of(1, 70_000).quantile(1.0) == 70_000


def test_merged_histograms_are_those_of_all_rows() -> None:
    merged = lengths_of(4, 5)
    merged.merge(lengths_of(5, 9_999))
    assert STORED.dump_python(merged) == STORED.dump_python(lengths_of(4, 5, 5, 9_999))


def test_a_histogram_comes_back_from_json() -> None:
    lengths = lengths_of(0, 2, 2)
    tree = STORED.dump_python(lengths)
    assert tree == {"counts": [1, 0, 2], "total": 4, "largest": 2}
    again = STORED.validate_json(json.dumps(tree))
    assert STORED.dump_python(again) == tree
    assert again.rows == 3


@pytest.mark.parametrize("counts", [None, "12", [1.5], [-1], [True], [2**63], [0] * (LONGEST + 2)])
def test_what_is_no_list_of_counts_is_refused(counts: object) -> None:
    with pytest.raises(ValueError, match=r"^expected a list of counts, at most 4,001$"):
        to_counts(counts, size=LONGEST + 1)


@pytest.mark.parametrize(
    ("src", "tgt", "place"),
    [(10, 10, MIDDLE), (10, 20, MIDDLE + 8), (40, 10, MIDDLE - 16), (1, 1000, RATIO_BINS - 1), (1000, 1, 0)],
)
def test_a_factor_of_two_is_eight_bins_and_the_outermost_bins_hold_the_rest(src: int, tgt: int, place: int) -> None:
    assert np.flatnonzero(count_ratios(np.array([src]), np.array([tgt]))).tolist() == [place]


def test_the_bin_of_equal_lengths_holds_both_sides_of_one_alike() -> None:
    # The bins meet at 2 ** (1/16) = 1.0443 and its inverse, 0.9576.
    ratios = count_ratios(np.array([1000, 1000, 1000, 1000]), np.array([1044, 1045, 958, 957]))
    assert ratios[MIDDLE - 1 : MIDDLE + 2].tolist() == [1, 2, 1]


def test_pairs_with_an_empty_side_have_no_ratio() -> None:
    assert count_ratios(np.array([0, 3]), np.array([3, 0])).sum() == 0


def test_the_middle_of_a_bin_is_its_ratio() -> None:
    assert [ratio_of_bin(MIDDLE + steps) for steps in (-8, 0, 16)] == [0.5, 1.0, 4.0]
