"""Places in a translation for the spans of its source."""

import heapq
from collections.abc import Iterable
from dataclasses import dataclass, field

from nmt.markup.nesting import Node, tree
from nmt.markup.spans import CLOSING, OPENING, Marked, Span

Link = tuple[int, int]
"""A source word and a target word, counted from 0, that translate each other."""
Place = tuple[int, int]
"""A target word, and how many of its characters come before."""


@dataclass(frozen=True)
class _Placed:
    """A node, the places of its first and last span, and what reordering put between them."""

    start: Place
    end: Place
    node: Node
    adopted: list["_Placed"] = field(default_factory=list)

    def holds(self, other: "_Placed") -> bool:
        """Tell whether another, which does not start before this, starts within it."""
        if other.start == other.end == self.start:
            return other.node.first > self.node.first
        return other.start < self.end


@dataclass(frozen=True)
class Placer:
    """Finds places for the spans of one line."""

    spans: tuple[Span, ...]
    src: list[str]
    tgt: list[str]
    linked: dict[int, tuple[int, int]]
    """For a source word with links, the first and the last of its target words."""

    @classmethod
    def of(cls, marked: Marked, tgt: list[str], links: Iterable[Link]) -> "Placer":
        """Make one for a line, the words of its translation and their alignment."""
        src = marked.plain.split()
        linked: dict[int, tuple[int, int]] = {}
        for i, j in links:
            if 0 <= i < len(src) and 0 <= j < len(tgt):
                first, last = linked.get(i, (j, j))
                linked[i] = min(first, j), max(last, j)
        return cls(marked.spans, src, tgt, linked)

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
        ordered = [
            (placed.start, -placed.end[0], -placed.end[1], placed.node.first, placed)
            for placed in [*outer.adopted, *(self._place(node, outer) for node in outer.node.children)]
        ]
        heapq.heapify(ordered)
        kept: list[_Placed] = []
        last: _Placed | None = None
        while ordered:
            *_, index, item = heapq.heappop(ordered)
            if last is None or not last.holds(item):
                kept.append(item)
                last = item if item.start < item.end else last
            elif item.end <= last.end:
                last.adopted.append(item)
            else:
                rest = _Placed(min(self._next(last.end), item.end), item.end, item.node, item.adopted)
                heapq.heappush(ordered, (rest.start, -rest.end[0], -rest.end[1], index, rest))
        return sorted(kept, key=lambda placed: (placed.start, placed.end, placed.node.first))

    def _next(self, place: Place) -> Place:
        """Return the start of the next word if this is the end of one."""
        word, offset = place
        return (word + 1, 0) if offset == len(self.tgt[word]) else place

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
    """Carry a place in a word to its translation: before or behind its punctuation, never within the word itself."""
    if src == tgt or offset == 0:
        return offset
    if offset == len(src):
        return len(tgt)
    (src_lead, src_tail), (lead, tail) = _core(src), _core(tgt)
    if offset <= src_lead or (opens and offset < src_tail):
        return lead
    return tail if offset <= src_tail else max(tail, len(tgt) - (len(src) - offset))


def _core(word: str) -> tuple[int, int]:
    """Return where the punctuation before a word ends and that behind it starts."""
    lead = len(word) - len(word.lstrip(OPENING))
    return lead, lead + len(word[lead:].rstrip(CLOSING))
