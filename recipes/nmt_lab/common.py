"""What all labs share: their options, a small recurrent network, its training, and the look of pictures."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Final, Protocol

import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor, nn

from nmt.config.model import Cell
from nmt.io.files import written
from nmt.models.cells.layer import Recurrence, State, make_layer
from nmt.models.embedding import Dropout, WordEmbedding
from nmt.models.seq2seq import RecurrentEncoder, gather_positions
from nmt.report.pictures import STYLE, drawing

BLUE, GREEN, ORANGE, PURPLE = "#0072B2", "#009E73", "#D55E00", "#CC79A7"
"""Told apart by the colour-blind too (Okabe and Ito, 2008)."""
UNIFORM: Final = "RNN, uniform start"
_COMPARED: Final[dict[str, tuple[Cell, str]]] = {
    UNIFORM: ("rnn", ORANGE),
    "RNN, orthogonal start": ("rnn", PURPLE),
    "GRU": ("gru", GREEN),
    "LSTM": ("lstm", BLUE),
}
_STYLE: Final = {**STYLE, "axes.titlelocation": "left", "legend.frameon": False, "figure.constrained_layout.use": True}


def nobody(loss: float) -> None:
    """Hear of an update, and do nothing."""


@dataclass(frozen=True)
class Options:
    """What can be asked of every lab."""

    units: int
    """Of the recurrent layer."""
    steps: int
    """Updates of each training."""
    cell: Cell | None = None
    """None: what the lab shows by itself, an LSTM or a comparison."""
    seed: int = 1
    on_update: Callable[[float], None] = nobody
    """Told the loss of every update."""


class Lab(Protocol):
    """A module of this package, which solves one problem."""

    DEFAULTS: Options

    def run(self, options: Options, output: Path) -> Iterator[str]:
        """Train and test; yield the lines of the result as they are found, then draw the picture."""


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


class Labeller(nn.Module):
    """Vectors of symbols, a recurrent layer over them in one or both directions, and logits of classes everywhere."""

    def __init__(self, cell: Cell, *, symbols: int, units: int, classes: int, bidirectional: bool = False) -> None:
        super().__init__()
        hidden_size = 2 * units if bidirectional else units
        self.embedding = WordEmbedding(nn.Embedding(symbols, 32), dropout=Dropout(0.0), word_dropout=0.0)
        self.encoder = RecurrentEncoder(
            recurrence=Recurrence(cell, dropout=0.0),
            embedding_size=32,
            hidden_size=hidden_size,
            bidirectional_layers=int(bidirectional),
            residual=False,
            dropouts=[],
        )
        self.output = nn.Linear(hidden_size, classes)

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Read ids [B, T], of which `lengths` [B] are real; return the logits after each, [B, T, C]."""
        outputs, _ = self.encoder(self.embedding(ids), lengths)
        logits: Tensor = self.output(outputs)
        return logits


def padded(rows: Sequence[Sequence[int]], value: int = 0) -> tuple[Tensor, Tensor]:
    """Return rows as a tensor, [B, T], with `value` behind the short ones, and their lengths, [B]."""
    tensors = [torch.tensor(row) for row in rows]
    return nn.utils.rnn.pad_sequence(tensors, batch_first=True, padding_value=value), torch.tensor([*map(len, rows)])


def last(outputs: Tensor, lengths: Tensor) -> Tensor:
    """Return the outputs [B, T, C] at the ends of rows of `lengths` [B]: [B, C]."""
    return gather_positions(outputs, (lengths - 1)[:, None])[:, 0]


def make_network(options: Options, *, input_size: int, output_size: int) -> Network:
    """Make the network that is asked for, an LSTM where none is; the same one for the same seed."""
    torch.manual_seed(options.seed)
    cell = options.cell or "lstm"
    return Network(cell, input_size=input_size, hidden_size=options.units, output_size=output_size)


def compared(cell: Cell | None) -> dict[str, tuple[Cell, str]]:
    """Name the networks of a comparison, their cells and their colours: the one of a cell, or four."""
    return _COMPARED if cell is None else {cell: (cell, BLUE)}


def make_compared(name: str, options: Options, *, input_size: int, output_size: int) -> Network:
    """Make one of the networks of a comparison; the same one for the same seed.

    A simple RNN starts with orthogonal recurrent weights, as all cells of this project do, or with uniform ones between
    -1 / sqrt(H) and 1 / sqrt(H), as was long the custom.
    """
    cell, _ = compared(options.cell)[name]
    network = make_network(replace(options, cell=cell), input_size=input_size, output_size=output_size)
    if name == UNIFORM:
        _, recurrent_weight, *_ = network.layer.weights()
        nn.init.uniform_(recurrent_weight, -(options.units**-0.5), options.units**-0.5)
    return network


def updates(
    network: nn.Module, draw_loss: Callable[[], Tensor], options: Options, *, learning_rate: float
) -> Iterator[int]:
    """Train by Adam, gradients clipped at norm 1, the rate falling to zero along half a cosine.

    Yields the number of each update, so that the caller can look at the network in between.
    """
    optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, options.steps)
    for step in range(1, options.steps + 1):
        optimizer.zero_grad()
        loss = draw_loss()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        options.on_update(loss.item())
        yield step


def train(network: nn.Module, draw_loss: Callable[[], Tensor], options: Options, *, learning_rate: float) -> None:
    """Make all updates."""
    for _ in updates(network, draw_loss, options, learning_rate=learning_rate):
        pass


@contextmanager
def picture(path: Path, *, width: float, height: float) -> Iterator[Figure]:
    """Give a figure of so many inches to draw on, then write it."""
    with drawing(written(path), _STYLE) as file:
        figure = Figure(figsize=(width, height), dpi=100)
        yield figure
        figure.savefig(whole := BytesIO(), format="png")
        Image.open(whole).convert("RGB").quantize(128).save(file, "PNG", optimize=True)  # a third of the bytes
