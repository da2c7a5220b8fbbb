"""Parts of the page: lengths, ratios, the vocabulary."""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from nmt.inspection.amounts import percent
from nmt.inspection.bins import bins_of
from nmt.inspection.diagrams import Axis, Bar, Curve, bar_picture, curve_picture, legend, powers
from nmt.inspection.elements import Html, element, folded, join, table
from nmt.inspection.gathering import Inspection, Side
from nmt.inspection.vocabulary import Vocabulary
from nmt.prepared.lengths import Lengths, ratio_of_bin

UNITS: Final = ("pieces", "words", "characters")
QUANTILES: Final = (0.5, 0.95, 0.99)
SHARES: Final = (0.5, 0.8, 0.9, 0.95, 0.99, 0.999)
RARE: Final = 5
"""Pieces that occur at most so often are called rare."""

_BARS: Final = 40
_POINTS: Final = 80
_LISTED: Final = 60
_TAGGED: Final = ", sources with their tags"


def lengths_of(side: Side, unit: str) -> Lengths:
    """Return the histogram of a side in one of the units."""
    return {"pieces": side.train.pieces, "words": side.train.words, "characters": side.train.characters}[unit]


def lengths(inspection: Inspection) -> Html:
    """Draw how long the texts are."""
    parts = [_length_table(inspection)]
    for unit in UNITS:
        figures = [
            _length_figure(lengths_of(side, unit), unit, side.name, number)
            for number, side in enumerate(inspection.sides)
        ]
        parts += [element("h3", f"In {unit}"), element("div", *figures, class_="pictures")]
    return join(parts)


def _length_table(inspection: Inspection) -> Html:
    head = ["", "in all", "mean", *(f"{share:.0%} have at most" for share in QUANTILES), "longest"]
    rows = []
    for side in inspection.sides:
        for unit in UNITS:
            one = lengths_of(side, unit)
            quantiles = [f"{one.quantile(share):,}" for share in QUANTILES]
            rows.append([f"{side.name}, {unit}", f"{one.total:,}", f"{one.mean:,.1f}", *quantiles, f"{one.largest:,}"])
    caption = f"Lengths of the training {inspection.noun}{_TAGGED if inspection.tagged else ''}"
    return table(head, rows, numbers=range(1, len(head)), caption=caption)


def _length_figure(one: Lengths, unit: str, name: str, number: int) -> Html:
    bins = bins_of(one, most=_BARS)
    bars = [Bar(bin.name, bin.rows, bin.tail) for bin in bins]
    label = f"Histogram of the {unit} of a {name}: half have at most {one.quantile(0.5):,}, the longest {one.largest:,}"
    rows = [(bin.name, f"{bin.rows:,}", percent(bin.rows, one.rows)) for bin in bins]
    return element(
        "figure",
        element("figcaption", f"{name}: {unit}"),
        bar_picture(bars, label=label, unit=unit, series=number),
        folded("Numbers", table((unit, "number", "share"), rows, numbers=(1, 2), caption=label)),
    )


def ratios(inspection: Inspection) -> Html:
    """Draw how much longer targets are than sources."""
    found = ratio_bars(inspection)
    rows = [(bar.name, f"{bar.rows:,}", percent(bar.rows, sum(bar.rows for bar in found))) for bar in found]
    limit = inspection.settings["data"]["max_length_ratio"]
    unit = f"target characters for each source character{_TAGGED if inspection.tagged else ''}"
    note = f"Ratios above {limit:g} and below {1 / limit:.2g} were left out (data.max_length_ratio)."
    figure = element(
        "figure",
        element("figcaption", unit),
        bar_picture(found, label=f"Histogram of the {unit}", unit=unit, series=2),
        folded("Numbers", table(("ratio", "pairs", "share"), rows, numbers=(0, 1, 2), caption=unit)),
    )
    return join([element("p", note), element("div", figure, class_="pictures")])


def ratio_bars(inspection: Inspection) -> list[Bar]:
    """Return the pairs by ratio, from the smallest that occurs to the largest; eight bars on, it is twice as large."""
    counts = inspection.statistics.train.ratios
    found = np.flatnonzero(counts).tolist() or [0]
    return [Bar(f"{ratio_of_bin(place):.2f}", int(counts[place])) for place in range(found[0], found[-1] + 1)]


def vocabulary(inspection: Inspection) -> Html:
    """Draw what the vocabularies are worth."""
    parts = [_vocabulary_tables(inspection.vocabularies)]
    if curves := [side.vocabulary for side in inspection.sides if side.vocabulary.occurs]:
        parts.append(element("div", _coverage_figure(curves), _rank_figure(curves), class_="pictures"))
    for one in inspection.vocabularies:
        for title, pieces in (("never occur", one.unused), (f"occur 1 to {RARE} times", one.rare(RARE))):
            if pieces:
                parts.append(folded(f"{one.name} vocabulary, pieces that {title}: {len(pieces):,}", _pieces(pieces)))
    return join(parts)


def _vocabulary_tables(vocabularies: Sequence[Vocabulary]) -> Html:
    head = ["vocabulary", "pieces", "in the text", "unknown", "never occur", f"occur 1 to {RARE} times"]
    rows, needed = [], []
    for one in vocabularies:
        sizes = [f"{number:,}" for number in (len(one), one.running)]
        rows.append([one.name, *sizes, percent(one.unknown_share), f"{len(one.unused):,}", f"{len(one.rare(RARE)):,}"])
        needed.append([one.name, *(_amount(one.needed(share)) for share in SHARES)])
    covering = ["vocabulary", *(f"{100 * share:g}%" for share in SHARES)]
    caption = "How many of the most frequent pieces cover this share of the text"
    return join(
        [
            table(head, rows, numbers=range(1, len(head)), caption="Pieces, on the training text"),
            table(covering, needed, numbers=range(1, len(covering)), caption=caption),
        ]
    )


def _coverage_figure(vocabularies: Sequence[Vocabulary]) -> Html:
    largest = max(len(one.coverage) for one in vocabularies)
    across = Axis("most frequent pieces", 1, largest, powers(1, largest), "{:,.0f}".format, log=True)
    up = Axis("", 0, 1, (0, 0.25, 0.5, 0.75, 1), "{:.0%}".format)
    curves = [
        Curve(one.name, [(rank + 1, float(one.coverage[rank])) for rank in _ranks(len(one.coverage))])
        for one in vocabularies
    ]
    label = "Share of the running pieces that the most frequent pieces cover"
    return _curve_figure(curves, across, up, label, "{:.2%}".format)


def _rank_figure(vocabularies: Sequence[Vocabulary]) -> Html:
    frequencies = [one.counts[one.by_frequency] for one in vocabularies]
    seen = [counts[counts > 0] for counts in frequencies]
    largest, most = max(map(len, seen)), max(int(counts[0]) for counts in seen)
    across = Axis("rank of the piece", 1, largest, powers(1, largest), "{:,.0f}".format, log=True)
    up = Axis("", 1, most, powers(1, most), "{:,.0f}".format, log=True)
    curves = [
        Curve(one.name, [(rank + 1, float(counts[rank])) for rank in _ranks(len(counts))])
        for one, counts in zip(vocabularies, seen, strict=True)
    ]
    return _curve_figure(curves, across, up, "How often the pieces occur, by rank", "{:,.0f}".format)


def _curve_figure(curves: Sequence[Curve], across: Axis, up: Axis, label: str, show: Callable[[float], str]) -> Html:
    rows = [(curve.name, f"{x:,.0f}", show(y)) for curve in curves for x, y in curve.points]
    return element(
        "figure",
        element("figcaption", label),
        legend(curve.name for curve in curves) if len(curves) > 1 else "",
        curve_picture(curves, across=across, up=up, label=label),
        folded("Numbers", table(("text", across.title, "value"), rows, numbers=(1, 2), caption=label)),
    )


def _ranks(size: int) -> list[int]:
    """Choose ranks, counted from 0, that lie evenly on a logarithmic axis."""
    ranks = np.unique(np.geomspace(1, size, _POINTS).round().astype(int)) - 1
    return [int(rank) for rank in ranks]


def _amount(number: int | None) -> str:
    return "not reached" if number is None else f"{number:,}"


def _pieces(pieces: Sequence[str]) -> Html:
    shown = [element("span", piece, dir="auto") for piece in pieces[:_LISTED]]
    more = f"and {len(pieces) - _LISTED:,} more" if len(pieces) > _LISTED else ""
    return element("p", *shown, more, class_="pieces")
