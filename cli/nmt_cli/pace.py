"""How far the translation of a text has come: lines, lines a second, and the time that the rest takes."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from nmt.errors import counted
from nmt_cli.terminal import say, status

if TYPE_CHECKING:
    from nmt.translate.flow import OnLines

_FIRST: Final = 10.0
"""Seconds after which work is long, and a log is told of it."""
_EVERY: Final = 60.0
"""Seconds between two lines of a log."""


class LinePace:
    """Tells how many lines are translated, how fast since it was first asked, and how long the rest takes if it is
    known how many lines there are."""

    def __init__(self, *, of: int | None = None) -> None:
        self._of = of
        self._start, self._seconds, self._count, self._pieces = math.inf, 0.0, -1, 0
        self._before = 0
        """Lines that were done when it was first asked."""

    @property
    def is_long(self) -> bool:
        """Whether it has taken so long that somebody may have gone away meanwhile."""
        return self._seconds >= _FIRST

    def reach(self, count: int, pieces: int = 0) -> str:
        """Tell that so many are translated, and so many pieces read."""
        if count != self._count:
            now, first = time.monotonic(), self._start == math.inf
            self._before = count if first else self._before
            self._count, self._pieces = count, pieces
            self._start = min(self._start, now)
            self._seconds = now - self._start
        lines = counted(count, "line")
        if self._of:
            lines = f"{count:,} of {counted(self._of, 'line')} ({count / self._of:.0%})"
        if not self._seconds:
            return f"translating: {lines}"
        done = count - self._before
        left = f", {_spell(self._seconds * (self._of - count) / done)} left" if self._of and done else ""
        return f"translating: {lines}, {_spell_speed(done / self._seconds)}{left}"

    def summary(self, count: int) -> str:
        """Tell what it has come to: so many lines of this process, of all."""
        lines = f"{count:,} of {counted(self._of, 'line')}" if self._of and count < self._of else counted(count, "line")
        pieces = f", {self._pieces / self._seconds:,.0f} pieces/s" if self._seconds and self._pieces else ""
        speed = f" ({_spell_speed(count / self._seconds)}{pieces})" if self._seconds else ""
        return f"{lines} in {_spell(self._seconds)}{speed}"


@contextmanager
def telling(pace: LinePace, *, visible: bool, logged: bool) -> "Iterator[OnLines]":
    """Give a function that shows how far the work has come, and tells the pace: all the time where that is `visible`
    on a terminal, in a line now and then where it is `logged`."""
    due = time.monotonic() + _FIRST

    with status("loading the model", visible=visible) as show:

        def on_lines(lines: int, pieces: int) -> None:
            nonlocal due
            text = pace.reach(lines, pieces)
            show(text)
            if logged and time.monotonic() >= due:
                due = time.monotonic() + _EVERY
                say(text)

        yield on_lines


def _spell(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else str(timedelta(seconds=round(seconds)))


def _spell_speed(lines: float) -> str:
    return f"{lines:,.0f} lines/s" if lines >= 9.95 else f"{lines:.1f} lines/s"  # of long lines a few, or less than one
