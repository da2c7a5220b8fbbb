"""Word alignments read from attention, and unknown words replaced with their help: pieces and weights in, pieces out.

Pieces are SentencePiece's, with the mark U+2581 where a space was. Those of a source are as they stand in its text,
characters without a piece of their own too; in a target `<unk>` is the unknown piece. A piece that is a byte of a
character is written as Python's `surrogateescape` does. Weights are [T, S]: the row of a target piece is the attention
that was read in the step that scored it (the state has been fed the piece before it), so row t belongs to target piece
t and nothing is shifted. Columns are in reading order, rows sum to at most 1.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nmt.text import characters
from nmt.text.vocab import BOS_PIECE, EOS_PIECE, PAD_PIECE, SPACE_MARK, UNK_PIECE, UNKNOWN, decode_bytes

Link = tuple[int, int]
"""A source word and a target word, both counted from 0."""

_SILENT: Final = (PAD_PIECE, BOS_PIECE, EOS_PIECE)
# Their punctuation and full-width forms too, which an unknown word beside them does not take along.
_UNSPACED: Final = re.compile(f"[{characters.CHARACTERS}\u3000-\u303f\uff00-\uffef]")


def join_pieces(pieces: Sequence[str]) -> str:
    """Join pieces to the text that `Tokenizer.decode` makes of their ids."""
    texts = (f" {UNKNOWN} " if piece == UNK_PIECE else piece for piece in pieces if piece not in _SILENT)
    return decode_bytes("".join(texts).lstrip(SPACE_MARK).replace(SPACE_MARK, " "))


def word_spans(pieces: Sequence[str]) -> list[tuple[int, int]]:
    """Find the words that white space separates in the text of `pieces`: where the pieces of each start and end.

    A piece that begins with the mark opens a word, and `<unk>` is a word of its own, as its text has spaces around it.
    A piece without text belongs to the word after it, at the end to the last word. Words that no mark separates, but a
    tab say, or that replace one piece, have the same span.
    """
    spans = _spans(pieces, [piece == UNK_PIECE for piece in pieces])
    return [span for span in spans for _ in join_pieces(pieces[slice(*span)]).split()]


def align_words(src_pieces: Sequence[str], tgt_pieces: Sequence[str], weights: NDArray[np.float32]) -> list[Link]:
    """Link every target word to the source word that it attends to most, to the first of several; sorted.

    The attention to a source word is the sum over its pieces; that of a target word is the mean over its pieces.
    A target word that attends to no source word at all has no link.

    Args:
        src_pieces: The source, [S].
        tgt_pieces: The target, without `</s>`, [T].
        weights: Attention, [T, S].
    """
    _check_shape(src_pieces, tgt_pieces, weights)
    src_spans = word_spans(src_pieces)
    by_target = (weights[first:last].mean(axis=0, dtype=np.float64) for first, last in word_spans(tgt_pieces))
    found = (_most_attended(row, src_spans) for row in by_target)
    return sorted((src, tgt) for tgt, src in enumerate(found) if src is not None)


def pharaoh(links: Sequence[Link]) -> str:
    """Write links as word aligners do: source-target, "0-0 1-2"."""
    return " ".join(f"{src}-{tgt}" for src, tgt in links)


def replace_unknown(
    src_pieces: Sequence[str],
    tgt_pieces: Sequence[str],
    weights: NDArray[np.float32],
    *,
    dictionary: Mapping[str, str] | None = None,
) -> list[str]:
    """Replace target words with an unknown piece by the source words that they attend to (Luong et al., 2015b).

    A target word is replaced whole, by the source word that its unknown pieces attend to most, or by what the
    dictionary has for it. In a script without spaces a piece counts as a word. `join_pieces` makes text of the result.

    Args:
        src_pieces, tgt_pieces, weights: As for `align_words`.
        dictionary: From source words to target words; a word that it lacks is looked up without the punctuation around
            it too. None: source words are copied.

    Returns:
        As many pieces as before, so that the weights fit them still: a new word stands where the old one began, and the
        other pieces of the old one are empty. An unknown piece that attends to no source word stays.
    """
    _check_shape(src_pieces, tgt_pieces, weights)
    src_spans, tgt_spans = (
        _spans(pieces, [_UNSPACED.search(piece) is not None for piece in pieces]) for pieces in (src_pieces, tgt_pieces)
    )
    replaced = list(tgt_pieces)
    for first, last in tgt_spans:
        unknown = [row for row in range(first, last) if tgt_pieces[row] == UNK_PIECE]
        src = _most_attended(weights[unknown].sum(axis=0, dtype=np.float64), src_spans) if unknown else None
        if src is not None:
            word = "".join(src_pieces[slice(*src_spans[src])]).strip(SPACE_MARK)
            translated = SPACE_MARK.join(_look_up(word, dictionary or {}).split(" "))
            opening = SPACE_MARK if translated and tgt_pieces[first].startswith(SPACE_MARK) else ""
            replaced[first:last] = [opening + translated] + [""] * (last - first - 1)
    return replaced


def _spans(pieces: Sequence[str], alone: Sequence[bool]) -> list[tuple[int, int]]:
    """Cut before each piece with a mark, and on both sides of those that stand `alone`, but not between pieces without
    text and the word after them."""
    spans: list[tuple[int, int]] = []
    first, filled = 0, False
    for index, (piece, here, before) in enumerate(zip(pieces, alone, [False, *alone], strict=False)):
        if filled and (piece.startswith(SPACE_MARK) or here or before):
            spans.append((first, index))
            first, filled = index, False
        filled = filled or (piece not in _SILENT and piece.strip(SPACE_MARK) != "")
    if filled:
        spans.append((first, len(pieces)))
    elif spans:
        spans[-1] = (spans[-1][0], len(pieces))
    return spans


def _most_attended(row: NDArray[np.float64], spans: Sequence[tuple[int, int]]) -> int | None:
    """Return the first word of `spans` with the most of the attention `row` [S]; None if none has any."""
    attention = [float(row[first:last].sum()) for first, last in spans]
    most = max(attention, default=0.0)
    return attention.index(most) if most > 0 else None


def _look_up(word: str, dictionary: Mapping[str, str]) -> str:
    if word in dictionary:
        return dictionary[word]
    within = [index for index, character in enumerate(word) if unicodedata.category(character)[0] not in "PS"]
    if not within:
        return word
    first, last = within[0], within[-1] + 1
    core = word[first:last]
    return word[:first] + dictionary.get(core, core) + word[last:]


def _check_shape(src_pieces: Sequence[str], tgt_pieces: Sequence[str], weights: NDArray[np.float32]) -> None:
    if weights.shape != (len(tgt_pieces), len(src_pieces)):
        raise ValueError(
            f"attention weights of shape {list(weights.shape)} for {len(tgt_pieces)} target pieces and "
            f"{len(src_pieces)} source pieces; expected [{len(tgt_pieces)}, {len(src_pieces)}]"
        )
