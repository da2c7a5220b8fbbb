"""Commands and options that look and work the same everywhere."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer

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
"""`on_bad_utf8: OnBadUtf8Option = "error"`: pass it to `nmt.corpus.reading`."""


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


def add_command(app: typer.Typer, command: Callable[..., None], *, name: str | None = None) -> None:
    """Add a command whose help fills the lines of the terminal, wherever those of its docstring end.

    Examples, which a line with a backspace begins, stay as they are.
    """
    paragraphs = inspect.cleandoc(command.__doc__ or "").split("\n\n")
    flowing = (text if text.startswith("\b") else " ".join(text.splitlines()) for text in paragraphs)
    app.command(name, help="\n\n".join(flowing))(command)
