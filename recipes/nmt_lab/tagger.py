"""A tagger: the class of every word of a sentence, hidden ones too, read from left to right or both ways.

A tag for each word: many in and many out. Sentences and tags come from the grammar of the built-in phrasebook, whose
dictionary knows the class of each word; pronouns, adverbs and the like are "other". In training any word may be hidden,
so that its class has to be told from the others. In each test sentence, all new, one is. What stands before it often
does not say what it is, so a network that reads both ways (Schuster & Paliwal, 1997) knows more.
"""

import dataclasses
import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional

from nmt.corpus.grammar import Derivation, Grammar, read_grammar
from nmt.corpus.lexicon import Entry
from nmt.corpus.phrasebook import LONGEST, random_numbers
from nmt_lab.common import BLUE, GREEN, ORANGE, PURPLE, Labeller, Options, padded, picture, train

TAGS: Final = ("other", "noun", "verb", "adjective", "number", "name")
COLOURS: Final = ("#777777", BLUE, ORANGE, GREEN, "black", PURPLE)
NAMES: Final = ("phrase name", "phrase man's name", "phrase woman's name", "phrase city", "phrase country")
MARKS: Final = tuple(chr(0xE000 + number) for number in range(len(TAGS)))
"""Characters that stand in no text: one behind a word says its tag."""
HIDDEN: Final = ""
LEARNT, TESTED, SHOWN = 4000, 1000, 10
"""Sentences of training, of the test and in the picture."""
DEFAULTS: Final = Options(units=32, steps=1200)

Sentence = list[tuple[str, int]]
"""Its words, each with the number of its tag."""


def tag_of(category: str) -> int:
    """Return the tag of the words of a category of the dictionary, such as "noun food"."""
    if category in NAMES:
        return TAGS.index("name")
    kind = category.partition(" ")[0].replace("gradable", "adjective")
    return TAGS.index(kind) if kind in TAGS else 0


def mark(node: Derivation, category: str) -> Derivation:
    """Put marks behind all words of a derivation that come from the dictionary."""

    def marked(child: Derivation | Entry, category: str) -> Derivation | Entry:
        if isinstance(child, Derivation):
            return mark(child, category)
        behind = MARKS[tag_of(category)]
        forms = {name: tuple(re.sub(r"\S+", rf"\g<0>{behind}", text) for text in of) for name, of in child.en.items()}
        return child if child.closed else dataclasses.replace(child, en=forms)

    categories = node.rule.categories
    return Derivation.make(node.rule, tuple(marked(*each) for each in zip(node.children, categories, strict=True)))


def draw_sentences(grammar: Grammar, count: int, *, seed: int) -> list[Sentence]:
    """Draw different sentences."""
    draw, sentences = random_numbers(seed), dict[str, Sentence]()
    while len(sentences) < count:
        derivation = grammar.derive(draw)
        words = grammar.english(mark(derivation, "sentence")).lower().split() if derivation else []
        if 1 < len(words) <= LONGEST:
            tags = [next((tag for tag, each in enumerate(MARKS) if each in word), 0) for word in words]
            plain = [re.sub(rf"[{''.join(MARKS)}.,?!]", "", word) for word in words]
            sentences[" ".join(plain)] = list(zip(plain, tags, strict=True))
    return list(sentences.values())


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
    sentences = draw_sentences(read_grammar(files("nmt_data") / "phrasebook"), LEARNT + TESTED, seed=options.seed)
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
