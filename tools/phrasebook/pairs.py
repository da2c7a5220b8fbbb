"""The built-in corpus: English-French pairs made by a grammar of our own, and test sentences of new combinations."""

import re
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from itertools import combinations
from typing import Final

import numpy as np

from nmt.errors import DataError
from tools.phrasebook.grammar import FOLDER, Derivation, Draw, Grammar, read_grammar

HELD_OUT_SHARE: Final = 0.03
"""Share of the pairs of dictionary entries that never meet in a training sentence."""
LONGEST: Final = 15
"""English words of the longest sentence."""

_PATIENCE: Final = 20_000
"""Draws in a row without a new pair after which the grammar counts as exhausted."""

_WORD: Final = re.compile(r"[\w'-]+")

Pair = tuple[str, str]


@dataclass(frozen=True)
class Phrasebook:
    """Distinct (English, French) pairs; validation and test sentences combine words that no training sentence does."""

    train: tuple[Pair, ...]
    valid: tuple[Pair, ...]
    test: tuple[Pair, ...]


def build_phrasebook(*, train_pairs: int, valid_pairs: int = 500, test_pairs: int = 500, seed: int) -> Phrasebook:
    """Expand the built-in grammar into as many distinct pairs as asked for.

    A combination is two dictionary entries in one sentence (determiners, pronouns and auxiliaries do not count). `seed`
    draws the sentences, and holds out 3 % of all possible combinations: no training sentence has one of these, every
    validation and test sentence has at least one, and all its words, in both languages, occur in training.

    Raises:
        DataError: The grammar cannot give that many pairs, or too few others consist of words of the training pairs.
    """
    grammar = read_grammar(FOLDER)
    return split_phrasebook(grammar, sizes=(train_pairs, valid_pairs, test_pairs), seed=seed)


def split_phrasebook(grammar: Grammar, *, sizes: tuple[int, int, int], seed: int) -> Phrasebook:
    """Do with any grammar what `build_phrasebook` does; `sizes` counts the training, validation and test pairs.

    Raises:
        DataError: As for `build_phrasebook`.
    """
    train_pairs, valid_pairs, test_pairs = sizes
    total, most = sum(sizes), grammar.count()
    if total > most:
        raise DataError(f"{total:,} phrasebook pairs asked for, but the grammar gives {most:,} at most")
    derivations = _derivations(grammar, random_numbers(seed))
    is_new = held_out(seed)

    familiar = (None if found is None or is_new(found) else found for found in derivations)
    train = _take(train_pairs, familiar, grammar, fits=lambda _: True, taken=())
    if len(train) < train_pairs:
        raise DataError(f"{train_pairs:,} training pairs asked for, but the phrasebook's grammar gives {len(train):,}")

    words = frozenset(word for pair in train.items() for word in words_of(pair))
    new = (found if found is not None and is_new(found) else None for found in derivations)
    rest = list(_take(valid_pairs + test_pairs, new, grammar, fits=lambda p: words >= words_of(p), taken=train).items())
    if len(rest) < valid_pairs + test_pairs:
        raise DataError(
            f"{valid_pairs + test_pairs:,} validation and test pairs asked for, "
            f"but {train_pairs:,} training pairs have the words of only {len(rest):,}; ask for more training pairs"
        )
    return Phrasebook(train=tuple(train.items()), valid=tuple(rest[:valid_pairs]), test=tuple(rest[valid_pairs:]))


def random_numbers(seed: int) -> Draw:
    """Return a source of random numbers in [0, 1) that gives the same numbers for the same seed."""
    rng = np.random.default_rng(seed)

    def numbers() -> Iterator[float]:
        while True:
            yield from rng.random(4096).tolist()

    return numbers().__next__


def held_out(seed: int) -> Callable[[Derivation], bool]:
    """Return the test whether a derivation has a combination that `seed` keeps out of training."""
    key = seed.to_bytes(16, "little")

    @cache
    def is_held_out(first: str, second: str) -> bool:
        digest = blake2b(f"{first}\n{second}".encode(), digest_size=8, key=key).digest()
        return int.from_bytes(digest, "little") < HELD_OUT_SHARE * 2**64

    def has_new_combination(derivation: Derivation) -> bool:
        return any(is_held_out(*pair) for pair in combinations_of(derivation))

    return has_new_combination


def combinations_of(derivation: Derivation) -> Iterator[tuple[str, str]]:
    """Yield the combinations of a sentence: every two of its vocabulary entries, by name and in a fixed order."""
    return combinations(sorted(entry.name for entry in derivation.entries() if not entry.closed), 2)


def words_of(pair: Pair) -> frozenset[str]:
    """Return the words of a pair, marked with their language; "l'ami" is one word."""
    marked = zip(("en", "fr"), pair, strict=True)
    return frozenset(f"{language} {word}" for language, text in marked for word in _WORD.findall(text))


def _derivations(grammar: Grammar, draw: Draw) -> Iterator[Derivation | None]:
    while True:
        yield grammar.derive(draw)


def _take(
    count: int,
    derivations: Iterator[Derivation | None],
    grammar: Grammar,
    *,
    fits: Callable[[Pair], bool],
    taken: Container[str],
) -> dict[str, str]:
    """Say up to `count` derivations that fit, English by French, none of them twice; fewer when no more turn up."""
    pairs: dict[str, str] = {}
    patience = _PATIENCE
    while len(pairs) < count and patience:
        patience -= 1
        derivation = next(derivations)
        if derivation is None:
            continue
        english = grammar.english(derivation)
        if english in pairs or english in taken or len(english.split()) > LONGEST:
            continue
        pair = (english, grammar.french(derivation))
        if fits(pair):
            pairs[english] = pair[1]
            patience = _PATIENCE
    return pairs
