"""Words that translations must contain, and words that they must not, as the pieces that a model writes."""

import unicodedata
from collections.abc import Sequence

from nmt.alignment import is_unspaced
from nmt.corpus.reading import normalise
from nmt.errors import ConfigError
from nmt.subword import Tokenizer
from nmt.translate.options import Options
from nmt.vocab import EOS, UNK

Spelled = tuple[tuple[int, ...], ...]
"""Words, or sequences of them, as pieces."""


def spell(tokenizer: Tokenizer, words: Sequence[str]) -> Spelled:
    """Cut words into the pieces that a model writes them in."""
    return tuple(tuple(ids) for ids in tokenizer.encode([normalise(word) for word in words]))


def check_words(tokenizer: Tokenizer, options: Options) -> None:
    """Refuse words, terms among them, that no translation could contain.

    Raises:
        ConfigError: A word is blank, has a character that the vocabulary lacks, or is forbidden and required.
    """
    targets = options.terms.targets if options.terms else ()
    required, forbidden = (*options.required, *targets), options.forbidden
    without = dict(zip(forbidden, spell(tokenizer, forbidden), strict=True))
    for word, ids in without.items():
        if not ids:
            raise ConfigError(f"found the blank word {word!r} among those that translations must not contain")
    for word, ids in zip(required, spell(tokenizer, required), strict=True):
        if not ids:
            raise ConfigError(f"found the blank word {word!r} among those that translations must contain")
        if UNK in ids:
            raise ConfigError(
                f"translations cannot be made to contain {word!r}: the vocabulary of the model lacks a character of it"
            )
        for other, those in without.items():
            if _contains(ids, those):
                raise ConfigError(f"translations must contain {word!r}, but must not contain {other!r}")


def continuing(tokenizer: Tokenizer) -> frozenset[int]:
    """Find the pieces that continue the word before them: they begin with a letter or a digit, and no space with them.

    In scripts without spaces every character may begin a word.
    """
    return frozenset(index for index, piece in enumerate(tokenizer.pieces) if index > EOS and _continues(piece[:1]))


def _continues(character: str) -> bool:
    return unicodedata.category(character)[0] in "LMN" and not is_unspaced(character)


def _contains(ids: Sequence[int], part: Sequence[int]) -> bool:
    return any(ids[start : start + len(part)] == part for start in range(len(ids) - len(part) + 1))
