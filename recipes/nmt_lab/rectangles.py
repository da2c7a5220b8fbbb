"""Rectangles as sequences of corners: a network draws them by itself, side by side, and closes them.

The network reads the last stroke of the pen and says how the next one is distributed: a normal distribution of dx and
one of dy (after Graves, 2013, sec. 4, with one component in place of a mixture). It starts from a zero stroke; each
stroke is drawn from what it says, and is its next input. The first two strokes are chance; the last two must be the
first two turned round, which it has to remember. A rectangle counts as consistent if bottom and top, and left and
right, differ by at most 2 % as vectors, and its first corner is correct within 2 % (as the cosine of its angle).
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from nmt_lab.common import BLUE, GREEN, ORANGE, Network, Options, make_network, picture, train

TOLERANCE: Final = 0.02
DIRECTIONS: Final = ((1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0))
SHOWN: Final = 18
DEFAULTS: Final = Options(units=32, steps=6000)


def draw_rectangles(count: int) -> Tensor:
    """Draw the strokes right, up, left, down of random rectangles, [B, 4, 2]; sides are normal, between 0.4 and 1.6."""
    sizes = (1 + 0.25 * torch.randn(count, 2)).clamp(0.4, 1.6)  # width and height
    return sizes[:, None] * torch.tensor(DIRECTIONS)


def corners(strokes: Tensor) -> Tensor:
    """Return the points that strokes [B, 4, 2] lead through from the origin, [B, 5, 2]."""
    return torch.cat([torch.zeros_like(strokes[:, :1]), strokes.cumsum(dim=1)], dim=1)


def errors(strokes: Tensor) -> Tensor:
    """Measure rectangles [B, 4, 2]: how far top is from bottom, left from right, the corner from a right one, [B, 3].

    The first two are shares of the longer of both sides, the last is |cosine| of the angle.
    """
    sides = strokes.norm(dim=2)  # [B, 4]
    open_sides = (strokes[:, :2] + strokes[:, 2:]).norm(dim=2) / torch.maximum(sides[:, :2], sides[:, 2:])
    cosine = (strokes[:, 0] * strokes[:, 1]).sum(dim=1).abs() / (sides[:, 0] * sides[:, 1])
    return torch.cat([open_sides, cosine[:, None]], dim=1)


def negative_log_likelihood(outputs: Tensor, strokes: Tensor) -> Tensor:
    """Return what normal distributions, [B, 4, 4], two means and two log deviations, say of strokes [B, 4, 2]."""
    mean, log_deviation = outputs[..., :2], outputs[..., 2:]
    deviations = (strokes - mean) * torch.exp(-log_deviation)
    return (0.5 * deviations.square() + log_deviation + 0.5 * math.log(2 * math.pi)).sum(dim=2).mean()


@torch.no_grad()
def generate(network: Network, count: int) -> Tensor:
    """Let a network draw rectangles from nothing, each stroke the input of the next: [B, 4, 2]."""
    stroke, state, strokes = torch.zeros(count, 1, 2), None, []
    for _ in DIRECTIONS:
        outputs, state = network(stroke, state)
        mean, log_deviation = outputs[..., :2], outputs[..., 2:]
        stroke = torch.normal(mean, log_deviation.exp())  # [B, 1, 2]
        strokes.append(stroke)
    return torch.cat(strokes, dim=1)


def learn(options: Options) -> Network:
    """Train a network on rectangles that are new in every batch."""
    network = make_network(options, input_size=2, output_size=4)

    def loss() -> Tensor:
        strokes = draw_rectangles(64)
        outputs, _ = network(torch.cat([torch.zeros(64, 1, 2), strokes[:, :-1]], dim=1))
        # the deviations of the last strokes shrink without end: a floor keeps the loss finite
        return negative_log_likelihood(torch.cat([outputs[..., :2], outputs[..., 2:].clamp_min(-9)], dim=2), strokes)

    train(network, loss, options, learning_rate=0.01)
    return network


def draw(strokes: Tensor, path: Path) -> None:
    """Draw the first rectangles side by side, and the widths and heights of all at both ends."""
    with picture(path, width=10, height=3.8) as figure:
        left, right = figure.subplots(1, 2, width_ratios=(1.9, 1))
        for number, points in enumerate(corners(strokes[:SHOWN])):
            x, y = points.T + torch.tensor([[2.0 * (number % 6)], [-2.0 * (number // 6)]])
            left.plot(x, y, color=BLUE, linewidth=1.6)
            left.plot(x[0], y[0], "o", color="black", markersize=3.5)
        left.set(title="Drawn by the network (dots: where it starts)", aspect="equal", xticks=[], yticks=[])
        left.grid(visible=False)
        left.spines[:].set_visible(False)
        found, sizes = 100 * errors(strokes), strokes.norm(dim=2)
        for first, name, colour in ((0, "width", ORANGE), (1, "height", GREEN)):
            right.plot(sizes[:, first], found[:, first], ".", color=colour, markersize=3, alpha=0.6, label=name)
        right.axhline(100 * TOLERANCE, color="black", linewidth=1, linestyle=":")
        right.set(title=f"Opposite sides of {len(strokes):,}", xlabel="side drawn first", ylabel="difference (%)")
        right.set_ylim(0, max(3.0, 1.05 * float(found[:, :2].quantile(0.999))))
        right.legend(loc="upper right", markerscale=3)


def run(options: Options, output: Path) -> Iterator[str]:
    """Train, draw, measure."""
    strokes = generate(learn(options), 1000)
    found = errors(strokes)
    width, height, angle = found.mean(dim=0).tolist()
    yield f"mean error: width {width:.2%}, height {height:.2%}, angle {angle:.2%}"
    consistent = (found <= TOLERANCE).all(dim=1).float().mean()
    yield f"consistent within {TOLERANCE:.0%}: {consistent:.1%} of {len(strokes):,}"
    for name, sizes in (("generated", strokes), ("of training", draw_rectangles(1000))):
        sides = sizes[:, :2].norm(dim=2)
        yield f"sizes {name}: mean {sides.mean():.2f}, standard deviation {sides.std():.2f}"
    draw(strokes, output)
