from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nmt_lab import timeseries
from nmt_lab.timeseries import TRAINED, first_far, mackey_glass, measure, run_alone


def test_the_series_follows_its_equation() -> None:
    x = mackey_glass(200, np.random.default_rng(0))
    assert x.shape == (200,)
    now, past = x[17:], x[:-17]
    slope = (now[2:] - now[:-2]) / 2  # central differences: exact but for a sixth of the third derivative
    expected = (0.2 * past / (1 + past**10) - 0.1 * now)[1:-1]
    np.testing.assert_allclose(slope, expected, atol=0.01)
    assert np.abs(expected).max() > 0.05


def test_the_series_is_the_same_for_the_same_seed_and_another_for_another() -> None:
    one, again, other = (mackey_glass(50, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert (one == again).all()
    assert (one != other).any()


class Counter(nn.Module):
    """Always says that the next value is larger by one; its state counts the values it has read."""

    def forward(self, values: Tensor, state: tuple[Tensor] | None = None) -> tuple[Tensor, tuple[Tensor]]:
        before = state[0] if state else torch.zeros(())
        return torch.ones_like(values), (before + values.shape[1],)


def test_alone_each_prediction_is_the_next_input() -> None:
    counter, read = Counter(), []
    counter.register_forward_pre_hook(lambda _, arguments: read.append(arguments[0].flatten().tolist()))
    assert run_alone(counter, torch.tensor([[3.0, 4.0]]), 3).tolist() == [[5.0, 6.0, 7.0]]  # type: ignore[arg-type]
    assert read == [[3.0, 4.0], [5.0], [6.0], [7.0]]


def test_a_run_is_close_until_it_is_first_off_by_more_than_two_fifths() -> None:
    error = torch.tensor([[0.1, -0.5, 0.0], [0.4, 0.4, -0.4], [0.0, 0.0, 0.41]])
    assert first_far(error).tolist() == [1, 3, 2]


def test_a_line_is_predicted_without_error() -> None:
    report = measure(Counter(), torch.arange(1200.0))  # type: ignore[arg-type]
    assert (report.one_step, report.unchanged, report.at_84) == (0.0, 1.0, 0.0)
    assert report.close.tolist() == [1000] * 50


def test_the_lab_says_what_it_has_found(run: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeseries, "ALONE", 90)
    lines = run(timeseries, steps=2)
    assert lines[0].startswith("one step: RMSE ")


@pytest.mark.slow
def test_one_step_is_predicted_far_better_than_by_the_last_value_and_a_free_run_stays_close() -> None:
    values = mackey_glass(TRAINED + 2000, np.random.default_rng(1))
    series = torch.tensor((values - values[:TRAINED].mean()) / values[:TRAINED].std(), dtype=torch.float32)
    report = measure(timeseries.learn(series[:TRAINED], timeseries.DEFAULTS), series[TRAINED:])
    assert report.one_step < report.unchanged / 25
    assert report.close.median() > 200
