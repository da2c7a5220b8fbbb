"""A tokenizer with more pieces: those that it had keep their ids, and text without the new ones is cut as before."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from nmt.errors import ConfigError
from nmt.text.characters import is_unspaced
from nmt.text.tokenizer import Kind, Model, Piece, Tokenizer, Type
from nmt.text.tokenizer_training import with_pieces
from nmt.text.vocab import SPACE_MARK, breaks_lines, fault_of_symbol, is_reserved

_WORD: Final = re.compile(r"\w+(?:[-'\u2019]\w+)*")
_AFTER_SPACE: Final = re.compile(rf"(?<!\S){_WORD.pattern}")
_PARTS: Final = 4
"""A word of so many pieces or more is worth one of its own."""
_BETTER: Final = 1.0
"""By how much a new piece is more probable than what it was cut into, in nats: enough to be chosen."""


def wanting(tokenizer: Tokenizer, lines: Iterable[str], *, min_count: int, limit: int) -> list[str]:
    """Find what a text has often and a tokenizer cuts badly: words of four pieces or more, and unknown characters.

    Args:
        min_count: How often it has to occur.
        limit: At most so many, the most frequent first.
    """
    words, characters = Counter[str](), Counter[str]()
    for line in lines:
        words.update(_WORD.findall(line))
        characters.update(line)
    known = tokenizer.characters
    found = Counter(
        {
            one: number
            for one, number in characters.items()
            if known is not None and one not in known and unicodedata.category(one)[0] not in "CZ"
        }
    )
    if tokenizer.kind in ("unigram", "bpe", "word"):
        cut = tokenizer.encode(list(words))
        least = 1 if tokenizer.kind == "word" else _PARTS
        whole = set(tokenizer.pieces)
        found |= Counter(
            {
                SPACE_MARK + word: words[word]
                for word, ids in zip(words, cut, strict=True)
                if len(ids) >= least and SPACE_MARK + word not in whole
            }
        )
    return [piece for piece, number in found.most_common(limit) if number >= min_count and _fault(piece) is None]


def new_words(tokenizer: Tokenizer, before: str, after: str) -> list[str]:
    """Find the words that a text has, another one has not, and a tokenizer of subwords cuts into several pieces.

    They begin after a space; what is of a script without spaces is none.
    """
    if tokenizer.kind not in ("unigram", "bpe"):
        return []
    known = set(_WORD.findall(before))
    words = [word for word in dict.fromkeys(_AFTER_SPACE.findall(after)) if word not in known]
    cut = zip(words, tokenizer.encode(words), strict=True)
    several = [word for word, ids in cut if len(ids) > 1 and tokenizer.decode([ids]) == [word]]
    return [word for word in several if not any(map(is_unspaced, word)) and _fault(SPACE_MARK + word) is None]


def with_more(tokenizer: Tokenizer, pieces: Sequence[str], symbols: Sequence[str]) -> tuple[bytes, list[str]]:
    """Return a tokenizer's model with more pieces after its own, and which those are.

    Args:
        pieces: What text may be cut into; a space or U+2581 in front of one means the start of a word. Those that the
            tokenizer has are passed over.
        symbols: Pieces that are never cut and never merged.

    Raises:
        ConfigError: One cannot be a piece of a tokenizer of this kind.
    """
    read, known, added = Model(tokenizer.serialized), set(tokenizer.pieces), dict[str, Piece]()
    scores = tokenizer.scores
    for text in pieces:
        marked = text.replace(" ", SPACE_MARK)
        if tokenizer.kind == "word":
            marked = SPACE_MARK + marked.removeprefix(SPACE_MARK)
        _refuse(marked, tokenizer.kind)
        is_cut = tokenizer.kind in ("unigram", "word") or len(marked) == 1
        score = min(one.score for one in read.pieces)
        if tokenizer.kind == "unigram":
            score = min(-0.1, sum(scores[index] for index in parts(tokenizer, marked)) + _BETTER)
        added.setdefault(marked, Piece(marked, score, Type.NORMAL if is_cut else Type.USER_DEFINED))
    for text in symbols:
        if fault := fault_of_symbol(text):
            raise ConfigError(fault)
        symbol = SPACE_MARK + text if tokenizer.kind == "word" else text
        _refuse(symbol, None)
        added.setdefault(symbol, Piece(symbol, type=Type.USER_DEFINED))
    new = [piece for text, piece in added.items() if text not in known]
    return with_pieces(read, [*read.pieces, *new], {}), [piece.text for piece in new]


def parts(tokenizer: Tokenizer, piece: str) -> list[int]:
    """Return the ids of what a tokenizer cuts a piece into that it does not have."""
    starts_word = piece.startswith(SPACE_MARK)
    [ids] = tokenizer.encode([piece.replace(SPACE_MARK, " ").strip()])
    mark = tokenizer.pieces.index(SPACE_MARK) if SPACE_MARK in tokenizer.pieces else None
    return ids if starts_word or ids[:1] != [mark] else ids[1:]


def _refuse(piece: str, kind: Kind | None) -> None:
    fault = _fault(piece)
    if fault is None and kind == "byte":
        fault = "text of bytes has no other pieces; add it as a symbol"
    if fault is not None:
        raise ConfigError(f"{piece.replace(SPACE_MARK, ' ')!r} cannot be a piece: {fault}")


def _fault(piece: str) -> str | None:
    text = piece.removeprefix(SPACE_MARK)
    if not text or SPACE_MARK in text:
        return "expected characters without spaces between them"
    if is_reserved(piece) or is_reserved(text):
        return "a special piece or a byte has this name"
    if breaks_lines(piece):
        return "it has control characters or line ends"
    return None
