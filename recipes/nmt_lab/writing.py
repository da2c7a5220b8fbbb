"""Writing, character by character: a language model of the built-in phrasebook, and lines that it makes up.

The network reads one character after the other and says which comes next (Graves, 2013, sec. 3); where it writes, what
it chooses is its next input. The text is the English side of the built-in phrasebook, a sentence a line. The figures
are bits for each character of sentences whose words were never together before, beside those of counts of single
characters and of pairs; and how many of the lines that it writes are new, and of their words are words of the text.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import torch
from matplotlib.patches import Rectangle
from torch import Tensor
from torch.nn import functional

from nmt.phrasebook import read_phrasebook
from nmt_lab.common import BLUE, Network, Options, make_network, padded, picture, updates

LINES: Final = 4000
"""Sentences of the text."""
WRITTEN: Final = 200
"""Lines that the network writes for the figures; the first are printed."""
PRINTED: Final = 8
SHOWN: Final = 9
"""Lines of the test text in the picture."""
TEMPERATURE: Final = 0.7
LONGEST: Final = 80
DEFAULTS: Final = Options(units=128, steps=3000)


def read_text() -> tuple[str, str]:
    """Return the text to learn from, and that of the test, whose words make new combinations."""
    pairs = read_phrasebook("train")[:LINES], read_phrasebook("test")
    train, test = ("".join(f"{english}\n" for english, _ in part) for part in pairs)
    return train, test


def encode(text: str, alphabet: str) -> Tensor:
    """Return the numbers of characters, [T]."""
    return torch.tensor([alphabet.index(character) for character in text])


def predict(network: Network, ids: Tensor) -> Tensor:
    """Return the logits of the character behind each of ids [B, T]: [B, T, V]."""
    logits: Tensor = network(functional.one_hot(ids, network.output.out_features).float())[0]
    return logits


@torch.no_grad()
def surprise(network: Network, lines: list[str], alphabet: str) -> list[Tensor]:
    """Return the bits of each character of lines, and of the line breaks behind them."""
    ids, lengths = padded([encode(f"\n{line}\n", alphabet).tolist() for line in lines])
    losses = functional.cross_entropy(predict(network, ids[:, :-1]).transpose(1, 2), ids[:, 1:], reduction="none")
    return [row[: length - 1] / math.log(2) for row, length in zip(losses, lengths.tolist(), strict=True)]


def bits_by_counting(train: Tensor, test: Tensor, *, size: int) -> tuple[float, float]:
    """Return bits per character of a test text [T] by the counts of single characters, and of pairs, in another."""
    pairs = torch.zeros(size, size).index_put_((train[:-1], train[1:]), torch.ones(()), accumulate=True) + 0.01
    single, double = pairs.sum(dim=0) / pairs.sum(), pairs / pairs.sum(dim=1, keepdim=True)
    return -single[test[1:]].log2().mean().item(), -double[test[:-1], test[1:]].log2().mean().item()


@torch.no_grad()
def write(network: Network, alphabet: str, count: int) -> list[str]:
    """Write so many lines, side by side; each ends at a line break, or where it is too long."""
    newline = alphabet.index("\n")
    ids, state, columns = torch.full((count, 1), newline), None, []
    for _ in range(LONGEST):
        logits, state = network(functional.one_hot(ids, len(alphabet)).float(), state)
        ids = (logits[:, 0] / TEMPERATURE).softmax(dim=1).multinomial(1)
        columns.append(ids)
    rows = torch.cat(columns, dim=1).tolist()
    return ["".join(alphabet[number] for number in row).partition("\n")[0] for row in rows]


def learn(network: Network, text: Tensor, options: Options) -> Iterator[int]:
    """Train on 16 stretches of 64 characters at once, each from a zero state."""

    def loss() -> Tensor:
        starts = torch.randint(len(text) - 64, (16, 1))
        ids = text[starts + torch.arange(65)]
        return functional.cross_entropy(predict(network, ids[:, :-1]).transpose(1, 2), ids[:, 1:])

    yield from updates(network, loss, options, learning_rate=0.015)


def draw(curve: dict[int, float], lines: list[str], bits: list[Tensor], path: Path) -> None:
    """Draw bits per character over updates, and lines whose characters are the darker the less they were expected."""
    with picture(path, width=11, height=4) as figure:
        left, right = figure.subplots(1, 2, width_ratios=(1, 2.2))
        left.plot(list(curve), list(curve.values()), color=BLUE)
        left.set(title="Test text", xlabel="updates", ylabel="bits per character", ylim=(0, None))
        for y, (line, row) in enumerate(zip(lines, bits, strict=True)):
            for x, (character, bit) in enumerate(zip(line, row.tolist(), strict=False)):  # behind it, the line break
                shade = min(bit / 8, 1.0)
                right.add_patch(Rectangle((x, y), 1, 0.9, color=(1, 1 - 0.6 * shade, 1 - shade)))
                right.text(x + 0.5, y + 0.5, character, ha="center", va="center", fontsize=8, family="monospace")
        right.set(title="What surprises it (the darker, the more bits)", xlim=(0, LONGEST), ylim=(len(lines), -0.2))
        right.set(xticks=[], yticks=[])
        right.spines[:].set_visible(False)
        right.grid(visible=False)


def run(options: Options, output: Path) -> Iterator[str]:
    """Train, write, measure, draw."""
    train, test = read_text()
    alphabet = "".join(sorted({*train, *test}))
    ids, tested = encode(train, alphabet), test.splitlines()
    network = make_network(options, input_size=len(alphabet), output_size=len(alphabet))
    every, curve = max(1, options.steps // 15), dict[int, float]()
    for step in learn(network, ids, options):
        if step % every == 0 or step == options.steps:
            curve[step] = torch.cat(surprise(network, tested, alphabet)).mean().item()
    single, double = bits_by_counting(ids, encode(f"\n{test}", alphabet), size=len(alphabet))
    yield f"bits per character: {curve[options.steps]:.3f}; by counts of characters {single:.3f}, of pairs {double:.3f}"
    lines, known = write(network, alphabet, WRITTEN), {*train.split()}
    words, new = [word for line in lines for word in line.split()], sum(f"{line}\n" not in train for line in lines)
    share = sum(word in known for word in words) / max(1, len(words))
    yield f"of {len(lines)} written lines {new / len(lines):.1%} are new, of their words {share:.1%} are in the text:"
    yield from (f"  {line}" for line in lines[:PRINTED])
    draw(curve, tested[:SHOWN], surprise(network, tested[:SHOWN], alphabet), output)
