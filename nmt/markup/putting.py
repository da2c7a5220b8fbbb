"""The spans of a line, put into its translation.

Words are what white space separates. A tag that opens goes before the first target word that is aligned to a word it
holds, its closing tag after the last; between them stays what they held. Another span goes after the target word of the
word before it, or before that of the word after it, whichever it was glued to or, failing that, the first with a link.
Words without a link count as translated by those at the same share of the line. Spans at one place keep their order.
Tags that were nested stay nested; where reordered words would make two pairs cross, the one that starts later holds
only what follows the other.

White space beside spans is that of the source; where there was none, a blank parts two words of the translation only.
"""

import heapq
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, pairwise, repeat, takewhile

from nmt.markup.scanning import tag_of
from nmt.markup.spans import CLOSING, OPENING, Marked, Span

Link = tuple[int, int]
"""A source word and a target word, counted from 0, that translate each other."""
Place = tuple[int, int]
"""A target word, and how many of its characters come before."""


def reinsert(translation: str, marked: Marked, links: Iterable[Link]) -> str:
    """Put the spans of a line into the translation of its plain text, each once, and what stood at its ends.

    Apart from white space beside the spans, and references to characters that the source has as references, the
    translation does not change. A line of nothing but markup comes out as it was. Links may come in any order; those to
    words that are not there are left aside.
    """
    write = _speller(marked.spellings)
    words = list(re.finditer(r"\S+", translation))
    if not marked.spans:
        inner = write(translation)
    elif words and marked.plain:
        inner = _render(words, Placer(marked, translation.split(), links).in_order(), write)
    else:
        inner = " ".join(filter(None, (_join(marked.spans), write(translation.strip()))))
    return marked.lead + inner + marked.tail


@dataclass(frozen=True)
class Node:
    """A span, or a pair of tags with what it holds."""

    first: int
    last: int
    """The closing tag; for a single span, itself."""
    children: list["Node"] = field(default_factory=list)


def tree(spans: tuple[Span, ...]) -> Node:
    """Return a root, not itself a span, with the spans below it.

    A closing tag belongs to the last open tag of its name; tags opened since then, and all others without a partner,
    are single.
    """
    closer_of: dict[int, int] = {}
    opened: list[tuple[str, int]] = []
    waiting: Counter[str] = Counter()
    for i, span in enumerate(spans):
        tag = tag_of(span.text)
        name = tag["name"].lower() if tag else ""
        if tag and not tag["slash"]:
            opened.append((name, i))
            waiting[name] += 1
        elif waiting[name]:
            other, opener = opened.pop()
            while other != name:  # nobody closed it
                waiting[other] -= 1
                other, opener = opened.pop()
            waiting[name] -= 1
            closer_of[opener] = i
    path = [Node(-1, len(spans))]
    for i in range(len(spans)):
        if i == path[-1].last:
            path.pop()
            continue
        node = Node(i, closer_of.get(i, i))
        path[-1].children.append(node)
        if node.last > i:
            path.append(node)
    return path[0]


@dataclass(frozen=True)
class _Placed:
    """A node, the places of its first and last span, and what reordering put between them."""

    start: Place
    end: Place
    node: Node
    adopted: list["_Placed"] = field(default_factory=list)

    @property
    def order(self) -> tuple[Place, Place, int]:
        """Earlier first, of those that start together the longer."""
        return self.start, (-self.end[0], -self.end[1]), self.node.first

    def holds(self, other: "_Placed") -> bool:
        """Tell whether another, which does not start before this, starts within it."""
        if other.start == other.end == self.start:
            return other.node.first > self.node.first
        return other.start < self.end


class Placer:
    """Finds places for the spans of one line, given the words of its translation and their alignment."""

    def __init__(self, marked: Marked, tgt: list[str], links: Iterable[Link]) -> None:
        self.spans, self.src, self.tgt = marked.spans, marked.plain.split(), tgt
        self.linked: dict[int, tuple[int, int]] = {}
        """For a source word with links, the first and the last of its target words."""
        for i, j in links:
            if 0 <= i < len(self.src) and 0 <= j < len(tgt):
                first, last = self.linked.get(i, (j, j))
                self.linked[i] = min(first, j), max(last, j)

    def in_order(self) -> list[tuple[Place, Span]]:
        """Give every span its place, in the order in which they are written."""
        written: list[tuple[Place, Span]] = []
        whole = _Placed((0, 0), (len(self.tgt) - 1, len(self.tgt[-1])), tree(self.spans))
        waiting: list[_Placed | tuple[Place, Span]] = [*reversed(self._arrange(whole))]
        while waiting:  # a loop, because tags may be nested deeper than Python calls
            item = waiting.pop()
            if isinstance(item, tuple):
                written.append(item)
                continue
            written.append((item.start, self.spans[item.node.first]))
            if item.node.last > item.node.first:
                waiting.append((item.end, self.spans[item.node.last]))
                waiting.extend(reversed(self._arrange(item)))
        return written

    def _arrange(self, outer: _Placed) -> list[_Placed]:
        """Place what a pair holds side by side: what lies within a neighbour moves into it, what crosses it shrinks."""
        placed = [*outer.adopted, *(self._place(node, outer) for node in outer.node.children)]
        ordered = [(one.order, one) for one in placed]
        heapq.heapify(ordered)
        kept: list[_Placed] = []
        last: _Placed | None = None
        while ordered:
            _, item = heapq.heappop(ordered)
            if last is None or not last.holds(item):
                kept.append(item)
                last = item if item.start < item.end else last
            elif item.end <= last.end:
                last.adopted.append(item)
            else:
                word, offset = last.end
                behind = (word + 1, 0) if offset == len(self.tgt[word]) else last.end
                rest = replace(item, start=min(behind, item.end))
                heapq.heappush(ordered, (rest.order, rest))
        return sorted(kept, key=lambda one: (one.start, one.end, one.node.first))

    def _place(self, node: Node, outer: _Placed) -> _Placed:
        held = self._held(outer.node)
        if node.last > node.first and (words := self._held(node)):
            start, end = self._around(self.spans[node.first], self.spans[node.last], words)
        else:
            start = end = self._beside(self.spans[node.first], held)
        start = min(max(start, outer.start), outer.end)
        return _Placed(start, min(max(end, start), outer.end), node)

    def _held(self, node: Node) -> range:
        """Name the source words, or parts of them, between a pair of tags."""
        if node.first < 0:
            return range(len(self.src))
        opener, closer = self.spans[node.first], self.spans[node.last]
        if (opener.word, opener.offset) == (closer.word, closer.offset):
            return range(0)
        inside_first = opener.word < len(self.src) and opener.offset < len(self.src[opener.word])
        return range(opener.word + (not inside_first), closer.word + (closer.offset > 0))

    def _around(self, opener: Span, closer: Span, words: range) -> tuple[Place, Place]:
        ends = [self.linked[i] for i in words if i in self.linked] or [self._targets(i) for i in words]
        first, last = min(first for first, _ in ends), max(last for _, last in ends)
        start, end = 0, len(self.tgt[last])
        if opener.word == words[0] and self._targets(opener.word)[0] == first:
            start = _offset(self.src[opener.word], opener.offset, self.tgt[first], opens=True)
        if closer.word == words[-1] and self._targets(closer.word)[1] == last:
            end = _offset(self.src[closer.word], closer.offset, self.tgt[last], opens=False)
        return (first, start), (last, end)

    def _beside(self, span: Span, held: range) -> Place:
        behind = 0 < span.offset > len(self.src[span.word]) - len(self.src[span.word].lstrip(OPENING))
        before, after = (span.word, span.word + 1) if behind else (span.word - 1, span.word)
        own = span.word if span.offset or span.glued_to else -1
        near = [word for word in (before, after) if 0 <= word < len(self.src)]
        word = min(near, key=lambda word: (word not in self.linked, word != own, word not in held))
        target = self._targets(word)[word == before]
        offset = span.offset if word == span.word else (0 if word == after else len(self.src[word]))
        return target, _offset(self.src[word], offset, self.tgt[target], opens=False)

    def _targets(self, word: int) -> tuple[int, int]:
        """Return the first and the last target word of a source word; without links, those at its share of the line."""
        first = word * len(self.tgt) // len(self.src)
        last = -(-(word + 1) * len(self.tgt) // len(self.src)) - 1
        return self.linked.get(word, (first, last))


def _offset(src: str, offset: int, tgt: str, *, opens: bool) -> int:
    """Carry a place in a word to its translation: before or after its punctuation, never within the word itself."""
    if src == tgt or offset == 0:
        return offset
    if offset == len(src):
        return len(tgt)
    (src_lead, src_tail), (lead, tail) = _core(src), _core(tgt)
    if offset <= src_lead or (opens and offset < src_tail):
        return lead
    return tail if offset <= src_tail else max(tail, len(tgt) - (len(src) - offset))


def _core(word: str) -> tuple[int, int]:
    """Return where the punctuation before a word ends and that after it starts."""
    lead = len(word) - len(word.lstrip(OPENING))
    return lead, lead + len(word[lead:].rstrip(CLOSING))


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
    """Write the spans after a word and those before the next, which `gap` parts in the translation."""
    group = [*behind, *before]
    if not group:
        return gap
    gaps = [_left(group[0]), *_gaps(group)]
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
    """Return the white space after a span; one that stood before a comma touches no letter."""
    before_mark = span.glued_to in CLOSING and span.glued_to not in OPENING
    touches = span.glued_to != "" and (following[0] in CLOSING or not before_mark)
    return span.after or ("" if touches or _opens(span) else " ")


def _join(spans: Sequence[Span]) -> str:
    return "".join(chain.from_iterable(zip(["", *_gaps(spans)], (span.text for span in spans), strict=True)))


def _gaps(spans: Sequence[Span]) -> Iterator[str]:
    """Give the white space between spans: that of the source, or of both where they meet anew."""
    for span, other in pairwise(spans):
        meets_in_pair = (_opens(span) and not span.after) or (_closes(other) and not other.before)
        yield "" if meets_in_pair else max(span.after, other.before, key=len)


def _opens(span: Span) -> bool:
    return tag_of(span.text) is not None and not _closes(span)


def _closes(span: Span) -> bool:
    return span.text.startswith("</")
