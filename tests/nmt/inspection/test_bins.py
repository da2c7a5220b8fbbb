import numpy as np
import pytest

from nmt.inspection.bins import Bin, bins_of
from nmt.prepared.lengths import LONGEST, Lengths


def lengths_of(*values: int) -> Lengths:
    lengths = Lengths()
    lengths.add(np.array(values, dtype=np.int64))
    return lengths


def test_short_lengths_have_a_bin_each() -> None:
    assert bins_of(lengths_of(1, 3, 3), most=10) == [Bin(0, 0, 0), Bin(1, 1, 1), Bin(2, 2, 0), Bin(3, 3, 2)]


@pytest.mark.parametrize(
    ("longest", "width"), [(9, 1), (10, 2), (19, 2), (20, 5), (49, 5), (50, 10), (199, 20), (200, 50)]
)
def test_longer_ones_share_bins_of_a_round_width(longest: int, width: int) -> None:
    bins = bins_of(lengths_of(longest), most=10)
    assert {bin.last - bin.first + 1 for bin in bins} == {width}
    assert (bins[0].first, bins[-1].first <= longest <= bins[-1].last, bins[-1].rows) == (0, True, 1)


def test_what_is_much_longer_than_the_rest_is_the_tail() -> None:
    bins = bins_of(lengths_of(*[3] * 1999, 500, 70_000), most=10)
    assert bins == [Bin(0, 0, 0), Bin(1, 1, 0), Bin(2, 2, 0), Bin(3, 3, 1999), Bin(4, 70_000, 2, tail=True)]


def test_no_row_is_lost_when_all_are_longer_than_the_histogram() -> None:
    bins = bins_of(lengths_of(LONGEST, LONGEST + 5), most=10)
    assert sum(bin.rows for bin in bins) == 2
    assert bins[-1] == Bin(LONGEST, LONGEST + 5, 2, tail=True)


def test_nothing_has_no_bins() -> None:
    assert bins_of(Lengths(), most=10) == []


def test_a_bin_is_named_by_its_lengths() -> None:
    assert [Bin(3, 3, 0).name, Bin(1000, 1999, 0).name] == ["3", "1,000\u20131,999"]
