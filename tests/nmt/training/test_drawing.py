from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmt.errors import DataError
from nmt.training.feeding import Share, draw_rows, pairs_of_pass


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
        assert pairs_of_pass(shares) == drawn


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
        pairs_of_pass(shares)
    assert str(error.value) == message
