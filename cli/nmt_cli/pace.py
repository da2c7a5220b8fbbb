"""How far the translation of a text has come: lines, lines a second, and the time that the rest takes."""

import math
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from nmt.errors import NmtError, counted
from nmt_cli.terminal import STREAM


class LinePace:
    """Tells how many lines are translated, how fast since it was first asked, and how long the rest takes if it is
    known how many lines there are."""

    def __init__(self, *, of: int | None = None) -> None:
        self._of = of
        self._start, self._seconds, self._count = math.inf, 0.0, -1

    def reach(self, count: int) -> str:
        """Tell that so many are translated."""
        if count != self._count:
            now, self._count = time.monotonic(), count
            self._start = min(self._start, now)
            self._seconds = now - self._start
        lines = counted(count, "line")
        if self._of:
            lines = f"{count:,} of {counted(self._of, 'line')} ({count / self._of:.0%})"
        if not self._seconds:
            return f"translating: {lines}"
        left = f", {_spell(self._seconds * (self._of - count) / count)} left" if self._of and count else ""
        return f"translating: {lines}, {count / self._seconds:,.0f} lines/s{left}"

    def summary(self, count: int) -> str:
        """Tell what it has come to."""
        speed = f" ({count / self._seconds:,.0f} lines/s)" if self._seconds else ""
        return f"{counted(count, 'line')} in {_spell(self._seconds)}{speed}"


def count_lines(source: Path) -> int | None:
    """Count the lines of a file; None: it can be read only once, or not to its end, which its reader tells."""
    from nmt.io.compressed import read_raw_sections

    with suppress(NmtError):
        return sum(1 for _ in read_raw_sections(source)) if source != STREAM and source.is_file() else None
    return None


def _spell(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else str(timedelta(seconds=round(seconds)))
