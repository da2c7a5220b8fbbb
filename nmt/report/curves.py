"""The curves of a run, as a PNG of its metrics.jsonl; no records are a ModelError, no matplotlib is a ConfigError."""

import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from nmt.errors import ModelError
from nmt.io.files import read_json, replacing, written
from nmt.report.pictures import LONGEST_TITLE, STYLE, drawing, printable
from nmt.training.observers import METRICS, read_metrics

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PICTURE: Final = "curves.png"

_MOST_POINTS: Final = 600
"""A longer curve is thinned: a panel is about so many pixels wide."""
_MARKED_POINTS: Final = 40
"""Up to so many points are marked one by one."""
_LONGEST_NAME: Final = 46
"""Of a validation set: two such labels fit side by side, three of `_SHORT`."""
_SHORT: Final = 36
_SPIKY: Final = 30
"""A gradient norm so many times the median would press the rest of the curve flat."""
_LARGEST: Final = 1e100
"""What is larger could not be drawn: room above it, or the squares of a mean, would be no numbers any more."""
_KINDS: Final = {"train": "training", "valid": "validation"}
_COLOURS: Final = {"train": "#0072B2", "valid": "#D55E00"}  # told apart by the colour-blind too (Okabe and Ito, 2008)
_FURTHER: Final = ("#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # further validation sets take turns
_DASHES: Final = ("-", "--", ":")  # with each round another


@dataclass(frozen=True)
class Curve:
    """The finite values of one number over a run, in the order of the steps."""

    steps: NDArray[np.float64]
    values: NDArray[np.float64]


@dataclass(frozen=True)
class _Panel:
    title: str
    names: tuple[str, ...]
    scale: Literal["free", "from zero", "log", "log if spiky"] = "from zero"
    title_of_text: str | None = None
    """Of a run on text, where it is another: a language model has no target."""


_BLEU: Final = "valid/bleu"
_PANELS: Final = (
    _Panel("Loss (nats a piece)", ("train/loss", "valid/loss"), "free"),
    _Panel("Validation perplexity", ("valid/perplexity",), "log"),
    _Panel("Validation BLEU", (_BLEU,)),
    _Panel("Learning rate", ("train/learning_rate",)),
    _Panel("Speed (target pieces a second)", ("train/tokens_per_second",), title_of_text="Speed (pieces a second)"),
    _Panel("Gradient norm", ("train/gradient_norm",), "log if spiky"),
)
"""Numbers of a further validation set have its name within theirs: "valid/news/loss"."""
_NAMES: Final = tuple(name for panel in _PANELS for name in panel.names)


def draw_curves(model_dir: Path, picture: Path | None = None) -> Path:
    """Draw the curves of the run in `model_dir` into the PNG file `picture`, or into its own; return which.

    A link in the place of its own is replaced: it may have come with the folder. One that is named is followed.
    """
    curves, kept = read_curves(model_dir), kept_step(model_dir)
    own = model_dir / PICTURE
    with drawing(replacing(own) if picture is None else written(picture), STYLE) as file:
        curves_figure(curves, title=model_dir.resolve().name, kept=kept).savefig(file, format="png")
    return picture or own


def read_curves(model_dir: Path) -> dict[str, Curve]:
    """Read what a run has recorded, under the names that TensorBoard has: "train/loss", "valid/news/bleu".

    A line that anything has spoilt is left out, and so are numbers that are not finite or beyond all reason.
    """
    path = model_dir / METRICS
    if not model_dir.is_dir():
        raise ModelError(f"model folder {model_dir} does not exist")
    points: dict[str, list[tuple[float, float]]] = {}
    for record in read_metrics(path) if path.is_file() else ():
        for key, value in record.values.items():
            name = f"{record.kind}/{key}"
            if _main(name) in _NAMES and abs(value) < _LARGEST:
                points.setdefault(name, []).append((record.step, value))
    if not points:
        raise ModelError(f"{path}: no records of a run; nmt train writes one every training.log_every steps")
    return {name: Curve(*np.array(found).T) for name, found in points.items()}


def kept_step(model_dir: Path) -> int | None:
    """Read of which step the model of a run is; None: no validation has kept one yet, or nobody can tell."""
    with suppress(FileNotFoundError, ModelError, KeyError, TypeError):
        step = read_json(model_dir / "model.json", ModelError)["training"]["step"]
        return step if type(step) is int else None
    return None


def curves_figure(curves: Mapping[str, Curve], *, title: str, kept: int | None) -> "Figure":
    """Lay out a panel for every number, and one legend for all of them; the step that was kept gets a star."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(12, 10), dpi=120, layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.1))
    figure.suptitle(printable(title, LONGEST_TITLE), fontsize=14, fontweight="bold", parse_math=False)
    last_step = max(float(curve.steps[-1]) for curve in curves.values())
    of_text = "valid/loss" in curves and _BLEU not in curves
    legend: dict[str, Artist] = {}
    for axes, panel in zip(figure.subplots(3, 2).flat, _PANELS, strict=True):
        legend |= _draw_panel(axes, panel, curves, of_text=of_text, kept=kept)
        axes.set_xlabel("step")
        axes.set_xlim(0, 1.03 * max(1.0, last_step))
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    columns = 3 if max(map(len, legend), default=0) <= _SHORT else 2
    below = figure.legend(list(legend.values()), list(legend), loc="outside lower center", ncols=columns, frameon=False)
    for text in below.get_texts():
        text.set_parse_math(False)
    return figure


def _draw_panel(
    axes: "Axes", panel: _Panel, curves: Mapping[str, Curve], *, of_text: bool, kept: int | None
) -> "dict[str, Artist]":
    """Draw the curves of a panel, or say why there are none; return the entries of the legend."""
    from matplotlib.ticker import FuncFormatter

    title = panel.title_of_text if of_text and panel.title_of_text else panel.title
    axes.set_title(title, loc="left")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(_number))
    legend, styles = dict[str, "Artist"](), _styles(curves)
    shown = {name: curve for main in panel.names for name, curve in curves.items() if _main(name) == main}
    for name, curve in shown.items():
        label, colour, dashes = styles[name]
        if (every := math.ceil(len(curve.steps) / _MOST_POINTS)) > 1:
            curve, low, high = thin(curve, every)
            axes.fill_between(low.steps, low.values, high.values, color=colour, alpha=0.2, linewidth=0)
            label = f"{label} (mean and range of every {every:,} records)"
        line: dict[str, Any] = {"color": colour, "linestyle": dashes, "linewidth": 1.6, "markersize": 4}
        marker = "o" if len(curve.steps) <= _MARKED_POINTS else ""
        (legend[label],) = axes.plot(curve.steps, curve.values, marker=marker, **line)
    if (bleu := shown.get(_BLEU)) and kept in bleu.steps:
        at = bleu.steps == kept
        (star,) = axes.plot(
            bleu.steps[at], bleu.values[at], "*", color="black", markersize=14, markeredgecolor="white", zorder=3
        )
        legend[f"kept: step {kept:,}, BLEU {bleu.values[at][0]:.1f}"] = star
    if shown:
        _scale(axes, title, panel.scale, np.concatenate([curve.values for curve in shown.values()]))
    else:
        no_bleu = of_text and _BLEU in panel.names
        kind = _KINDS[panel.names[0].partition("/")[0]]
        why = "none: a language model translates nothing" if no_bleu else f"no {kind} record yet"
        axes.set_ylim(0, 1)
        axes.set_yticks([])
        axes.text(0.5, 0.5, why, transform=axes.transAxes, ha="center", va="center", color="#777777")
    return legend


def thin(curve: Curve, every: int) -> tuple[Curve, Curve, Curve]:
    """Return the mean, the smallest and the largest of every so many points, each at their mean step."""
    missing = -len(curve.steps) % every
    steps, values = (
        np.append(row, np.full(missing, np.nan)).reshape(-1, every) for row in (curve.steps, curve.values)
    )  # [N, every], the last row filled up
    middle = np.nanmean(steps, axis=1)
    mean, low, high = (reduce(values, axis=1) for reduce in (np.nanmean, np.nanmin, np.nanmax))
    return Curve(middle, mean), Curve(middle, low), Curve(middle, high)


def _main(name: str) -> str:
    """Leave out which validation set a number is of."""
    return f"{name.partition('/')[0]}/{name.rpartition('/')[2]}"


def _styles(names: Iterable[str]) -> dict[str, tuple[str, str, str]]:
    """Choose a label, a colour and dashes for every curve: the same for a validation set, whatever its numbers."""
    styles, numbers = dict[str, tuple[str, str, str]](), dict[str, int]()
    for name in names:
        kind, *further = name.split("/")[:-1]
        which = "/".join(further)
        if which:
            turn, place = divmod(numbers.setdefault(which, len(numbers)), len(_FURTHER))
            label = f"{_KINDS[kind]} on {printable(which, _LONGEST_NAME)}"
            styles[name] = label, _FURTHER[place], _DASHES[turn % len(_DASHES)]
        else:
            styles[name] = _KINDS[kind], _COLOURS[kind], _DASHES[0]
    return styles


def _scale(axes: "Axes", title: str, scale: str, values: NDArray[np.float64]) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    low, high = float(values.min()), float(values.max())
    if low > 0 and (scale == "log" or (scale == "log if spiky" and high > _SPIKY * np.median(values))):
        axes.set_title(f"{title} (log scale)", loc="left")
        axes.set_yscale("log")
        ratio = high / low
        room = ratio**0.06 if ratio > 1 else 1.25
        axes.set_ylim(low / room, high * room)
        rounded = LogLocator(subs=(1, 2, 5) if ratio < 1000 else (1,))
        # a narrow range may hold no round number
        axes.yaxis.set_major_locator(MaxNLocator(6) if ratio < 10 else rounded)
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(_number))
    elif scale == "free":
        room = 0.06 * (high - low) or 0.1 * abs(high) or 1.0
        axes.set_ylim(low - room, high + room)
    else:
        axes.set_ylim(min(0.0, low), 1.08 * high if high > 0 else 1.0)


def _number(value: float, _: int | None = None) -> str:
    """Write a tick in full: 12,500 or 0.00005."""
    return f"{value:,.10f}".rstrip("0").rstrip(".") if abs(value) < 1e9 else f"{value:g}"
