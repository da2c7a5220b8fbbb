"""What all commands share: options that look and work the same everywhere, input, and where output goes.

Results go to stdout, everything that is said to a person to stderr. Options of the search are made from its settings.
"""

import errno
import gc
import inspect
import io
import os
import re
import signal
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial, wraps
from pathlib import Path
from types import FrameType
from typing import IO, TYPE_CHECKING, Annotated, Any, Final, Literal, NoReturn, cast

import typer
from rich.console import Console

from nmt.config.search import SearchSettings
from nmt.errors import ConfigError, DataError, NmtWarning, UsageError

if TYPE_CHECKING:
    from io import BufferedReader

    from rich.progress import Progress, ProgressColumn

    from nmt.io.arriving import LineSource
    from nmt.io.lines import OnBadUtf8
    from nmt.search.sampling import Sampling

INTERRUPTED: Final = 130
"""The exit code of a command that Ctrl-C or a signal ended."""


class _Stream(Console):
    """A console that wraps and cuts lines only on a terminal, and leaves a closed pipe to the command group."""

    def __init__(self, *, stderr: bool) -> None:
        super().__init__(stderr=stderr, highlight=False, markup=False, emoji=False)
        if not self.is_terminal:
            self.width = 10_000

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


def own_streams() -> None:
    """Make sure that what is written to stdout is written whole, or that an error says why not; and that all is UTF-8.

    Where Python was told not to buffer it (PYTHONUNBUFFERED), a file may take only a part of what it is given, on a
    full disk for example, and nobody would hear of the rest. The locale and PYTHONIOENCODING do not matter, a path
    stays the bytes that it is, and what stderr cannot write is escaped. What stands in for either in a test stays.
    """
    old = sys.stdout
    if old is None or (old is sys.__stdout__ and isinstance(old, io.TextIOWrapper)):
        if old is None:  # `>&-`: what is opened next must not get its number, and be written to
            descriptor = os.open(os.devnull, os.O_RDONLY)
            if descriptor != 1:
                os.dup2(descriptor, 1)
                os.close(descriptor)
        sys.stdout = io.TextIOWrapper(
            io.BufferedWriter(_Stdout(1 if old is None else old.fileno(), "w", closefd=False)),
            encoding="utf-8",
            errors="surrogateescape",
            newline="\n",
            line_buffering=old is not None and old.line_buffering,
        )
    if sys.stderr is sys.__stderr__ and isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr.reconfigure(encoding="utf-8", errors="backslashreplace")


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


def _readable(text: str) -> str:
    """Show the names of files: Python has halves of surrogate pairs for bytes that are no characters in the locale."""
    return re.sub("[\udc80-\udcff]+", lambda found: os.fsencode(found[0]).decode("utf-8", "backslashreplace"), text)


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


def progress(*columns: "str | ProgressColumn", visible: bool = True) -> "Progress":
    """Make progress bars on stderr that vanish when done, and that never show when stderr is not a terminal; each shows
    description, a clock, which moves where no count does, bar, count and time left where no `columns` are given."""
    from rich import progress as rich

    named = (rich.TextColumn("{task.description}", markup=False), rich.TimeElapsedColumn())
    default = (*named, rich.BarColumn(bar_width=20), rich.MofNCompleteColumn(), rich.TimeRemainingColumn())
    shown = visible and console.is_terminal
    target = console if shown else Console(quiet=True)  # Rich before 14.1 ends a hidden bar with an empty line
    return rich.Progress(*(columns or default), console=target, transient=True, disable=not shown)


@contextmanager
def status(name: str, *, visible: bool = True) -> Iterator[Callable[[str], None]]:
    """Give a function that shows on stderr how far work of unknown length has come, `name` at first; nothing where
    stderr is no terminal, or where that is not to be `visible` between results."""
    if not (visible and console.is_terminal):
        yield lambda text: None
        return
    from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

    with progress(SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn()) as bar:
        task = bar.add_task(name)
        yield lambda text: bar.update(task, description=text)


@contextmanager
def loading(name: str = "torch", *, visible: bool = True) -> Iterator[None]:
    """Say on stderr, in the first of several processes, that modules are loaded, while they are.

    What they make stays: Python looks for no garbage meanwhile, and never among that. Of `import torch` that was a
    sixth of the time, and as much again when the process ended.
    """
    gc.disable()
    try:
        with status(f"loading {name}", visible=visible and os.environ.get("RANK", "0") == "0"):  # of torchrun
            yield
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def counting(name: str) -> Iterator[Callable[[int, int], None]]:
    """Give a function that shows on stderr how much of how much is done."""
    with progress() as bar:
        task = bar.add_task(name, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


Files = list[Path] | None
file_option = partial(typer.Option, metavar="FILE")
count_option = partial(typer.Option, metavar="N", min=1)

ModelDir = Annotated[Path, typer.Argument(metavar="MODEL_DIR", help="Folder that `nmt train` wrote.")]

DeviceOption = Annotated[
    Literal["auto", "cpu", "cuda"], typer.Option("--device", help="Where to compute.", rich_help_panel="Computation")
]

RecipeOption = Annotated[
    Path | None, typer.Option("--recipe", metavar="R.toml", help="Settings file (TOML); recipes/ holds examples.")
]

SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SECTION.KEY=VALUE", help="One setting, overrides the recipe; repeatable."),
]

OnBadUtf8Option = Annotated[
    Literal["error", "replace"],
    typer.Option("--on-bad-utf8", help="Stop at bytes that are not UTF-8, or read U+FFFD in their place."),
]


def above_zero(value: float | None) -> float | None:
    """Refuse 0 and less; Typer's own `min` would let 0 pass."""
    if value is not None and not value > 0:
        raise typer.BadParameter("Input should be greater than 0")
    return value


_sampling = partial(typer.Option, rich_help_panel="Sampling")

TemperatureOption = Annotated[
    float | None,
    _sampling(metavar="X", min=1e-6, max=1e6, help="Below 1: less random; above: more random.", show_default="1"),
]
TopKOption = Annotated[
    int | None,
    _sampling(metavar="N", min=0, help="Sample from the N most probable pieces; 0: all.", show_default="all"),
]
TopPOption = Annotated[
    float | None,
    _sampling(
        metavar="X",
        max=1.0,
        callback=above_zero,
        help="Sample from the most probable pieces that have this probability together.",
        show_default="1",
    ),
]
SeedOption = Annotated[
    int | None, _sampling(metavar="N", min=0, max=2**63 - 1, help="Seed of the samples.", show_default="1")
]


def sampling_with(**values: float | None) -> "Sampling":
    """Make a `Sampling` of the options that were given."""
    from nmt.search.sampling import Sampling

    given: dict[str, Any] = {name: value for name, value in values.items() if value is not None}
    return Sampling(**given)


MEMORY: Final = "Translation memory"
RESCORING: Final = "Rescoring"
"""Panels of options."""
_SCHEMA: Final = SearchSettings.model_json_schema()["properties"]
_PLACES: Final = {
    "beam_size": ("output", "Search"),
    "lm_weight": ("lm", "Language model"),
    "rescore_weight": ("right_to_left", RESCORING),
    "reverse_weight": ("reverse_model", RESCORING),
    **{name: ("memory", MEMORY) for name in SearchSettings.model_fields if name.startswith("memory_")},
    "carry_unknown": ("dictionary", "Text"),
    "zero_digit": ("dictionary", "Text"),
    "precision": ("ensemble", "Computation"),
    "batch_tokens": ("workers", "Computation"),
}
"""The option of `nmt translate` after which that of a setting stands, and its panel of the help."""
_USUAL_PLACE: Final = ("n_best", "Search")


def setting(name: str) -> Any:
    """Make the option of a setting of the search; where it is not given, the value is the model's."""
    schema = {**_SCHEMA[name], **_SCHEMA[name].get("anyOf", [{}])[0]}  # what one is that may be unset
    return typer.Option(
        *(["--beam"] if name == "beam_size" else []),
        metavar={"integer": "N", "number": "X"}.get(schema.get("type", "")),
        min=schema.get("minimum"),
        max=schema.get("maximum"),
        callback=above_zero if schema.get("exclusiveMinimum") == 0 else None,
        help=" ".join(schema["description"].split()),
        show_default="the model's",
        rich_help_panel=_PLACES.get(name, _USUAL_PLACE)[1],
    )


def with_search_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command an option for every setting of the search that it does not name itself; those that are
    given are its argument `search`."""
    signature = inspect.signature(command, eval_str=True)
    own = {name: parameter for name, parameter in signature.parameters.items() if name != "search"}
    made = [name for name in SearchSettings.model_fields if name not in own]
    parameters = list(own.values())
    for name in reversed(made):
        kind: Any = SearchSettings.model_fields[name].annotation
        option: Any = Annotated[kind | None, setting(name)]
        parameter = inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=option)
        place, _ = _PLACES.get(name, _USUAL_PLACE)
        parameters.insert([one.name for one in parameters].index(place) + 1, parameter)

    @wraps(command)
    def run(**values: Any) -> None:
        given = {name: value for name in made if (value := values.pop(name)) is not None}
        command(**values, search=given)

    ordered = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in parameters]
    run.__signature__ = signature.replace(parameters=ordered)  # type: ignore[attr-defined]
    return run


TagOption = Annotated[
    str | None,
    typer.Option(
        metavar="TAG",
        help="Piece such as <news> put before each sentence, which the model knows as the tag of a corpus.",
        rich_help_panel="Text",
    ),
]

EnsembleOption = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="MODEL_DIR",
        help="Another model to translate with (an ensemble); it has the same tokenizers; repeatable.",
        rich_help_panel="Computation",
    ),
]


def refuse_without(needed: str, options: dict[str, Any], *, what: str) -> None:
    """Refuse options about something that is not there; `needed` would bring it."""
    for name in [name for name, value in options.items() if value is not None]:
        raise UsageError(f"--{name.replace('_', '-')} is about {what}; it needs {needed}")


def add_command(app: typer.Typer, command: Callable[..., None], *, name: str | None = None) -> None:
    """Add a command whose help fills the lines of the terminal, wherever those of its docstring end; examples, which
    a line with a backspace begins, stay as they are."""
    paragraphs = inspect.cleandoc(command.__doc__ or "").split("\n\n")
    flowing = (text if text.startswith("\b") else " ".join(text.splitlines()) for text in paragraphs)
    app.command(name, help="\n\n".join(flowing))(command)


STREAM: Final = Path("-")
"""Names stdin, or stdout."""
_STDIN: Final = "<stdin>"

STREAM_BLOCK: Final = 500
"""Lines of a stream that are taken together: few, so that the first are not kept waiting."""


def block_of(source: Path) -> int:
    """Return how many lines are taken together."""
    return STREAM_BLOCK if source == STREAM else 4000


def is_typed(source: Path) -> bool:
    """Tell whether a person types the input: what vanishes from the terminal would take the words with it."""
    return source == STREAM and sys.stdin is not None and sys.stdin.isatty()


def open_lines(source: Path, on_bad_utf8: "OnBadUtf8", *, in_sections: bool = False) -> "tuple[str, LineSource]":
    """Open the input; give what messages call it, and its lines, very long ones in sections if they are to be."""
    from nmt.corpus import FORMATS
    from nmt.io.arriving import ArrivingLines, FileLines
    from nmt.io.compressed import SECTION_BYTES, refuse_documents
    from nmt.io.lines import read_in_sections, read_lines

    if source != STREAM:
        refuse_documents(source, FORMATS)
        return str(source), FileLines((read_in_sections if in_sections else read_lines)(source, on_bad_utf8))
    if sys.stdin is None:
        raise DataError("stdin is closed, so no text can be read from it; name a file, or pipe text into the command")
    stdin = cast("BufferedReader", sys.stdin.buffer)
    return _STDIN, ArrivingLines(stdin, _STDIN, on_bad_utf8, longest=SECTION_BYTES if in_sections else None)


def refuse_replacing(inputs: Iterable[Path], outputs: Iterable[Path]) -> None:
    """Refuse outputs that would take the place of a file that is read, under whatever name."""
    files = [path for path in inputs if path != STREAM and path.is_file()]
    for output in outputs:
        if output != STREAM and output.is_file() and any(output.samefile(path) for path in files):
            raise UsageError(f"{output} is an input, so it cannot be written: the result would replace it")


def check_folder_of(path: Path) -> None:
    """Refuse an output that is a folder, or whose folder does not exist, before any work is done."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not path.parent.is_dir():
        raise ConfigError(f"{path} cannot be written: there is no folder {path.parent}")


@contextmanager
def on_signals(handle: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Let a function take Ctrl-C, SIGTERM and SIGHUP meanwhile, but for those that are ignored, as by `nohup`."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    heard = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, handle) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def open_output(path: Path) -> Iterator[IO[bytes]]:
    """Open stdout, or a file that gets its name when all is done; devices and named pipes are written in place."""
    from nmt.io.files import written

    if path == STREAM:
        yield sys.stdout.buffer
    else:
        check_folder_of(path)
        with written(path) as file:
            yield file
