"""What the recipes of this folder share: a small recurrent network, its training, options and the look of pictures."""

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Final

import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor, nn

from nmt.files import written
from nmt.models.cells import Cell, Recurrence, State, make_layer
from nmt.pictures import STYLE, drawing

BLUE, GREEN, ORANGE, PURPLE = "#0072B2", "#009E73", "#D55E00", "#CC79A7"
"""Told apart by the colour-blind too (Okabe and Ito, 2008)."""
UNIFORM: Final = "RNN, uniform start"
COMPARED: Final[dict[str, tuple[Cell, str]]] = {
    UNIFORM: ("rnn", ORANGE),
    "RNN, orthogonal start": ("rnn", PURPLE),
    "GRU": ("gru", GREEN),
    "LSTM": ("lstm", BLUE),
}
"""What is compared: its cell and its colour."""
_STYLE: Final = {
    **STYLE,
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}


class Network(nn.Module):
    """One recurrent layer, and a linear output at every step."""

    def __init__(self, cell: Cell, *, input_size: int, hidden_size: int, output_size: int) -> None:
        super().__init__()
        self.layer = make_layer(Recurrence(cell, dropout=0.0), input_size=input_size, hidden_size=hidden_size)
        self.output = nn.Linear(hidden_size, output_size)

    def forward(self, inputs: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Read sequences [B, T, I] from a state, or from zeros.

        Returns:
            The output at every step, [B, T, O], and the state after the last one, parts [B, H].
        """
        features, state = self.layer.run(inputs, state)
        return self.output(features), state


def make_compared(name: str, *, input_size: int, hidden_size: int, output_size: int) -> Network:
    """Make one of the networks that are compared.

    A simple RNN starts with orthogonal recurrent weights, as all cells of this project do, or with uniform ones between
    -1 / sqrt(H) and 1 / sqrt(H), as was long the custom.
    """
    cell, _ = COMPARED[name]
    network = Network(cell, input_size=input_size, hidden_size=hidden_size, output_size=output_size)
    if name == UNIFORM:
        _, recurrent_weight, *_ = network.layer.weights()
        nn.init.uniform_(recurrent_weight, -(hidden_size**-0.5), hidden_size**-0.5)
    return network


def updates(
    network: Network, draw_loss: Callable[[], Tensor], *, steps: int, learning_rate: float
) -> Iterator[tuple[int, float]]:
    """Train by Adam, gradients clipped at norm 1, the rate falling to zero along half a cosine.

    Yields the number of each update and its loss, so that the caller can look at the network in between.
    """
    optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(1, steps + 1):
        optimizer.zero_grad()
        loss = draw_loss()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        yield step, loss.item()


def read_options(description: str | None, *, steps: int, output: Path) -> argparse.Namespace:
    """Read --seed, --steps and --output; from then on torch has one thread, so that every machine sums in one order."""
    parser = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=steps, help=f"updates of a training run (default: {steps:,})")
    parser.add_argument("--output", type=Path, default=output, metavar="FILE.png", help="default: beside the recipe")
    torch.set_num_threads(1)
    return parser.parse_args()


@contextmanager
def picture(path: Path, *, width: float, height: float) -> Iterator[Figure]:
    """Give a figure of so many inches to draw on, then write it."""
    with drawing(written(path), _STYLE) as file:
        figure = Figure(figsize=(width, height), dpi=100)
        yield figure
        figure.savefig(whole := BytesIO(), format="png")
        Image.open(whole).convert("RGB").quantize(128).save(file, "PNG", optimize=True)  # a third of the bytes
