"""What is noticed about lines that `nmt translate` reads: markup taken for text, and markup that nobody closes."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from nmt_cli.console import warn

if TYPE_CHECKING:
    from nmt.streams import LineSource
    from nmt.translate import Options

_SHOWN = 20
"""Characters of markup that a warning shows."""


@contextmanager
def noticing(lines: "LineSource", options: "Options", *, name: str) -> "Iterator[LineSource]":
    """Give the lines of the input `name`, and warn of what their markup, or the lack of --markup, does to them."""
    from nmt.markup import LINES, Unclosed
    from nmt.streams import WatchedLines

    if not options.markup:
        yield WatchedLines(lines, _Beginning(name).read)
        return
    unclosed = Unclosed(options.keep)

    def read(taken: list[str]) -> None:
        for number, text in unclosed.read(options.text_of(line)[0] for line in taken):
            warn(f"{name}, line {number}: {text[:_SHOWN]!r} is not closed in {LINES} lines, which are kept as they are")

    yield WatchedLines(lines, read)
    if unclosed.place:
        number, text = unclosed.place
        warn(f"{name}, line {number}: {text[:_SHOWN]!r} is never closed, so all that follows was kept as it is")


class _Beginning:
    """Waits for the first line that is not blank."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._over = False

    def read(self, lines: list[str]) -> None:
        from nmt.corpus.sources.documents import begins_markup

        first = next(filter(str.strip, lines), "") if not self._over else ""
        self._over = self._over or bool(first)
        if begins_markup(first):
            warn(f"{self._name} begins as HTML or XML, but is translated as plain text; --markup keeps its tags")
