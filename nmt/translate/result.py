"""What a translation is, and how the parts of a line make one."""

import re
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from nmt.text.alignment import Link
from nmt.text.sentences import join_sentences


@dataclass(frozen=True)
class Part:
    """The pieces of a line, or of a part of one that was cut, with those of its translation."""

    src: tuple[str, ...]
    tgt: tuple[str, ...]
    attention: NDArray[np.float32] = field(compare=False)
    """How much each target piece read of each source piece, [T, S]."""


@dataclass(frozen=True)
class Translation:
    """One translation of a line."""

    text: str
    """One line, without its end."""
    log_probability: float
    """Natural logarithm of the model's probability, to which that of a language model is added, times its weight; the
    sum over the parts of a line that was cut."""
    score: float
    """The log-probability over the length penalty, plus, in a beam search, the coverage penalty, which is 0 or below:
    what translations are ranked by; summed in the same way."""
    parts: int
    """How many parts the line was translated in: 1, more if it was cut, 0 if it was blank."""
    cut: bool = False
    """Whether the line, or in document mode a sentence of it, was too long for the model."""
    lost: tuple[str, ...] = ()
    """What placeholders of the source stand for, where the translation has none for them."""
    alignment: tuple[Link, ...] | None = None
    """Which source word and which target word belong together, if it was asked for.

    Words are what white space separates, without markup that was kept; both sides are counted from 0.
    """
    details: tuple[Part, ...] | None = None
    """The pieces and the attention, if they were asked for."""
    begun: int | None = None
    """Of a section of a line that is too long to be taken at once, how many words its source has; None: the line ends
    here."""


@dataclass(frozen=True)
class Piecewise:
    """The translation of one part of a line, with what is needed to join it to others."""

    translation: Translation
    src_words: int
    tgt_words: int
    continues: bool = False
    """Whether the source of this part goes on in the word in which the part before it ended."""


def one_line(text: str) -> str:
    """Put spaces where lines would end."""
    return re.sub(r"[\r\n]+", " ", text)


def nothing(*, alignment: bool, details: bool) -> Translation:
    """Return the translation of a blank line."""
    return Translation("", 0.0, 0.0, 0, alignment=() if alignment else None, details=() if details else None)


def join_ranks(
    parts: Sequence[Sequence[Piecewise]], join: Callable[[Iterable[str]], str] = join_sentences
) -> list[Translation]:
    """Join the translations of a line's parts, rank by rank; a part with fewer of them repeats its last."""
    if len(parts) == 1:
        return [one.translation for one in parts[0]]
    ranks = max(len(part) for part in parts)
    return [_join([part[min(rank, len(part) - 1)] for part in parts], join) for rank in range(ranks)]


def whole_lines(
    blocks: Iterable[list[list[Translation]]], *, markup: bool
) -> Generator[list[list[Translation]], None, None]:
    """Join the translations of the sections of lines.

    Args:
        blocks: What is found, in order.
        markup: Whether sections have the white space at their ends, as the lines of a document do.
    """
    begun: list[list[Piecewise]] = []
    for block in blocks:
        whole = []
        for found in block:
            if found[0].begun is None and not begun:
                whole.append(found)
                continue
            begun.append([Piecewise(one, one.begun or 0, len(one.text.split())) for one in found])
            if found[0].begun is None:
                joined = join_ranks(begun, "".join if markup else join_sentences)
                whole.append([replace(one, cut=one.parts > 1) for one in joined])
                begun = []
        if whole:
            yield whole


def _join(parts: Sequence[Piecewise], join: Callable[[Iterable[str]], str]) -> Translation:
    chosen = [part.translation for part in parts]
    return Translation(
        text=join(one.text for one in chosen if one.text),
        log_probability=sum(one.log_probability for one in chosen),
        score=sum(one.score for one in chosen),
        parts=sum(one.parts for one in chosen),
        lost=tuple(text for one in chosen for text in one.lost),
        alignment=tuple(sorted(set(_shifted(parts)))) if chosen[0].alignment is not None else None,
        details=tuple(part for one in chosen for part in one.details or ()) if chosen[0].details is not None else None,
    )


def _shifted(parts: Iterable[Piecewise]) -> Iterable[Link]:
    src, tgt, before = 0, 0, ""
    for part in parts:
        text = part.translation.text
        src -= part.continues
        if before != "" != text and not before[-1].isspace():
            tgt -= len(join_sentences([before, text])) == len(before) + len(text)
        for link in part.translation.alignment or ():
            yield link[0] + src, link[1] + tgt
        src, tgt, before = src + part.src_words, tgt + part.tgt_words, text or before
