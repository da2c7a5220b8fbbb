"""The spans of a line, put into its translation.

Words are what white space separates. A tag that opens goes before the first target word that is aligned to a word it
holds, its closing tag after the last; between them stays what they held. Another span goes after the target word of the
word before it, or before that of the word after it, whichever it was glued to or, failing that, the first with a link.
Words without a link count as translated by those at the same share of the line. Spans at one place keep their order.
Tags that were nested stay nested; where reordered words would make two pairs cross, the one that starts later holds
only what follows the other.

White space beside spans is that of the source; where there was none, a blank parts two words of the translation only.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain, pairwise, repeat, takewhile

from nmt.markup.placing import Link, Place, Placer
from nmt.markup.scanning import tag_of
from nmt.markup.spans import CLOSING, OPENING, Marked, Span


def reinsert(translation: str, marked: Marked, links: Iterable[Link]) -> str:
    """Put the spans of a line into the translation of its plain text, each once, and what stood at its ends.

    Apart from white space beside the spans, and references to characters that the source has as references, the
    translation does not change. A line of nothing but markup comes out as it was.

    Args:
        translation: What became of `marked.plain`.
        marked: What `extract` made of the line.
        links: Word alignment, in any order; those to words that are not there are left aside.
    """
    write = _speller(marked.spellings)
    words = list(re.finditer(r"\S+", translation))
    if not marked.spans:
        inner = write(translation)
    elif words and marked.plain:
        inner = _render(words, Placer.of(marked, translation.split(), links).in_order(), write)
    else:
        inner = " ".join(filter(None, (_join(marked.spans), write(translation.strip()))))
    return marked.lead + inner + marked.tail


def _speller(spellings: Mapping[str, tuple[str, ...]]) -> Callable[[str], str]:
    """Return what writes the n-th of a character as the source wrote the n-th, and more of it as references."""
    written = {
        character: chain(forms, repeat(next(form for form in forms if form != character)))
        for character, forms in spellings.items()
    }
    if not written:
        return str
    return lambda text: "".join(next(written[character]) if character in written else character for character in text)


def _render(words: Sequence[re.Match[str]], placed: Iterable[tuple[Place, Span]], write: Callable[[str], str]) -> str:
    groups: dict[int, dict[int, list[Span]]] = {}
    for (word, offset), span in placed:
        groups.setdefault(word, {}).setdefault(offset, []).append(span)
    written: list[str] = []
    behind: list[Span] = []
    for word, match in enumerate(words):
        text, group_at = match[0], groups.get(word, {})
        before = group_at.pop(0, [])
        if word:
            written.append(_between(behind, before, match.string[words[word - 1].end() : match.start()], text))
        elif before:
            written.append(_join(before) + _right(before[-1], text))
        behind = group_at.pop(len(text), [])
        start = 0
        for offset, group in sorted(group_at.items()):
            written += [write(text[start:offset]), _left(group[0]), _join(group), _right(group[-1], text[offset])]
            start = offset
        written.append(write(text[start:]))
    return "".join(written) + (_left(behind[0]) + _join(behind) if behind else "")


def _between(behind: list[Span], before: list[Span], gap: str, following: str) -> str:
    """Write the spans behind a word and those before the next, which `gap` parts in the translation."""
    group = [*behind, *before]
    if not group:
        return gap
    gaps = [_left(group[0]), *_inner(group)]
    if before:
        gaps.append(_right(before[-1], following))
    else:
        touches = group[-1].splits or (any(gaps) and group[-1].glued_to != "" and _closes(group[-1]))
        gaps.append(group[-1].after or ("" if touches else gap))
    if not any(gaps) and not any(span.splits for span in group):
        gaps[len(behind) + sum(1 for _ in takewhile(_closes, before))] = gap
    return "".join(chain.from_iterable(zip(gaps, (*(span.text for span in group), ""), strict=True)))


def _left(span: Span) -> str:
    return span.before or ("" if span.glued_left or _closes(span) else " ")


def _right(span: Span, following: str) -> str:
    """Return the white space behind a span; one that stood before a comma touches no letter."""
    before_mark = span.glued_to in CLOSING and span.glued_to not in OPENING
    touches = span.glued_to != "" and (following[0] in CLOSING or not before_mark)
    return span.after or ("" if touches or _opens(span) else " ")


def _join(spans: Sequence[Span]) -> str:
    return "".join(chain.from_iterable(zip(["", *_inner(spans)], (span.text for span in spans), strict=True)))


def _inner(spans: Sequence[Span]) -> list[str]:
    return [_gap(span, other) for span, other in pairwise(spans)]


def _gap(span: Span, other: Span) -> str:
    """Return the white space between two spans: that of the source, or of both where they meet anew."""
    meets_in_pair = (_opens(span) and not span.after) or (_closes(other) and not other.before)
    return "" if meets_in_pair else max(span.after, other.before, key=len)


def _opens(span: Span) -> bool:
    return tag_of(span.text) is not None and not _closes(span)


def _closes(span: Span) -> bool:
    return span.text.startswith("</")
