from collections.abc import Callable

import numpy as np
import pytest
import torch

from nmt_lab import lorenz
from nmt_lab.common import Options, make_network
from nmt_lab.lorenz import STEP, learn, predict, slope


def test_a_point_goes_where_the_equations_say() -> None:
    assert slope(np.array([1.0, 2.0, 3.0])).tolist() == [10.0, 23.0, -6.0]


def test_the_points_follow_the_equations() -> None:
    points = lorenz.lorenz(300, np.random.default_rng(1))
    assert points.shape == (300, 3)
    found = (points[2:] - points[:-2]) / (2 * STEP)  # central differences
    expected = np.array([slope(point) for point in points[1:-1]])
    assert np.abs(found - expected).mean() < 0.05 * np.abs(expected).mean()


def test_the_points_are_the_same_for_the_same_seed_and_others_for_another() -> None:
    one, again, other = (lorenz.lorenz(20, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert (one == again).all()
    assert (one != other).any()


def test_a_feature_that_says_what_comes_is_learnt_from() -> None:
    """The second feature is x as it will be."""
    torch.manual_seed(0)
    true = torch.randn(400)
    measured = torch.stack([true, true.roll(-lorenz.AHEAD)], dim=1)
    options = Options(units=8, steps=60)
    network = make_network(options, input_size=2, output_size=1)
    learn(network, measured, true, options)
    with torch.no_grad():
        said = predict(network, measured[None, : -lorenz.AHEAD])[0]
    assert (said - true[lorenz.AHEAD :]).square().mean() < 0.3


@pytest.mark.slow
def test_more_features_are_more_to_go_by(run: Callable[..., list[str]]) -> None:
    unchanged, one, two, three = (float(line.split("RMSE ")[1].split(",")[0]) for line in run(lorenz))
    assert max(two, three) < 0.8 * one < 0.5 * unchanged
