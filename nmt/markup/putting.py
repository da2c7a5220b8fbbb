"""The spans of a line, put into its translation.

Words are what white space separates. A tag that opens goes before the first target word that is aligned to a word it
holds, its closing tag after the last; between them stays what they held. Another span goes after the target word of the
word before it, or before that of the word after it, whichever it was glued to or, failing that, the first with a link.
Words without a link count as translated by those at the same share of the line. Spans at one place keep their order.
Tags that were nested stay nested; where reordered words would make two pairs cross, the one that starts later holds
only what follows the other.
"""

import re
from collections.abc import Iterable

from nmt.markup.placing import Link, Place, Placer
from nmt.markup.spans import CLOSING, OPENING, Marked, Span


def reinsert(translation: str, marked: Marked, links: Iterable[Link]) -> str:
    """Put the spans of a line into the translation of its plain text, each once.

    Apart from white space beside the spans the translation does not change; without spans it does not change at all.
    A line of nothing but markup comes out as it was.

    Args:
        translation: What became of `marked.plain`.
        marked: What `extract` made of the line.
        links: Word alignment, in any order; those to words that are not there are left aside.
    """
    if not marked.spans:
        return translation
    words = translation.split()
    if not words or not marked.plain:
        alone = marked.spans[0].before + _join(marked.spans) + marked.spans[-1].after
        return f"{alone} {translation}" if words else alone
    return _render(translation, Placer.of(marked, words, links).in_order())


def _render(translation: str, placed: Iterable[tuple[Place, Span]]) -> str:
    groups: dict[Place, list[Span]] = {}
    for place, span in placed:
        groups.setdefault(place, []).append(span)
    words = list(re.finditer(r"\S+", translation))
    cuts: list[list[int]] = [[] for _ in words]
    for word, offset in groups:
        cuts[word].append(offset)
    written: list[str] = []
    end, hangs = 0, False
    for word, match in enumerate(words):
        written.append("" if hangs else translation[end : match.start()])
        hangs = False
        start = match.start()
        for offset in cuts[word]:
            group = groups[word, offset]
            hangs = group[-1].splits and offset == len(match[0])
            left = " " if offset and not group[0].glued_left else ""
            right = "" if _is_glued(group[-1], match[0][offset : offset + 1]) else " "
            written += [translation[start : match.start() + offset], left, _join(group), right]
            start = match.start() + offset
        written.append(translation[start : match.end()])
        end = match.end()
    return "".join(written) + translation[end:]


def _is_glued(span: Span, following: str) -> bool:
    """Tell whether a span touches what follows in the translation; a span before a comma touches no letter."""
    if not following:
        return True  # the end of a word, which has its own white space
    before_mark = span.glued_to in CLOSING and span.glued_to not in OPENING
    return span.glued_to != "" and (following in CLOSING or not before_mark)


def _join(spans: Iterable[Span]) -> str:
    joined, gap = "", ""
    for i, span in enumerate(spans):
        joined += (max(gap, span.before, key=len) if i else "") + span.text
        gap = span.after
    return joined
