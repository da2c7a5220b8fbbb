"""Words that translations must contain, and words that they must not, as the pieces that a model writes."""

import warnings
from collections.abc import Callable, Sequence
from typing import Final

import torch

from nmt.config import DataSettings
from nmt.errors import ConfigError, NmtWarning, UsageError
from nmt.search.forbidden import ForbiddenWords, WholeWords
from nmt.text.characters import continues, is_sign, is_unspaced
from nmt.text.placeholders import PLACEHOLDERS, Kind
from nmt.text.tokenizer import Tokenizer
from nmt.text.vocab import EOS, SPACE_MARK, UNK
from nmt.translate.options import Options

Spelled = tuple[tuple[int, ...], ...]
"""Words, or sequences of them, as pieces."""

_STAND_IN: Final = "\ufffc"
"""The text of a piece that stands for another one, the object replacement character: no word goes on after it."""


def spell(tokenizer: Tokenizer, words: Sequence[str], normalise: Callable[[str], str]) -> Spelled:
    """Cut words into the pieces that a model writes them in; `normalise`: what it has its text read with."""
    return tuple(tuple(ids) for ids in tokenizer.encode([normalise(word) for word in words]))


def spell_within(tokenizer: Tokenizer, words: Sequence[str], normalise: Callable[[str], str]) -> Spelled:
    """Cut words into the pieces that a model writes them in within a text: no space comes before those that begin in a
    script without spaces, unless the vocabulary has them only with it."""
    before, *behind = tokenizer.encode([_STAND_IN, *(_STAND_IN + normalise(word) for word in words)])
    size = len(before)
    return tuple(
        tuple(joined[size:]) if is_unspaced(normalise(word)[0]) and joined[:size] == before and joined[size:] else ids
        for word, ids, joined in zip(words, spell(tokenizer, words, normalise), behind, strict=True)
    )


def check_words(tokenizer: Tokenizer, options: Options, normalise: Callable[[str], str]) -> None:
    """Refuse words that no translation can contain: a UsageError, or a ConfigError for what the vocabulary lacks."""
    required = (*options.required, *(options.terms.targets if options.terms else ()))
    for word in options.forbidden:
        if not normalise(word.replace(SPACE_MARK, "")):
            raise UsageError(f"found the blank word {word!r} among those that translations must not contain")
    without = {word: WholeWords([normalise(word)]) for word in options.forbidden}
    for word, ids in zip(required, spell(tokenizer, required, normalise), strict=True):
        if not ids:
            raise UsageError(f"found the blank word {word!r} among those that translations must contain")
        if UNK in ids:
            raise ConfigError(
                f"translations cannot be made to contain {word!r}: the vocabulary of the model lacks a character of it"
            )
        for other, words in without.items():
            if words.found_in(normalise(word)):
                raise UsageError(f"translations must contain {word!r}, but must not contain {other!r}")


def check_directed(options: Options, *, weighed: bool) -> None:
    """Refuse, for a model that writes from right to left, what follows a translation from its beginning on; `weighed`:
    a language model is to choose pieces."""
    asked = {
        "prefixes": options.prefix_after_tab,
        "terms": options.terms is not None,
        "required words": bool(options.required),
        "forbidden words": bool(options.forbidden),
        "a language model without lm_rescore": weighed,
    }
    for what in (name for name, is_asked in asked.items() if is_asked):
        raise ConfigError(f"{what}: expected a model that writes from left to right, found model.right_to_left = true")


def check_tag(tokenizer: Tokenizer, tag: str) -> None:
    """Raise a ConfigError if the tokenizer of the source has no such piece."""
    if tag not in tokenizer.symbols:
        known = sorted(one for one in tokenizer.symbols if one.startswith("<")) if tokenizer.kind != "word" else []
        raise ConfigError(f"the model knows no tag {tag}" + (f"; it has {', '.join(known)}" if known else ""))


def check_tagged(tokenizer: Tokenizer, data: DataSettings, tag: str | None, *, whose: str = "this model") -> None:
    """Refuse a tag that the tokenizer of the source does not have; warn where a model has learnt from `data` that all
    have one, and is given none."""
    if tag is not None:
        check_tag(tokenizer, tag)
        return
    tags = [corpus.tag for corpus in data.corpora if corpus.tag]
    if tags and len(tags) == len(data.corpora) and not (data.train_src or data.train_tsv):
        known = ", ".join(dict.fromkeys(tags))
        warnings.warn(f"all training sentences of {whose} have a tag: {known}; name one", NmtWarning, 4)


def forbid(
    tokenizer: Tokenizer, words: Sequence[str], *, placeholders: Sequence[Kind], device: torch.device
) -> ForbiddenWords:
    """Find out how the target's pieces could write `words`, normalised and not blank, that no translation may contain.

    What is masked has one of `placeholders`, and what these stand for is not looked at.
    """
    opaque = {PLACEHOLDERS[kind] for kind in placeholders}
    texts = [_STAND_IN if piece in opaque else piece for piece in tokenizer.surfaces]
    texts[: EOS + 1] = [""] * (EOS + 1)
    texts[UNK] = _STAND_IN
    return ForbiddenWords(words, texts, device)


def continuing(tokenizer: Tokenizer) -> frozenset[int]:
    """Find the pieces that continue the word before them: they begin with a letter or a digit, and no space with them.

    In scripts without spaces every character may begin a word, but for the signs on the letter before.
    """
    return frozenset(
        index
        for index, piece in enumerate(tokenizer.surfaces)
        if index > EOS and (continues(piece[0]) or is_sign(piece[0]))
    )


def opening(tokenizer: Tokenizer) -> dict[int, int]:
    """Find the pieces of scripts without spaces that have the mark of a space, and the same ones without it."""
    ids = {piece: index for index, piece in enumerate(tokenizer.surfaces)}
    return {
        index: ids[piece[1:]]
        for piece, index in ids.items()
        if piece[1:] in ids and piece[0] == SPACE_MARK and is_unspaced(piece[1])
    }
