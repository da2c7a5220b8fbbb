"""Commands and options that look and work the same everywhere; those of the search are made from its settings."""

import inspect
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any, Final, Literal, NamedTuple, cast

import typer

from nmt.config.search import SearchSettings

if TYPE_CHECKING:
    from io import BufferedReader

    from nmt.io.arriving import LineSource
    from nmt.io.lines import OnBadUtf8


ModelDir = Annotated[Path, typer.Argument(metavar="MODEL_DIR", help="Folder that `nmt train` wrote.")]

DeviceOption = Annotated[
    Literal["auto", "cpu", "cuda"], typer.Option("--device", help="Where to compute.", rich_help_panel="Computation")
]

RecipeOption = Annotated[
    Path | None, typer.Option("--recipe", metavar="R.toml", help="Settings file (TOML); recipes/ holds examples.")
]
"""`recipe: RecipeOption = None`: pass it to `nmt.config.load_settings`."""

SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SECTION.KEY=VALUE", help="One setting, stronger than the recipe; repeatable."),
]
"""`overrides: SetOption = None`: pass `overrides or ()` to `nmt.config.load_settings`."""

OnBadUtf8Option = Annotated[
    Literal["error", "replace"],
    typer.Option("--on-bad-utf8", help="Stop at bytes that are not UTF-8, or read U+FFFD in their place."),
]
"""`on_bad_utf8: OnBadUtf8Option = "error"`: pass it to `nmt.io.lines`."""


_DRAWING: Final[dict[str, dict[str, Any]]] = {
    "temperature": {
        "metavar": "X",
        "min": 1e-6,
        "max": 1e6,
        "help": "Below 1: closer to the most probable; above: more random.",
        "show_default": "1",
    },
    "top_k": {
        "metavar": "N",
        "min": 0,
        "help": "Draw from so many of the most probable pieces; 0: all.",
        "show_default": "all",
    },
    "top_p": {
        "metavar": "X",
        "max": 1.0,
        "help": "Draw from the most probable pieces that have this probability together.",
        "show_default": "1",
    },
    "seed": {"metavar": "N", "min": 0, "max": 2**63 - 1, "help": "Seed of the random choice.", "show_default": "1"},
}


def drawn_by(name: str, *, panel: str) -> Any:
    """Make the option of a value of `nmt.search.sampling.Sampling`."""
    callback = above_zero if name == "top_p" else None
    return typer.Option(callback=callback, rich_help_panel=panel, **_DRAWING[name])


def above_zero(value: float | None) -> float | None:
    """Refuse 0 and less; Typer's own `min` would let 0 pass."""
    if value is not None and not value > 0:
        raise typer.BadParameter("Input should be greater than 0")
    return value


_SCHEMA: Final = SearchSettings.model_json_schema()["properties"]
_METAVARS: Final = {"integer": "N", "number": "X"}


class _Place(NamedTuple):
    """Where the help of `nmt translate` shows an option."""

    after: str = "n_best"
    panel: str = "Search"
    name: str = ""


_PLACES: Final = {
    "beam_size": _Place("output", name="--beam"),
    "lm_weight": _Place("lm", "Language model"),
    "carry_unknown": _Place("dictionary", "Text"),
    "zero_digit": _Place("dictionary", "Text"),
    "precision": _Place("ensemble", "Computation"),
    "batch_tokens": _Place("workers", "Computation"),
}
"""Settings whose options do not stand, in the order of the settings, among the others of the search."""


def setting(name: str) -> Any:
    """Make the option of a setting of the search; where it is not given, the value is the model's."""
    schema, place = _SCHEMA[name], _PLACES.get(name, _Place())
    return typer.Option(
        *([place.name] if place.name else []),
        metavar=_METAVARS.get(schema.get("type", "")),
        min=schema.get("minimum"),
        max=schema.get("maximum"),
        callback=above_zero if schema.get("exclusiveMinimum") == 0 else None,
        help=" ".join(schema["description"].split()),
        show_default="the model's",
        rich_help_panel=place.panel,
    )


def with_search_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command an option for every setting of the search that it does not name itself.

    Those that are given are its argument `search`.
    """
    signature = inspect.signature(command, eval_str=True)
    own = {name: parameter for name, parameter in signature.parameters.items() if name != "search"}
    made = [name for name in SearchSettings.model_fields if name not in own]
    parameters = list(own.values())
    for name in reversed(made):
        kind: Any = SearchSettings.model_fields[name].annotation
        option: Any = Annotated[kind | None, setting(name)]
        parameter = inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=option)
        place = _PLACES.get(name, _Place()).after
        parameters.insert([one.name for one in parameters].index(place) + 1, parameter)

    @wraps(command)
    def run(**values: Any) -> None:
        given = {name: value for name in made if (value := values.pop(name)) is not None}
        command(**values, search=given)

    ordered = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in parameters]
    run.__signature__ = signature.replace(parameters=ordered)  # type: ignore[attr-defined]
    return run


LanguageModelOption = Annotated[
    Path | None,
    typer.Option(
        "--lm",
        metavar="LM_DIR",
        help="Language model that is asked at each step too (shallow fusion); it has the model's tokenizer.",
        rich_help_panel="Language model",
    ),
]

RescoringOption = Annotated[
    bool,
    typer.Option(
        "--lm-rescore",
        help="It only reorders the finished hypotheses of the beam, and may have a tokenizer of its own.",
        rich_help_panel="Language model",
    ),
]

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


def check_language_options(lm: Path | None, *, weight: float | None, rescoring: bool) -> None:
    """Refuse what is said about a language model where there is none.

    Raises:
        UsageError: Such an option is given.
    """
    from nmt.errors import UsageError

    for name, given in (("--lm-weight", weight is not None), ("--lm-rescore", rescoring)):
        if given and lm is None:
            raise UsageError(f"{name} is about a language model; it needs --lm")


def add_command(app: typer.Typer, command: Callable[..., None], *, name: str | None = None) -> None:
    """Add a command whose help fills the lines of the terminal, wherever those of its docstring end.

    Examples, which a line with a backspace begins, stay as they are.
    """
    paragraphs = inspect.cleandoc(command.__doc__ or "").split("\n\n")
    flowing = (text if text.startswith("\b") else " ".join(text.splitlines()) for text in paragraphs)
    app.command(name, help="\n\n".join(flowing))(command)


STREAM: Final = Path("-")
"""Names stdin, or stdout."""
_STDIN: Final = "<stdin>"

STREAM_BLOCK: Final = 500
"""Lines of a stream, and of a worker's share, that are taken together: few, so that the first are not kept waiting."""


def block_of(source: Path) -> int:
    """Return how many lines are taken together."""
    return STREAM_BLOCK if source == STREAM else 4000


def open_lines(source: Path, on_bad_utf8: "OnBadUtf8", *, in_sections: bool = False) -> "tuple[str, LineSource]":
    """Open the input; give what messages call it, and its lines, very long ones in sections if they are to be."""
    from nmt.corpus import FORMATS
    from nmt.errors import DataError
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
    """Refuse outputs that would take the place of a file that is read, under whatever name.

    Raises:
        UsageError: One of them is one of the inputs.
    """
    from nmt.errors import UsageError

    files = [path for path in inputs if path != STREAM and path.is_file()]
    for output in outputs:
        if output != STREAM and output.is_file() and any(output.samefile(path) for path in files):
            raise UsageError(f"{output} is an input, so it cannot be written: the result would replace it")


@contextmanager
def open_output(path: Path) -> Iterator[IO[bytes]]:
    """Open stdout, or a file that gets its name when all is done; devices and named pipes are written in place.

    Raises:
        ConfigError: The folder of the file does not exist.
    """
    from nmt.errors import ConfigError
    from nmt.io.files import written

    if path == STREAM:
        yield sys.stdout.buffer
    elif not path.parent.is_dir():
        raise ConfigError(f"{path} cannot be written: there is no folder {path.parent}")
    else:
        with written(path) as file:
            yield file
