"""Sentiment of a sentence, good or bad: "not" turns a word round, and "but" outweighs what came before.

A classifier of texts: many words in, one answer out. The sentences come from a grammar of a dozen lines. Each clause
says something of a thing, well or badly, with a "not" or without; what stands behind "but" is what counts, and of
clauses without "but" all say the same. So the same words make a good and a bad sentence, and what has to be learnt is
their order. Beside the network stands a classifier that only counts words (a bag of words), trained as long on the
same sentences. Both are tested on sentences that they have never seen.
"""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from nmt_lab.common import Labeller, Options, last, padded, picture, train

GOOD: Final = ("good", "fresh", "lovely", "tasty", "perfect")
BAD: Final = ("bad", "cold", "terrible", "awful", "slow")
THINGS: Final = ("food", "soup", "waiter", "music", "place", "coffee", "bread", "room")
VERBS: Final = ("was", "seemed", "felt")
NEGATIONS: Final = ("not", "never", "hardly")
VOCABULARY: Final = ("", *GOOD, *BAD, *THINGS, *VERBS, *NEGATIONS, "the", "but", "and")
"""The first stands behind short sentences."""
TESTED: Final = 1000
DEFAULTS: Final = Options(units=32, steps=600)

Sentence = tuple[str, bool]
"""Its words, and whether it is good."""


def draw_clause(rng: random.Random, good: bool) -> str:
    """Draw a clause: two turns, of "not" and of the word, make it what it was."""
    turned = rng.random() < 0.3
    words = GOOD if good != turned else BAD
    negation = f"{rng.choice(NEGATIONS)} " if turned else ""
    return f"the {rng.choice(THINGS)} {rng.choice(VERBS)} {negation}{rng.choice(words)}"


def draw_sentence(rng: random.Random) -> Sentence:
    """Draw one to three clauses that say the same, or one or two, then "but" and one or two that say the opposite."""
    good = rng.random() < 0.5
    clauses = " and ".join(draw_clause(rng, good) for _ in range(rng.choice((1, 2))))
    if rng.random() < 0.5:
        before = " and ".join(draw_clause(rng, not good) for _ in range(rng.choice((1, 2))))
        return f"{before} but {clauses}", good
    return clauses, good


def draw_test(rng: random.Random, *, seen: set[str]) -> list[Sentence]:
    """Draw different sentences that are not seen."""
    test: dict[str, bool] = {}
    while len(test) < TESTED:
        sentence, good = draw_sentence(rng)
        if sentence not in seen:
            test[sentence] = good
    return list(test.items())


def encode(sentences: list[str]) -> tuple[Tensor, Tensor]:
    """Return the numbers of the words, [B, T], and how many each sentence has, [B]."""
    return padded([[VOCABULARY.index(word) for word in sentence.split()] for sentence in sentences])


class Counter(nn.Module):
    """A bag of words: it adds up a weight for each of them, wherever it stands."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Embedding(len(VOCABULARY), 1)

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Classify ids [B, T] after each of their words, [B, T, 1]."""
        sums: Tensor = self.weights(ids).cumsum(dim=1)
        return sums


def learn(classifier: nn.Module, batches: list[list[Sentence]], options: Options) -> None:
    """Train on each batch once, a batch a step; only what is said after the last word counts."""
    coming = iter(batches)

    def loss() -> Tensor:
        sentences, good = zip(*next(coming), strict=True)
        ids, lengths = encode(list(sentences))
        answers = last(classifier(ids, lengths), lengths)[:, 0]
        return functional.binary_cross_entropy_with_logits(answers, torch.tensor(good).float())

    train(classifier, loss, options, learning_rate=0.01)


@torch.no_grad()
def believe(classifier: nn.Module, sentences: list[str]) -> list[Tensor]:
    """Return the probability that each sentence is good, after each of its words, [T] each."""
    ids, lengths = encode(sentences)
    rows = classifier(ids, lengths)[:, :, 0].sigmoid()
    return [row[:length] for row, length in zip(rows, lengths.tolist(), strict=True)]


def accuracy(classifier: nn.Module, test: list[Sentence]) -> float:
    """Return the share of sentences that are classified correctly."""
    beliefs = believe(classifier, [sentence for sentence, _ in test])
    return sum((belief[-1].item() > 0.5) == good for belief, (_, good) in zip(beliefs, test, strict=True)) / len(test)


def draw(beliefs: dict[str, dict[str, Tensor]], path: Path) -> None:
    """Draw what each classifier predicts after each word of the same sentences."""
    with picture(path, width=11, height=6) as figure:
        for axes, (name, rows) in zip(figure.subplots(len(beliefs), 1), beliefs.items(), strict=True):
            for row, (sentence, belief) in enumerate(rows.items()):
                axes.imshow(belief[None].numpy(), extent=(0, len(belief), row + 0.9, row), cmap="RdBu", vmin=0, vmax=1)
                for place, (word, value) in enumerate(zip(sentence.split(), belief.tolist(), strict=True)):
                    colour = "white" if abs(value - 0.5) > 0.3 else "black"
                    axes.text(place + 0.5, row + 0.47, word, ha="center", va="center", fontsize=8, color=colour)
            axes.set(
                title=f"{name}: prediction after each word (blue: good, red: bad)", xticks=[], yticks=[], aspect="auto"
            )
            axes.set(xlim=(0, max(len(sentence.split()) for sentence in rows)), ylim=(len(rows), 0))
            axes.spines[:].set_visible(False)
            axes.grid(visible=False)


def run(options: Options, output: Path) -> Iterator[str]:
    """Train both classifiers, test them, draw."""
    torch.manual_seed(options.seed)
    rng = random.Random(options.seed)
    batches = [[draw_sentence(rng) for _ in range(64)] for _ in range(options.steps)]
    test = draw_test(rng, seen={sentence for batch in batches for sentence, _ in batch})
    cell = options.cell or "lstm"
    classifiers = {
        cell.upper(): Labeller(cell, symbols=len(VOCABULARY), units=options.units, classes=1),
        "Bag of words": Counter(),
    }
    for name, classifier in classifiers.items():
        learn(classifier, batches, options)
        yield f"{name}: {accuracy(classifier, test):.2%} of {len(test):,} unseen sentences classified correctly"
    shown = [sentence for sentence, _ in test[:6]]
    beliefs = {name: dict(zip(shown, believe(each, shown), strict=True)) for name, each in classifiers.items()}
    draw(beliefs, output)
