"""Where output goes: results to stdout, everything that is said to a person to stderr."""

import errno
import io
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NoReturn

from rich.console import Console

from nmt.errors import NmtWarning

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn

NO_LIMIT: Final = 10_000
"""Columns of what is not a terminal."""


_BYTES: Final = re.compile("[\udc80-\udcff]+")

INTERRUPTED = 130
"""The exit code of a command that Ctrl-C or a signal ended."""


class _Stream(Console):
    """A console that wraps and cuts lines only on a terminal, and leaves a closed pipe to the command group."""

    def __init__(self, *, stderr: bool) -> None:
        super().__init__(stderr=stderr, highlight=False, markup=False, emoji=False)
        if not self.is_terminal:
            self.width = NO_LIMIT

    def on_broken_pipe(self) -> NoReturn:
        raise BrokenPipeError


results = _Stream(stderr=False)
"""Stdout: results only, so that they can be piped. Corpus text goes to `sys.stdout`, byte for byte."""

console = _Stream(stderr=True)
"""Stderr: progress, tables about the work, warnings."""


class _Stdout(io.FileIO):
    """The file of stdout, whose errors name it."""

    def write(self, data: Any, /) -> int:
        """Write what can be written at once."""
        try:
            return super().write(data)
        except OSError as error:
            error.filename = "<stdout>"
            if error.errno == errno.EBADF:
                error.strerror = "is closed, so the results cannot be written to it"
            raise


def own_stdout() -> None:
    """Make sure that what is written to the stdout of this process is written whole, or that an error says why not.

    Where Python was told not to buffer it (PYTHONUNBUFFERED), a file may take only a part of what it is given, on a
    full disk for example, and nobody would hear of the rest. All of it is UTF-8, as the translations are, whatever the
    locale or PYTHONIOENCODING says, and a path stays the bytes that it is. What stands in for stdout in a test stays.
    """
    old = sys.stdout
    if old is None:  # `>&-`: what is opened next must not get its number, and be written to
        sys.stdout = _utf8(_taken(1), line_buffering=False)
    elif old is sys.__stdout__ and isinstance(old, io.TextIOWrapper):
        sys.stdout = _utf8(old.fileno(), line_buffering=old.line_buffering)


def own_stderr() -> None:
    """Make what is said UTF-8 as well, and let nothing that cannot be written stop a command."""
    if sys.stderr is sys.__stderr__ and isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr.reconfigure(encoding="utf-8", errors="backslashreplace")


def _readable(text: str) -> str:
    """Show the names of files: Python has halves of surrogate pairs for bytes that are no characters in the locale."""
    return _BYTES.sub(lambda found: os.fsencode(found[0]).decode("utf-8", "backslashreplace"), text)


def _utf8(number: int, *, line_buffering: bool) -> io.TextIOWrapper:
    whole = io.BufferedWriter(_Stdout(number, "w", closefd=False))
    return io.TextIOWrapper(
        whole, encoding="utf-8", errors="surrogateescape", newline="\n", line_buffering=line_buffering
    )


def _taken(number: int) -> int:
    """Open nothing for reading under the number of a closed stream, so that writing to it fails."""
    descriptor = os.open(os.devnull, os.O_RDONLY)
    if descriptor != number:
        os.dup2(descriptor, number)
        os.close(descriptor)
    return number


def show_warnings() -> None:
    """Write what the library warns users of as `warning: ...` lines to stderr, each once."""
    before = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if issubclass(category, NmtWarning):
            warn(str(message))
        else:
            before(message, category, *where, **more)

    warnings.showwarning = show
    warnings.filterwarnings("default", category=NmtWarning)


def say(message: str) -> None:
    """Write one line to stderr, as it is: never wrapped."""
    console.print(_readable(message), soft_wrap=True)


def warn(message: str) -> None:
    """Write one `warning: ...` line to stderr."""
    console.print(f"warning: {_readable(message)}", soft_wrap=True, style="yellow")


def fail(message: str) -> None:
    """Write one `error: ...` line to stderr; the caller decides the exit code."""
    line = _readable(" ".join(message.split()))
    console.print(f"error: {line}", soft_wrap=True, style="red")


def progress(*columns: "str | ProgressColumn") -> "Progress":
    """Make progress bars on stderr that vanish when done, and that never show when stderr is not a terminal.

    Args:
        columns: What each bar shows; description, bar, count and time left when nothing is given.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    default = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*(columns or default), console=console, transient=True, disable=not console.is_terminal)


@contextmanager
def status(name: str, *, visible: bool = True) -> Iterator[Callable[[str], None]]:
    """Give a function that shows on stderr how far work of unknown length has come, where stderr is a terminal.

    Args:
        name: What is shown before there is anything to say.
        visible: False where it would stand in the way of results.
    """
    from rich.progress import SpinnerColumn, TextColumn

    if not (visible and console.is_terminal):
        yield lambda text: None
        return
    with progress(SpinnerColumn(), TextColumn("{task.description}", markup=False)) as bar:
        task = bar.add_task(name)
        yield lambda text: bar.update(task, description=text)


@contextmanager
def counting(name: str) -> Iterator[Callable[[int, int], None]]:
    """Give a function that shows on stderr how much of how much is done."""
    with progress() as bar:
        task = bar.add_task(name, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
