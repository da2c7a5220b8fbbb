"""Options that several commands share, so that they look and work the same everywhere."""

from pathlib import Path
from typing import Annotated, Literal

import typer

RecipeOption = Annotated[
    Path | None,
    typer.Option("--recipe", metavar="R.toml", help="Settings file (TOML); recipes/ holds examples."),
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


def above_zero(value: float | None) -> float | None:
    """Refuse 0 and less; Typer's own `min` would let 0 pass."""
    if value is not None and not value > 0:
        raise typer.BadParameter("Input should be greater than 0")
    return value
