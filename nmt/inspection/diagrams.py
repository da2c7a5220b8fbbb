"""Diagrams as inline SVG: they take their colours from the page, and need nothing from elsewhere."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from nmt.inspection.elements import Html, element

_WIDTH: Final = 360
_HEIGHT: Final = 190
_LEFT: Final = 62
_RIGHT: Final = 8
_TOP: Final = 10
_BOTTOM: Final = 40
_ACROSS: Final = _WIDTH - _LEFT - _RIGHT
_FLOOR: Final = _HEIGHT - _BOTTOM
_UP: Final = _FLOOR - _TOP


@dataclass(frozen=True)
class Bar:
    """One bar of a histogram."""

    name: str
    rows: int
    tail: bool = False


@dataclass(frozen=True)
class Curve:
    """Points from left to right."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Axis:
    """Which numbers a side of a diagram shows."""

    title: str
    low: float
    high: float
    ticks: Sequence[float]
    show: Callable[[float], str]
    log: bool = False

    def place(self, value: float) -> float:
        """Return how far along the axis a value is: 0 to 1."""
        low, high, value = (math.log(one) if self.log else one for one in (self.low, self.high, value))
        return (value - low) / (high - low) if high > low else 0.0


def bar_picture(bars: Sequence[Bar], *, label: str, unit: str, series: int) -> Html:
    """Draw a histogram.

    Args:
        bars: From left to right; one in about six is named below.
        label: What the picture shows, for those who cannot see it.
        unit: What is on the horizontal axis.
        series: Which of the colours it gets, 0 or 1.
    """
    most, total = max((bar.rows for bar in bars), default=0), max(sum(bar.rows for bar in bars), 1)
    axis = Axis("", 0, max(most, 1), _round_ticks(max(most, 1)), lambda value: f"{value:,.0f}")
    step = _ACROSS / max(len(bars), 1)
    shapes = []
    for place, bar in enumerate(bars):
        height = _UP * bar.rows / max(most, 1)
        told = element("title", f"{bar.name} {unit}: {bar.rows:,} ({bar.rows / total:.2%})")
        x, width = _LEFT + place * step, max(step - 1, 0.5)
        # A bar over the whole height hears of the mouse where the visible one is too low for it.
        shapes.append(
            element(
                "g",
                told,
                _box(x, _TOP, width, _UP, class_="air", fill="none", pointer_events="all"),
                _box(x, _FLOOR - height, width, height, class_=f"bar s{series}" + (" tail" if bar.tail else "")),
            )
        )
    every = max(1, math.ceil(len(bars) / 6))
    for place in range(0, len(bars) - every // 2, every):  # the last name needs room on its right
        shapes.append(_text(_LEFT + (place + 0.5) * step, _FLOOR + 14, bars[place].name, anchor="middle"))
    return _picture(label, *_vertical_axis(axis), *shapes, _title_below(unit))


def curve_picture(curves: Sequence[Curve], *, across: Axis, up: Axis, label: str) -> Html:
    """Draw lines, and where they are several, name them."""
    shapes = [*_vertical_axis(up)]
    for tick in across.ticks:
        x = _LEFT + _ACROSS * across.place(tick)
        shapes.append(_line(x, _TOP, x, _FLOOR, class_="grid"))
        shapes.append(_text(x, _FLOOR + 14, across.show(tick), anchor="middle"))
    for number, curve in enumerate(curves):
        points = " ".join(
            f"{_LEFT + _ACROSS * across.place(x):.1f},{_FLOOR - _UP * up.place(y):.1f}" for x, y in curve.points
        )
        shapes.append(element("polyline", points=points, fill="none", class_=f"curve s{number}"))
    return _picture(label, *shapes, _title_below(across.title))


def legend(names: Iterable[str]) -> Html:
    """Say which colour is whose."""
    keys = [element("span", element("span", class_=f"key s{number}"), name) for number, name in enumerate(names)]
    return element("p", *keys, class_="legend")


def share_bar(share: float) -> Html:
    """Draw a share as a bar, for a cell of a table that has the number as well."""
    box = element("rect", width=f"{100 * share:.2f}", height=10, class_="bar s0")
    return element("svg", box, viewBox="0 0 100 10", class_="share", aria_hidden="true", preserveAspectRatio="none")


def powers(low: float, high: float) -> list[float]:
    """List the powers of ten from `low` to `high`, thinned out where there are many."""
    first, last = math.ceil(math.log10(low)), math.floor(math.log10(high))
    return [10.0**power for power in range(first, last + 1, max(1, (last - first) // 4))]


def _round_ticks(most: float) -> list[float]:
    """Choose round numbers from 0 to `most`, three to six of them where it is not tiny."""
    rough = most / 4
    power = 10 ** math.floor(math.log10(rough)) if rough > 1 else 1
    step = next((factor * power for factor in (1, 2, 5) if factor * power >= rough), 10 * power)
    return [step * number for number in range(int(most // step) + 1)]


def _vertical_axis(axis: Axis) -> list[Html]:
    shapes = []
    for tick in axis.ticks:
        y = _FLOOR - _UP * axis.place(tick)
        shapes.append(_line(_LEFT, y, _WIDTH - _RIGHT, y, class_="grid"))
        shapes.append(_text(_LEFT - 6, y + 4, axis.show(tick), anchor="end"))
    return shapes


def _title_below(title: str) -> Html:
    return _text(_LEFT + _ACROSS / 2, _HEIGHT - 6, title, anchor="middle")


def _picture(label: str, *shapes: Html) -> Html:
    return element("svg", *shapes, viewBox=f"0 0 {_WIDTH} {_HEIGHT}", role="img", aria_label=label, class_="picture")


def _box(x: float, y: float, width: float, height: float, **attributes: str) -> Html:
    return element("rect", x=f"{x:.1f}", y=f"{y:.1f}", width=f"{width:.1f}", height=f"{height:.1f}", **attributes)


def _line(x1: float, y1: float, x2: float, y2: float, *, class_: str) -> Html:
    return element("line", x1=f"{x1:.1f}", y1=f"{y1:.1f}", x2=f"{x2:.1f}", y2=f"{y2:.1f}", class_=class_)


def _text(x: float, y: float, text: str, *, anchor: str) -> Html:
    return element("text", text, x=f"{x:.1f}", y=f"{y:.1f}", text_anchor=anchor)
