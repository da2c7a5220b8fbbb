"""What all pictures need: matplotlib, where it is installed, and text that it can draw; no window is opened."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import IO, Any, Final

from nmt.errors import ConfigError
from nmt.wording import install

STYLE: Final = {
    "axes.titlesize": 11.0,
    "axes.edgecolor": "#999999",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "xtick.color": "#999999",
    "ytick.color": "#999999",
    "xtick.labelcolor": "black",
    "ytick.labelcolor": "black",
}
"""How curves look: thin grey axes on the left and below, labels in black."""

LONGEST_TITLE: Final = 80

_REPLACEMENT: Final = "\ufffd"


@contextmanager
def drawing(target: AbstractContextManager[IO[bytes]], style: Mapping[str, Any] | None = None) -> Iterator[IO[bytes]]:
    """Give the file `target` to save a figure into.

    Meanwhile matplotlib has its own settings, not a user's, with `style` on top; and a character that no font has is a
    box and no warning.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    try:
        from matplotlib.style import context
    except ImportError as error:
        raise ConfigError(f"drawing needs matplotlib, which is not installed; {install('plot')}") from error

    with context(dict(style or {}), after_reset=True), warnings.catch_warnings(), target as file:
        # Of a character that no font has, and of a mark that no font has together with the letter it stands on.
        warnings.filterwarnings("ignore", message="Glyph .* missing", category=UserWarning)
        yield file


def printable(text: str, longest: int) -> str:
    """Mark what has no shape, such as control characters and halves of surrogate pairs, and cut off at `longest`."""
    shown = "".join(character if character.isprintable() else _REPLACEMENT for character in text)
    return shown if len(shown) <= longest else f"{shown[: longest - 1]}\u2026"
