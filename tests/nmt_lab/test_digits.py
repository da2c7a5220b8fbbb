from collections.abc import Callable

import pytest
import torch

pytest.importorskip("sklearn")

from nmt_lab import digits
from nmt_lab.common import Options
from nmt_lab.digits import FOLDS, believe, learn, read_images, split


def test_images_are_eight_rows_of_ink_between_none_and_all() -> None:
    images, numbers = read_images()
    assert images.shape == (1797, 8, 8)
    assert (images.min().item(), images.max().item()) == (0.0, 1.0)
    assert numbers.unique().tolist() == list(range(10))


def test_every_image_is_in_one_fold() -> None:
    folds = split(23, seed=1)
    assert [len(fold) for fold in folds] == [5, 5, 5, 5, 3]
    assert sorted(torch.cat(folds).tolist()) == list(range(23))


def test_a_belief_is_a_distribution_and_knows_only_the_rows_above() -> None:
    images, numbers = read_images()
    network = learn(images[:100], numbers[:100], Options(units=8, steps=3))
    whole = believe(network, images[:5])
    assert whole.shape == (5, 8, 10)
    torch.testing.assert_close(whole.sum(dim=2), torch.ones(5, 8))
    torch.testing.assert_close(believe(network, images[:5, :3]), whole[:, :3])


def test_the_lab_says_what_it_has_found(run: Callable[..., list[str]]) -> None:
    lines = run(digits, steps=2)
    assert [line.partition(":")[0] for line in lines] == [
        *(f"fold {number}" for number in range(1, FOLDS + 1)),
        "known by rows read",
    ]


@pytest.mark.slow
def test_more_than_97_of_100_unseen_digits_are_known(run: Callable[..., list[str]]) -> None:
    last = run(digits)[-1].rsplit(maxsplit=1)[-1]
    assert float(last.rstrip("%")) > 97
