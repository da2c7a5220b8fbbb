"""A chaotic time series: predict the next value, then go on alone, each prediction the next input.

The series is that of Mackey and Glass (1977), dx/dt = 0.2 x(t - 17) / (1 + x(t - 17)^10) - 0.1 x, one value in each
unit of time, brought to mean 0 and standard deviation 1. The network says by how much the next value differs from the
last one. It is tested behind the stretch it was trained on: by the error of one step, beside that of the forecast that
nothing changes; and, running alone from 50 places, by the error after 84 steps (Jaeger & Haas, 2004) and by the steps
until it is first off by more than 0.4.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from nmt_lab.common import BLUE, ORANGE, Network, Options, make_network, picture, train

DELAY: Final = 17
SUBSTEPS: Final = 10
"""Steps of the integration in a unit of time."""
TRAINED: Final = 6000
WARM: Final = 100
"""So many true values are read before the network runs alone."""
ALONE: Final = 1000
FAR: Final = 0.4
DEFAULTS: Final = Options(units=32, steps=2000)


def mackey_glass(length: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Integrate from a random past by Runge-Kutta's method of fourth order; leave out the first 500 values."""
    step, delay = 1 / SUBSTEPS, DELAY * SUBSTEPS
    x = np.empty(delay + 1 + (length + 500) * SUBSTEPS)
    x[: delay + 1] = 1.2 + rng.uniform(-0.1, 0.1, delay + 1)

    def slope(now: float, past: float) -> float:
        return float(0.2 * past / (1 + past**10) - 0.1 * now)

    for t in range(delay, len(x) - 1):
        now, first, last = x[t], x[t - delay], x[t - delay + 1]
        middle = (first + last) / 2
        k1 = slope(now, first)
        k2 = slope(now + step / 2 * k1, middle)
        k3 = slope(now + step / 2 * k2, middle)
        k4 = slope(now + step * k3, last)
        x[t + 1] = now + step / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return x[delay + 1 :: SUBSTEPS][500:]


def predict(network: Network, values: Tensor) -> Tensor:
    """Predict, from each of values [B, T] and those before it, the one behind it: [B, T]."""
    change: Tensor = network(values[:, :, None])[0]
    return values + change[:, :, 0]


@torch.no_grad()
def run_alone(network: Network, values: Tensor, steps: int) -> Tensor:
    """Read values [B, T], then go on for so many steps: [B, steps]."""
    change, state = network(values[:, :, None])
    value, run = values[:, -1] + change[:, -1, 0], []
    for _ in range(steps):
        run.append(value)
        change, state = network(value[:, None, None], state)
        value = value + change[:, 0, 0]
    return torch.stack(run, dim=1)


def learn(series: Tensor, options: Options) -> Network:
    """Train on stretches of a series [T], each from a zero state; its first 20 predictions do not count."""
    network, length = make_network(options, input_size=1, output_size=1), 100

    def loss() -> Tensor:
        starts = torch.randint(len(series) - length, (32, 1))
        values = series[starts + torch.arange(length + 1)]
        return functional.mse_loss(predict(network, values[:, :-1])[:, 20:], values[:, 21:])

    train(network, loss, options, learning_rate=0.01)
    return network


@dataclass(frozen=True)
class Report:
    """How well a network does on a series, [T], that it has not seen."""

    one_step: float
    """Root mean square error of one step."""
    unchanged: float
    """The same for the forecast of no change."""
    at_84: float
    """The same when the network has run alone for 84 steps."""
    close: Tensor
    """For how many steps each run stayed close."""


def first_far(error: Tensor) -> Tensor:
    """Return the first step at which errors [B, T] are far, T where they never are: [B]."""
    far = error.abs() > FAR
    return torch.where(far.any(dim=1), far.int().argmax(dim=1), error.shape[1])


@torch.no_grad()
def measure(network: Network, series: Tensor) -> Report:
    """Measure both figures."""
    one_step = (predict(network, series[None, :-1])[0] - series[1:])[WARM:]
    unchanged = (series[1:] - series[:-1])[WARM:]
    places = torch.linspace(0, len(series) - WARM - ALONE, 50).long()[:, None]
    values = series[places + torch.arange(WARM + ALONE)]
    error = run_alone(network, values[:, :WARM], ALONE) - values[:, WARM:]
    return Report(rms(one_step), rms(unchanged), rms(error[:, 83]), first_far(error))


def rms(error: Tensor) -> float:
    """Return the root of the mean square."""
    return error.square().mean().sqrt().item()


def draw(network: Network, series: Tensor, path: Path) -> None:
    """Draw the beginning of a series [T], what is predicted step by step, and one run alone."""
    steps, shown = torch.arange(WARM + ALONE), series[: WARM + ALONE]
    with torch.no_grad():
        predicted = predict(network, shown[None, :-1])[0]
    run = run_alone(network, shown[None, :WARM], ALONE)[0]
    with picture(path, width=10, height=5) as figure:
        above, below = figure.subplots(2, 1, sharex=True)
        above.plot(steps, shown, color="#999999", linewidth=3, label="true")
        above.plot(steps[1:], predicted, color=BLUE, linewidth=1, label="predicted from the true values before")
        above.set(title="One step ahead", ylabel="x (standard deviations)")
        below.plot(steps, shown, color="#999999", linewidth=3, label="true")
        below.plot(steps[WARM:], run, color=ORANGE, linewidth=1.2, label="the network alone")
        below.axvline(WARM, color="black", linewidth=1, linestyle=":")
        below.set(title=f"Alone from step {WARM}", xlabel="t", ylabel="x (standard deviations)", xlim=(0, WARM + ALONE))
        for axes in (above, below):
            axes.set_ylim(-2.7, 2.7)
            axes.legend(loc="lower right", bbox_to_anchor=(1, 0.97), ncols=2)


def run(options: Options, output: Path) -> Iterator[str]:
    """Train, measure, draw."""
    values = mackey_glass(TRAINED + 2000, np.random.default_rng(options.seed))
    normal = (values - values[:TRAINED].mean()) / values[:TRAINED].std()
    series = torch.tensor(normal, dtype=torch.float32)
    network = learn(series[:TRAINED], options)
    report = measure(network, series[TRAINED:])
    yield f"one step: RMSE {report.one_step:.4f}; of no change: {report.unchanged:.4f}"
    low, middle, high = report.close.float().quantile(torch.tensor([0.1, 0.5, 0.9])).tolist()
    yield (
        f"alone: RMSE after 84 steps {report.at_84:.3f}; within {FAR} for {middle:.0f} steps "
        f"(median of {len(report.close)} runs; first and last tenth: {low:.0f}, {high:.0f}, of {ALONE})"
    )
    draw(network, series[TRAINED:], output)
