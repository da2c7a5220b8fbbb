"""Which tags belong together, and what they hold."""

from collections import Counter
from dataclasses import dataclass, field

from nmt.markup.scanning import tag_of
from nmt.markup.spans import Span


@dataclass(frozen=True)
class Node:
    """A span, or a pair of tags with what it holds."""

    first: int
    last: int
    """The closing tag; for a single span, itself."""
    children: list["Node"] = field(default_factory=list)


def tree(spans: tuple[Span, ...]) -> Node:
    """Return a root, not itself a span, with the spans below it.

    A closing tag belongs to the last open tag of its name; tags opened since then are single.
    So is any other without a partner.
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
