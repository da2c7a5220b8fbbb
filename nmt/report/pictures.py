"""Pictures: what all of them need of matplotlib, where it is installed, and the attention of a translation as one."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from nmt.errors import ConfigError, install
from nmt.io.files import written

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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


@contextmanager
def drawing(target: AbstractContextManager[IO[bytes]], style: Mapping[str, Any] | None = None) -> Iterator[IO[bytes]]:
    """Give the file `target` to save a figure into; a ConfigError where matplotlib is not installed.

    Meanwhile matplotlib has its own settings, not a user's, with `style` on top; and a character that no font has is a
    box and no warning.
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
    shown = "".join(character if character.isprintable() else "\ufffd" for character in text)
    return shown if len(shown) <= longest else f"{shown[: longest - 1]}\u2026"


# Sizes are inches.
_CELL: Final = 0.27
_LONGEST_SIDE: Final = 40.0
"""Cells shrink where there are more pieces than fit."""
_BAR_WIDTH: Final = 0.16
_SHORTEST_BAR: Final = 1.6
_GAP: Final = 0.2
_POINTS_PER_INCH: Final = 72

_LINE: Final = 0.5
"""Points, as wide as cells are at most."""
_LETTERS: Final = 0.5
"""Height of the letters in cells."""

_FONT: Final = "DejaVu Sans"
"""Comes with matplotlib."""
_LONGEST_LABEL: Final = 24


def draw_attention(
    path: Path, *, src_pieces: Sequence[str], tgt_pieces: Sequence[str], weights: NDArray[np.float32], title: str
) -> frozenset[str]:
    """Draw attention weights into the PNG file `path`: source pieces along the top, target pieces down the side.

    The weights, [T, S], are from 0 to 1. Returns the characters that no installed font has: boxes stand for them.
    """
    with drawing(written(path)) as file:
        figure = attention_figure(src_pieces=src_pieces, tgt_pieces=tgt_pieces, weights=weights, title=title)
        figure.savefig(file, format="png", bbox_inches="tight", pad_inches=0.15)  # makes room for the labels
    _, missing = _families_for({*title, *"".join(src_pieces), *"".join(tgt_pieces)})
    return frozenset(character for character in missing if character.isprintable())


def attention_figure(
    *, src_pieces: Sequence[str], tgt_pieces: Sequence[str], weights: NDArray[np.float32], title: str
) -> "Figure":
    """Lay out the cells, their labels and a colour bar; the figure is as large as they are without the labels."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    rows, columns = len(tgt_pieces), len(src_pieces)
    if weights.shape != (rows, columns):
        raise ValueError(f"attention weights of shape {list(weights.shape)}; expected [{rows}, {columns}]")
    cell = min(_CELL, _LONGEST_SIDE / max(rows, columns, 1))
    cells_width, cells_height = max(columns, 1) * cell, max(rows, 1) * cell
    width, height = cells_width + _GAP + _BAR_WIDTH, max(cells_height, _SHORTEST_BAR)
    figure = Figure(figsize=(width, height), dpi=120)
    axes = figure.add_axes((0, 1 - cells_height / height, cells_width / width, cells_height / height))
    colours: dict[str, Any] = {"cmap": "Blues", "norm": Normalize(0, 1)}
    if weights.size:
        axes.imshow(weights, extent=(0, columns, rows, 0), aspect="auto", interpolation="nearest", **colours)
    axes.set(xlim=(0, max(columns, 1)), ylim=(max(rows, 1), 0))
    lines: dict[str, Any] = {"colors": "#dddddd", "linewidths": _LINE * cell / _CELL}
    axes.hlines(np.arange(1, rows), 0, columns, **lines)
    axes.vlines(np.arange(1, columns), 0, rows, **lines)
    bar_axes = figure.add_axes((1 - _BAR_WIDTH / width, 0, _BAR_WIDTH / width, 1))
    figure.colorbar(ScalarMappable(**colours), cax=bar_axes, label="attention weight")
    src_labels, tgt_labels = (
        [printable(piece, _LONGEST_LABEL) for piece in pieces] for pieces in (src_pieces, tgt_pieces)
    )
    title, size = printable(title, LONGEST_TITLE), _LETTERS * cell * _POINTS_PER_INCH
    families, _ = _families_for({*title, *"".join(src_labels), *"".join(tgt_labels)})
    text: dict[str, Any] = {"fontfamily": families, "parse_math": False}
    upright: dict[str, Any] = {"rotation": 90, "rotation_mode": "anchor", "ha": "left", "va": "center_baseline"}
    axes.tick_params(length=0, pad=4, top=True, labeltop=True, bottom=False, labelbottom=False)
    axes.set_xticks(np.arange(columns) + 0.5, src_labels, fontsize=size, **upright, **text)
    axes.set_yticks(np.arange(rows) + 0.5, tgt_labels, fontsize=size, **text)
    axes.set_title(title, loc="left", fontsize=12, pad=10, **text)
    return figure


def _families_for(characters: set[str]) -> tuple[list[str], list[str]]:
    """Choose installed fonts, the first choice first, that have these characters; those that none has come second."""
    from matplotlib.font_manager import FontProperties, findfont, fontManager

    usual = ("normal", "normal", "normal", 400)  # what `findfont` looks for; it complains about other faces
    faces = ((font.name, (font.style, font.variant, font.stretch, font.weight)) for font in fontManager.ttflist)
    # A last-resort font has every character, as the same box for a whole script.
    names = {name for name, face in faces if face == usual and name != _FONT and not name.startswith("Last Resort")}
    families, missing = [], np.array([ord(character) for character in characters])
    for name in [_FONT, *sorted(names)]:
        if missing.size:
            still_missing = np.setdiff1d(missing, _code_points_of(str(findfont(FontProperties(family=[name])))))
            families += [name] if still_missing.size < missing.size else []
            missing = still_missing
    return families, [chr(code) for code in missing.tolist()]


@cache
def _code_points_of(font_path: str) -> NDArray[np.int64]:
    """List what a font can draw; one of pictures in a single size, as of colour emoji, can draw nothing."""
    from matplotlib.ft2font import FT2Font

    font = FT2Font(font_path)
    return np.fromiter(font.get_charmap() if font.scalable else (), dtype=np.int64)
