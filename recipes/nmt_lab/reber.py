"""The embedded Reber grammar: which cells remember the second symbol until the last but one.

A string is B, then T or P, then a string of the Reber grammar, then the same T or P again, then E (Hochreiter &
Schmidhuber, 1997, sec. 5.1; Reber, 1967). The networks learn to predict the next symbol, from grammatical strings
alone. A network accepts a string if it gave every symbol of it, and its end, a probability above 1/4: an allowed symbol
has at least 1/2, a forbidden one 0. It is tested on strings that it has never seen: as many grammatical ones as
corrupted ones. In half of the corrupted ones a symbol is replaced anywhere, in the other half it is the last but one,
which leaves a string that only a memory of the second symbol can tell from a grammatical one.
"""

import dataclasses
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from nmt_lab.common import Network, Options, compared, make_compared, picture, updates

GRAMMAR: Final = (
    {"B": 1},
    {"T": 2, "P": 3},
    {"S": 2, "X": 4},
    {"T": 3, "V": 5},
    {"X": 3, "S": 6},
    {"P": 4, "V": 6},
    {"E": 7},
)
"""Which symbol leads from a state of the Reber grammar to which; 7 is the end."""
SYMBOLS: Final = "BEPSTVX"
ENDS: Final = "."
"""Stands before and behind a string."""
RUNS: Final = 3
TESTED: Final = 1000
"""Test strings that are grammatical; as many are not."""
DEFAULTS: Final = Options(units=16, steps=2000)

Accuracies = tuple[float, float]
"""Of all test strings, and of those whose last but one symbol alone is wrong."""


def draw_string(rng: random.Random) -> str:
    """Draw a grammatical string; where the grammar has a choice, both symbols are as likely."""
    state, inner, choice = 0, "", rng.choice("TP")
    while state < len(GRAMMAR):
        symbol = rng.choice(list(GRAMMAR[state]))
        state, inner = GRAMMAR[state][symbol], inner + symbol
    return f"B{choice}{inner}{choice}E"


def is_grammatical(string: str) -> bool:
    """Follow the grammar through a string."""
    state = 0
    for symbol in string[2:-2]:
        if state == len(GRAMMAR) or symbol not in GRAMMAR[state]:
            return False
        state = GRAMMAR[state][symbol]
    return state == len(GRAMMAR) and (string[:2], string[-2:]) in (("BT", "TE"), ("BP", "PE"))


def swap(string: str) -> str:
    """Make the last but one symbol the wrong one of the two."""
    return string[:-2] + {"T": "P", "P": "T"}[string[-2]] + string[-1]


def replace(string: str, rng: random.Random) -> str:
    """Replace one symbol so that the string is no longer grammatical."""
    while True:
        place = rng.randrange(len(string))
        corrupted = string[:place] + rng.choice(SYMBOLS) + string[place + 1 :]
        if not is_grammatical(corrupted):
            return corrupted


def draw_test(rng: random.Random, *, seen: set[str], count: int) -> list[str]:
    """Draw different unseen strings: `count` grammatical ones, the first half of them swapped, the others replaced."""
    good: dict[str, None] = {}
    while len(good) < count:
        string = draw_string(rng)
        if string not in seen:
            good[string] = None
    strings, half = list(good), count // 2
    return strings + [swap(string) for string in strings[:half]] + [replace(string, rng) for string in strings[half:]]


def encode(strings: list[str]) -> Tensor:
    """Return the numbers of the symbols with both ends, [B, T]; behind a short string, -1."""
    rows = [torch.tensor([(ENDS + SYMBOLS).index(symbol) for symbol in ENDS + string + ENDS]) for string in strings]
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=-1)


def predict(network: Network, ids: Tensor) -> Tensor:
    """Return the logits of each next symbol, [B, T - 1, V]."""
    logits: Tensor = network(functional.one_hot(ids[:, :-1].clamp_min(0), len(ENDS + SYMBOLS)).float())[0]
    return logits


@torch.no_grad()
def accept(network: Network, ids: Tensor) -> Tensor:
    """Return which strings a network takes for grammatical, [B]."""
    following = ids[:, 1:]
    probabilities = predict(network, ids).softmax(2).gather(2, following.clamp_min(0)[:, :, None])[:, :, 0]
    return (probabilities.masked_fill(following < 0, 1.0) > 0.25).all(dim=1)


def learn(name: str, batches: list[list[str]], test: list[str], options: Options) -> Iterator[tuple[int, Accuracies]]:
    """Train a network on each batch once, a batch a step; now and then, test it."""
    network = make_compared(name, options, input_size=len(ENDS + SYMBOLS), output_size=len(ENDS + SYMBOLS))
    coming, tested, count = iter(batches), encode(test), len(test) // 2

    def loss() -> Tensor:
        ids = encode(next(coming))
        return functional.cross_entropy(predict(network, ids).transpose(1, 2), ids[:, 1:], ignore_index=-1)

    every = max(1, options.steps // 40)
    for step in updates(network, loss, options, learning_rate=0.01):
        if step % every == 0 or step == options.steps:
            right = (accept(network, tested) == (torch.arange(2 * count) < count)).float()
            yield step, (right.mean().item(), right[count : count + count // 2].mean().item())


def draw(curves: dict[tuple[str, int], list[tuple[int, Accuracies]]], colours: dict[str, str], path: Path) -> None:
    """Draw a line for every run, in the colour of its network."""
    titles = ("All test strings", "Strings whose last symbol but one is wrong")
    with picture(path, width=9, height=3.4) as figure:
        for panel, (axes, title) in enumerate(zip(figure.subplots(1, 2), titles, strict=True)):
            for (name, seed), curve in curves.items():
                label = name if seed == min(other for _, other in curves) else None
                values = [100 * accuracies[panel] for _, accuracies in curve]
                axes.plot([step for step, _ in curve], values, color=colours[name], linewidth=1.2, label=label)
            axes.set(title=title, xlabel="updates (of 32 strings each)", ylabel="accuracy (%)", ylim=(-2, 102))
        axes.legend(loc="lower right")


def run(options: Options, output: Path) -> Iterator[str]:
    """Compare the networks over a few runs."""
    curves: dict[tuple[str, int], list[tuple[int, Accuracies]]] = {}
    networks = compared(options.cell)
    for seed in range(options.seed, options.seed + RUNS):
        rng = random.Random(seed)
        batches = [[draw_string(rng) for _ in range(32)] for _ in range(options.steps)]
        test = draw_test(rng, seen={string for batch in batches for string in batch}, count=TESTED)
        for name in networks:
            curves[name, seed] = list(learn(name, batches, test, dataclasses.replace(options, seed=seed)))
            everything, swapped = curves[name, seed][-1][1]
            yield f"seed {seed}, {name}: {everything:.2%} of all test strings, {swapped:.2%} of the swapped ones"
    draw(curves, {name: colour for name, (_, colour) in networks.items()}, output)
