"""Shapes by their names: polygons, a star and a circle, drawn on from a first stroke until they close.

The network is told a shape and given the first stroke of it, of any length and direction. It says stroke after stroke
how the pen goes on, each its next input, and when the shape is done: for that it has to count corners, or to remember
how far it has turned. A drawing is right if it has all its strokes and no more, and if each corner is where it belongs
within 2 % of the circumference.
"""

import math
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from nmt_lab.common import BLUE, Network, Options, make_network, picture, train

TURNS: Final = {
    "triangle": [120.0] * 3,
    "square": [90.0] * 4,
    "pentagon": [72.0] * 5,
    "hexagon": [60.0] * 6,
    "star": [144.0, -72.0] * 5,
    "circle": [15.0] * 24,
}
"""By how many degrees the pen turns to the left behind each stroke; all strokes of a shape are as long."""
MOST: Final = 24
"""Strokes of the shape with most of them."""
TOLERANCE: Final = 0.02
TESTED: Final = 100
"""Drawings of each shape."""
DEFAULTS: Final = Options(units=64, steps=3000)

DIRECTIONS: Final = [[math.radians(angle) for angle in accumulate(turns[:-1], initial=0.0)] for turns in TURNS.values()]
"""Of each stroke of each shape, seen from its first."""


def lengths_of(kinds: Tensor) -> Tensor:
    """Return how many strokes shapes of these kinds [B] have, [B]."""
    return torch.tensor([len(directions) for directions in DIRECTIONS])[kinds]


def complete(kinds: Tensor, first: Tensor) -> Tensor:
    """Return the strokes of shapes of kinds [B] that begin with strokes [B, 2]: [B, MOST, 2], zero behind the last."""
    directions = torch.zeros(len(DIRECTIONS), MOST, 2)
    for kind, angles in enumerate(DIRECTIONS):
        directions[kind, : len(angles)] = torch.tensor([[math.cos(angle), math.sin(angle)] for angle in angles])
    turned = torch.view_as_complex(directions)[kinds] * torch.view_as_complex(first.contiguous())[:, None]
    strokes: Tensor = torch.view_as_real(turned)
    return strokes


def draw_first(kinds: Tensor) -> Tensor:
    """Draw a first stroke for each of kinds [B], [B, 2]: circumferences between 3 and 5, all directions."""
    sizes, angles = (3 + 2 * torch.rand(len(kinds))) / lengths_of(kinds), 2 * math.pi * torch.rand(len(kinds))
    return torch.stack([sizes * angles.cos(), sizes * angles.sin()], dim=1)


def read(strokes: Tensor, kinds: Tensor) -> Tensor:
    """Return what the network reads of strokes [B, T, 2]: each, scaled to about 1 in all shapes, and the kind."""
    wish = functional.one_hot(kinds, len(TURNS)).float()[:, None].expand(-1, strokes.shape[1], -1)
    return torch.cat([strokes * lengths_of(kinds)[:, None, None] / 4, wish], dim=2)


def learn(network: Network, options: Options) -> None:
    """Train on shapes that are new in every batch: to say the next stroke, and after each whether it was the last."""

    def loss() -> Tensor:
        kinds = torch.randint(len(TURNS), (64,))
        strokes, lengths = complete(kinds, draw_first(kinds)), lengths_of(kinds)
        outputs, _ = network(read(strokes, kinds))
        place = torch.arange(MOST)
        goes_on, counts = place < lengths[:, None] - 1, (place < lengths[:, None]).float()
        wanted = strokes.roll(-1, dims=1) * lengths[:, None, None] / 4
        error: Tensor = (outputs[..., :2] - wanted).square().sum(dim=2)[goes_on].mean()
        end: Tensor = functional.binary_cross_entropy_with_logits(outputs[..., 2], (~goes_on).float(), weight=counts)
        return error + end

    train(network, loss, options, learning_rate=0.005)


@torch.no_grad()
def go_on(network: Network, kinds: Tensor, first: Tensor) -> tuple[Tensor, Tensor]:
    """Let a network draw on from strokes [B, 2]: all strokes, [B, MOST + 1, 2], and how many it takes, [B]."""
    stroke, state, strokes, ends = first[:, None], None, [first[:, None]], []
    for _ in range(MOST):
        outputs, state = network(read(stroke, kinds), state)
        stroke = outputs[..., :2] * 4 / lengths_of(kinds)[:, None, None]
        strokes.append(stroke)
        ends.append(outputs[:, 0, 2] > 0)
    ended = torch.stack([*ends, torch.ones(len(kinds), dtype=torch.bool)], dim=1)
    return torch.cat(strokes, dim=1), ended.int().argmax(dim=1) + 1


def errors(strokes: Tensor, kinds: Tensor) -> Tensor:
    """Return how far the worst corner of strokes [B, T, 2] is from where it belongs, in circumferences: [B]."""
    wanted = complete(kinds, strokes[:, 0])
    real = torch.arange(MOST) < lengths_of(kinds)[:, None]
    distances = (strokes[:, :MOST].cumsum(dim=1) - wanted.cumsum(dim=1)).norm(dim=2).masked_fill(~real, 0.0)
    worst: Tensor = distances.amax(dim=1)
    circumferences: Tensor = strokes[:, 0].norm(dim=1) * lengths_of(kinds)
    return worst / circumferences


def draw(strokes: Tensor, counts: Tensor, kinds: Tensor, path: Path) -> None:
    """Draw four shapes of each kind in a column."""
    with picture(path, width=10, height=5.6) as figure:
        axes = figure.subplots()
        for kind in range(len(TURNS)):
            for row, number in enumerate((kinds == kind).nonzero()[:4, 0].tolist()):
                points = torch.cat([torch.zeros(1, 2), strokes[number, : counts[number]].cumsum(dim=0)])
                middle = (points.amax(dim=0) + points.amin(dim=0)) / 2
                x, y = (points - middle + torch.tensor([2.2 * kind, -2.0 * row])).T
                axes.plot(x[1:], y[1:], color=BLUE, linewidth=1.6)
                axes.plot(x[:2], y[:2], color="black", linewidth=1.6)
                axes.plot(x[0], y[0], "o", color="black", markersize=3.5)
        axes.set(title="Drawn by the network (black: the given stroke)", aspect="equal", yticks=[])
        axes.set_xticks([2.2 * kind for kind in range(len(TURNS))], list(TURNS))
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.grid(visible=False)


def run(options: Options, output: Path) -> Iterator[str]:
    """Train, let draw, measure."""
    network = make_network(options, input_size=2 + len(TURNS), output_size=3)
    learn(network, options)
    kinds = torch.arange(len(TURNS)).repeat_interleave(TESTED)
    strokes, counts = go_on(network, kinds, draw_first(kinds))
    found, whole = errors(strokes, kinds), counts == lengths_of(kinds)
    right = whole & (found <= TOLERANCE)
    for kind, name in enumerate(TURNS):
        own = kinds == kind
        share, counted, off = right[own].float().mean(), whole[own].float().mean(), found[own].mean()
        yield f"{name}: {share:.0%} right, {counted:.0%} with so many strokes; worst corner off by {off:.2%} (mean)"
    yield f"correct within {TOLERANCE:.0%}: {right.float().mean():.1%} of {len(kinds)}"
    draw(strokes, counts, kinds, output)
