"""Several features a step: the system of Lorenz, predicted from one of its three numbers, or from all of them.

Lorenz (1963) has three numbers: dx/dt = 10 (y - x), dy/dt = x (28 - z) - y, dz/dt = xy - 8z/3. Here they are measured
every 0.02 time units, each with an error of a fifth of its standard deviation. A network reads the measurements and
says after each what the true x will be 0.3 time units on. Three networks are compared, which read x alone, x and y, or
all three: who sees only x has to find the others from its past. Where x changes sides, nobody predicts it well.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from nmt_lab.common import BLUE, GREEN, ORANGE, Network, Options, make_network, picture, train

STEP: Final = 0.02
AHEAD: Final = 15
"""Steps between the last measurement and what is predicted."""
NOISE: Final = 0.2
"""Error of the measurements, in standard deviations."""
TRAINED, TESTED = 20_000, 5000
WARM: Final = 50
"""Predictions at the beginning of a sequence that do not count."""
FEATURES: Final = {"x": 1, "x, y": 2, "x, y, z": 3}
"""What is compared, and how many of the numbers it is."""
COLOURS: Final = (ORANGE, GREEN, BLUE)
DEFAULTS: Final = Options(units=48, steps=1000)


def slope(point: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return where a point is going, a time unit on."""
    x, y, z = point
    return np.array([10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z])


def lorenz(length: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Integrate by Runge-Kutta's method of fourth order from a random place; leave out the first 500: [T, 3]."""
    point, points = rng.normal(size=3) + np.array([0.0, 0.0, 25.0]), []
    for _ in range(length + 500):
        k1 = slope(point)
        k2 = slope(point + STEP / 2 * k1)
        k3 = slope(point + STEP / 2 * k2)
        k4 = slope(point + STEP * k3)
        point = point + STEP / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        points.append(point)
    return np.array(points[500:])


def learn(network: Network, measured: Tensor, true: Tensor, options: Options) -> None:
    """Train on stretches of measurements [T, F] to say what x, [T], is later on."""

    def loss() -> Tensor:
        places = torch.randint(len(true) - 150 - AHEAD, (32, 1)) + torch.arange(150)
        return functional.mse_loss(predict(network, measured[places])[:, WARM:], true[places + AHEAD][:, WARM:])

    train(network, loss, options, learning_rate=0.01)


def predict(network: Network, measured: Tensor) -> Tensor:
    """Say, after each of measurements [B, T, F], what x will be: [B, T]."""
    outputs: Tensor = network(measured)[0]
    return outputs[..., 0]


def draw(true: Tensor, said: dict[str, Tensor], path: Path) -> None:
    """Draw x, [T], what each network had said of it, [T], and how far that is off."""
    shown = slice(WARM, WARM + 600)
    with picture(path, width=10, height=5) as figure:
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(1.4, 1))
        times = STEP * torch.arange(len(true))[shown]
        above.plot(times, true[shown], color="#999999", linewidth=3, label="true x")
        for (name, values), colour in zip(said.items(), COLOURS, strict=True):
            above.plot(times, values[shown], color=colour, linewidth=1, label=f"predicted from {name}")
            below.plot(times, (values - true)[shown].abs(), color=colour, linewidth=1)
        above.set(title=f"x, predicted {AHEAD * STEP:.1f} time units ahead", ylabel="standard deviations")
        below.set(title="Error", ylabel="standard deviations", yscale="log", ylim=(1e-3, 5))
        below.set(xlabel="time", xlim=(float(times[0]), float(times[-1])))
        figure.legend(loc="outside lower center", ncols=4)


def run(options: Options, output: Path) -> Iterator[str]:
    """Train and test a network for each set of features, draw."""
    rng = np.random.default_rng(options.seed)
    points = lorenz(TRAINED + TESTED, rng)
    normal = (points - points[:TRAINED].mean(axis=0)) / points[:TRAINED].std(axis=0)
    true = torch.tensor(normal, dtype=torch.float32)
    measured = torch.tensor(normal + NOISE * rng.normal(size=normal.shape), dtype=torch.float32)
    x, said = true[TRAINED + AHEAD :, 0], dict[str, Tensor]()
    unchanged = (true[TRAINED:-AHEAD, 0] - x)[WARM:].square().mean().sqrt()
    yield f"predicting no change: RMSE {unchanged:.3f}"
    for name, count in FEATURES.items():
        network = make_network(options, input_size=count, output_size=1)
        learn(network, measured[:TRAINED, :count], true[:TRAINED, 0], options)
        with torch.no_grad():
            said[name] = predict(network, measured[None, TRAINED:-AHEAD, :count])[0]
        error = (said[name] - x)[WARM:].abs()
        yield f"from {name}: RMSE {error.square().mean().sqrt():.3f}, median error {error.median():.3f}"
    draw(x, said, output)
