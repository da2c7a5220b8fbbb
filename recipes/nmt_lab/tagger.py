"""A tagger: the class of every word of a sentence, hidden ones too, read from left to right or both ways.

A tag for each word: many in and many out. Sentences and tags come from the grammar of the built-in phrasebook, whose
dictionary knows the class of each word; pronouns, adverbs and the like are "other". In training any word may be hidden,
so that its class has to be told from the others. In each test sentence, all new, one is. What stands before it often
does not say what it is, so a network that reads both ways (Schuster & Paliwal, 1997) knows more.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional

from nmt.phrasebook import read_phrasebook
from nmt_lab.common import BLUE, GREEN, ORANGE, PURPLE, Labeller, Options, padded, picture, train

TAGS: Final = ("other", "noun", "verb", "adjective", "number", "name")
COLOURS: Final = ("#777777", BLUE, ORANGE, GREEN, "black", PURPLE)
HIDDEN: Final = ""
LEARNT, SHOWN = 4000, 10
"""Sentences of training, and in the picture."""
DEFAULTS: Final = Options(units=32, steps=1200)

Sentence = list[tuple[str, int]]
"""Its words, each with the number of its tag."""


def read_sentences() -> list[Sentence]:
    """Read the tagged sentences of the phrasebook."""
    return [
        list(zip(words.split(), map(TAGS.index, tags.split()), strict=True))
        for words, tags in read_phrasebook("tagged")
    ]


def encode(sentences: list[Sentence], numbers: dict[str, int]) -> tuple[Tensor, Tensor, Tensor]:
    """Return the words' numbers, [B, T], and the tags, [B, T], -1 behind them, and the lengths, [B].

    Words without a number are hidden.
    """
    ids, lengths = padded([[numbers.get(word, numbers[HIDDEN]) for word, _ in sentence] for sentence in sentences])
    tags, _ = padded([[tag for _, tag in sentence] for sentence in sentences], value=-1)
    return ids, tags, lengths


def learn(tagger: Labeller, sentences: list[Sentence], numbers: dict[str, int], options: Options) -> None:
    """Train on batches of 64 sentences, in which every seventh word is hidden."""
    ids, tags, lengths = encode(sentences, numbers)

    def loss() -> Tensor:
        chosen = torch.randint(len(ids), (64,))
        words = ids[chosen].masked_fill(torch.rand(64, ids.shape[1]) < 1 / 7, numbers[HIDDEN])
        logits = tagger(words, lengths[chosen])
        return functional.cross_entropy(logits.transpose(1, 2), tags[chosen], ignore_index=-1)

    train(tagger, loss, options, learning_rate=0.01)


@torch.no_grad()
def give_tags(tagger: Labeller, ids: Tensor, lengths: Tensor) -> Tensor:
    """Return the tags of ids [B, T], of which `lengths` [B] are real: [B, T]."""
    return tagger(ids, lengths).argmax(dim=2)  # type: ignore[no-any-return]


def draw(test: list[Sentence], places: Tensor, said: dict[str, Tensor], path: Path) -> None:
    """Draw sentences in the colours of their tags, and the tags that are said of the word at a place of each."""
    one, other = said.values()
    rows = (one != other).nonzero()[:SHOWN, 0].tolist()
    with picture(path, width=11, height=0.3 * SHOWN + 1.2) as figure:
        axes = figure.subplots()

        def write(x: float, y: float, text: str, tag: int, **style: Any) -> None:
            axes.text(x, y, text, color=COLOURS[tag], fontsize=9, family="monospace", **style)

        for y, row in enumerate(rows):
            column = 30
            for at, (word, tag) in enumerate(test[row]):
                frame = {"facecolor": "#eeeeee", "edgecolor": "black", "pad": 2.0} if at == places[row] else None
                write(column, y, word, tag, bbox=frame)
                column += len(word) + 1
            for x, tags in ((0, one), (15, other)):
                right = tags[row] == test[row][places[row]][1]
                write(x, y, TAGS[tags[row]], int(tags[row]), weight="normal" if right else "bold")
        for x, text in zip((0, 15), said, strict=True):
            write(x, -1.2, text, 0)
        for number, name in enumerate(TAGS):
            write(30 + 11 * number, -1.2, name, number)
        axes.set(xlim=(-1, 105), ylim=(SHOWN - 0.5, -1.8), xticks=[], yticks=[])
        axes.set_title("Where the networks disagree about the hidden word, the one in a frame (bold: wrong)")
        axes.spines[:].set_visible(False)
        axes.grid(visible=False)


def run(options: Options, output: Path) -> Iterator[str]:
    """Train a tagger of each kind, test them on known and on hidden words, draw."""
    sentences = read_sentences()
    learnt, test = sentences[:LEARNT], sentences[LEARNT:]
    words = dict.fromkeys([HIDDEN, *(word for sentence in learnt for word, _ in sentence)])
    numbers = {word: number for number, word in enumerate(words)}
    ids, tags, lengths = encode(test, numbers)
    torch.manual_seed(options.seed)
    rows, places = torch.arange(len(test)), (torch.rand(len(test)) * lengths).long()
    hidden, wanted, said = ids.clone(), tags[rows, places], dict[str, Tensor]()
    hidden[rows, places] = numbers[HIDDEN]
    yield f"hidden words whose tag is {TAGS[0]}, the commonest: {(wanted == 0).float().mean():.2%}"
    for name, bidirectional in (("left to right", False), ("both ways", True)):
        torch.manual_seed(options.seed)
        sizes = {"symbols": len(numbers), "units": options.units, "classes": len(TAGS)}
        tagger = Labeller(options.cell or "lstm", **sizes, bidirectional=bidirectional)
        learn(tagger, learnt, numbers, options)
        said[name] = give_tags(tagger, hidden, lengths)[rows, places]
        of_all = (give_tags(tagger, ids, lengths) == tags)[tags >= 0].float().mean()
        of_hidden = (said[name] == wanted).float().mean()
        yield f"{name}: {of_all:.2%} of all words tagged correctly, {of_hidden:.2%} of the hidden ones"
    draw(test, places, said, output)
