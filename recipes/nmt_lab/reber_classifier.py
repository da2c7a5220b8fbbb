"""A classifier of strings of the embedded Reber grammar: good or bad, after all of their letters.

The exercise as it is usually set (the grammar: Hochreiter & Schmidhuber, 1997; `nmt lab reber`): half of the strings
have one wrong letter, and the network learns from labels alone what is wrong where; many steps in, one answer out. It
is tested on strings that it has never seen, as many good ones as bad ones; in half of the bad ones only the last letter
but one is wrong, which must be the second one again. The picture shows how probable "good" is after every letter.
"""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from nmt_lab.common import BLUE, ORANGE, Labeller, Options, last, padded, picture, updates
from nmt_lab.reber import SYMBOLS, draw_string, draw_test, replace, swap

TESTED: Final = 1000
"""Good test strings; as many are bad."""
DEFAULTS: Final = Options(units=32, steps=2500)

Shares = tuple[float, float, float]
"""Of the good test strings, the swapped and the replaced ones, how many are classified correctly."""


def encode(strings: list[str]) -> tuple[Tensor, Tensor]:
    """Return the numbers of the letters, [B, T], and the lengths, [B]."""
    return padded([[SYMBOLS.index(symbol) for symbol in string] for string in strings])


def draw_batch(rng: random.Random, size: int) -> list[str]:
    """Draw strings; the second half of them has a wrong letter each."""
    strings = [draw_string(rng) for _ in range(size)]
    return strings[: size // 2] + [replace(string, rng) for string in strings[size // 2 :]]


@torch.no_grad()
def believe(network: Labeller, strings: list[str]) -> list[Tensor]:
    """Return the probability that each string is good, after each of its letters, [T] each."""
    ids, lengths = encode(strings)
    rows = network(ids, lengths)[:, :, 0].sigmoid()
    return [row[:length] for row, length in zip(rows, lengths.tolist(), strict=True)]


def measure(network: Labeller, test: list[str]) -> Shares:
    """Test a network on strings of `draw_test`."""
    good = torch.stack([belief[-1] for belief in believe(network, test)]) > 0.5
    half = len(test) // 2
    right = (good == (torch.arange(len(test)) < half)).float()
    kinds = (right[:half], right[half : half + half // 2], right[half + half // 2 :])
    first, second, third = (kind.mean().item() for kind in kinds)
    return first, second, third


def learn(
    network: Labeller, batches: list[list[str]], test: list[str], options: Options
) -> Iterator[tuple[int, Shares]]:
    """Train on each batch once, a batch a step; now and then, test."""
    coming = iter(batches)

    def loss() -> Tensor:
        ids, lengths = encode(next(coming))
        good = (torch.arange(len(ids)) < len(ids) // 2).float()
        return functional.binary_cross_entropy_with_logits(last(network(ids, lengths), lengths)[:, 0], good)

    every = max(1, options.steps // 40)
    for step in updates(network, loss, options, learning_rate=0.01):
        if step % every == 0 or step == options.steps:
            yield step, measure(network, test)


def draw(curve: list[tuple[int, Shares]], beliefs: dict[str, Tensor], path: Path) -> None:
    """Draw the shares over updates, and what is believed along strings: a good one, then it with a wrong letter."""
    names, strings = {"good": BLUE, "last but one wrong": ORANGE, "any one wrong": "#777777"}, list(beliefs)
    with picture(path, width=11, height=3.8) as figure:
        left, right = figure.subplots(1, 2, width_ratios=(1, 1.4))
        for kind, (name, colour) in enumerate(names.items()):
            values = [100 * shares[kind] for _, shares in curve]
            left.plot([step for step, _ in curve], values, color=colour, linewidth=1.4, label=name)
        left.set(title="Unseen strings", xlabel="updates", ylabel="accuracy (%)", ylim=(-2, 102))
        left.legend(loc="lower right")
        for row, (string, belief) in enumerate(beliefs.items()):
            place = (0, len(string), row + 0.8, row + 0.2)
            right.imshow(belief[None].numpy(), extent=place, cmap="RdBu", vmin=0, vmax=1)
            for x, (symbol, good) in enumerate(zip(string, strings[row - row % 2], strict=True)):
                style = {"color": "black"} if symbol == good else {"color": ORANGE, "weight": "bold"}
                right.text(x + 0.5, row + 0.12, symbol, ha="center", fontsize=8, **style)
        right.set(title="After each letter (blue: good, red: bad; bold: wrong)", aspect="auto")
        right.set(xlim=(0, max(map(len, strings))), ylim=(len(strings), -0.1), xticks=[], yticks=[])
        right.spines[:].set_visible(False)
        right.grid(visible=False)


def run(options: Options, output: Path) -> Iterator[str]:
    """Train, test, draw."""
    torch.manual_seed(options.seed)
    network = Labeller(options.cell or "lstm", symbols=len(SYMBOLS), units=options.units, classes=1)
    rng = random.Random(options.seed)
    batches = [draw_batch(rng, 64) for _ in range(options.steps)]
    test = draw_test(rng, seen={string for batch in batches for string in batch}, count=TESTED)
    curve = list(learn(network, batches, test, options))
    good, swapped, replaced = curve[-1][1]
    everything = good / 2 + swapped / 4 + replaced / 4
    yield f"classified correctly: {everything:.2%} of {len(test):,} unseen strings"
    yield f"of the good ones {good:.2%}, with the last letter but one wrong {swapped:.2%}, with any one {replaced:.2%}"
    shown = [draw_string(rng) for _ in range(3)]
    strings = [shown[0], swap(shown[0]), shown[1], replace(shown[1], rng), shown[2], replace(shown[2], rng)]
    draw(curve, dict(zip(strings, believe(network, strings), strict=True)), output)
