"""What is written of an inspection: JSON, and the page, one HTML file without scripts that needs nothing else.

How the page looks is in page.html.j2.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from pydantic import TypeAdapter

from nmt.errors import counted
from nmt.prepared.statistics import EXAMPLES, ColumnStatistics, Lengths, ratio_of_bin
from nmt.report import inspection
from nmt.report.inspection import RARE, SHARES, UNITS, Bar, Inspection, Side, Vocabulary, unknown_characters

_POINTS: Final = 80
_QUANTILES: Final = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_LENGTHS: Final = TypeAdapter(Lengths)


@dataclass(frozen=True)
class PlotAxis:
    """Which numbers a side of a plot shows."""

    title: str
    low: float
    high: float
    ticks: Sequence[float]
    spec: str = ",.0f"
    """How they are written."""
    log: bool = False

    def place(self, value: float) -> float:
        """Return how far along the axis a value is: 0 to 1."""
        low, high, value = (math.log(one) if self.log else one for one in (self.low, self.high, value))
        return (value - low) / (high - low) if high > low else 0.0


@dataclass(frozen=True)
class Plot:
    """Curves over one pair of axes."""

    label: str
    across: PlotAxis
    up: PlotAxis
    curves: dict[str, list[tuple[float, float]]]
    """Points from left to right, by the names of the curves."""
    spec: str
    """How their heights are written."""


def to_page(inspected: Inspection) -> str:
    """Write the page, which shows the same wherever it is opened.

    All text of the corpus is escaped, and the page forbids browsers to load anything for it.
    """
    pages = Environment(
        loader=PackageLoader(__package__, ""),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: inspection.visible(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    pages.filters |= {"show": format, "json": lambda value: json.dumps(value, ensure_ascii=False)}
    vocabularies = [side.vocabulary for side in inspected.sides]
    curves = [one for one in vocabularies if one.counts[one.by_frequency].any()]
    return pages.get_template("page.html.j2").render(
        inspected=inspected,
        counts=inspected.manifest.counts,
        settings=inspected.manifest.settings,
        pairs=inspected.pairs,
        sides=inspected.sides,
        noun=inspected.noun,
        plots=[coverage_plot(curves), rank_plot(curves)] if curves else [],
        most_examples=EXAMPLES,
        length_columns=["in all", "mean", *(f"{name} have at most" for name in inspection.QUANTILES), "longest"],
        valid_columns=[
            inspected.noun,
            "left out: empty",
            *(f"{side.name}: {what}" for side in inspected.sides for what in ("pieces", "mean", "unknown")),
        ],
        inspection=inspection,
        percent=inspection.percent,
        counted=counted,
        count_axis=count_axis,
    )


def coverage_plot(vocabularies: Sequence[Vocabulary]) -> Plot:
    """Show which share of the text the most frequent pieces cover."""
    largest = max(len(one.coverage) for one in vocabularies)
    return Plot(
        "Share of the running pieces that the most frequent pieces cover",
        across=PlotAxis("most frequent pieces", 1, largest, powers(1, largest), log=True),
        up=PlotAxis("", 0, 1, (0, 0.25, 0.5, 0.75, 1), ".0%"),
        curves={one.name: _points(one.coverage.tolist()) for one in vocabularies},
        spec=".2%",
    )


def rank_plot(vocabularies: Sequence[Vocabulary]) -> Plot:
    """Show how often the pieces occur that do."""
    counts = {one.name: one.counts[one.by_frequency] for one in vocabularies}
    seen = {name: found[found > 0].tolist() for name, found in counts.items()}
    largest, most = max(map(len, seen.values())), max(found[0] for found in seen.values())
    return Plot(
        "How often the pieces occur, by rank",
        across=PlotAxis("rank of the piece", 1, largest, powers(1, largest), log=True),
        up=PlotAxis("", 1, most, powers(1, most), log=True),
        curves={name: _points(found) for name, found in seen.items()},
        spec=",.0f",
    )


def _points(heights: Sequence[float]) -> list[tuple[float, float]]:
    """Choose ranks, counted from 1, that lie evenly on a logarithmic axis, with what is there."""
    ranks = np.unique(np.geomspace(1, len(heights), _POINTS).round().astype(int)).tolist()
    return [(rank, heights[rank - 1]) for rank in ranks]


def count_axis(bars: Sequence[Bar]) -> PlotAxis:
    """Make an axis from 0 to the highest bar with three to six round numbers, where it is not tiny."""
    most = max((1, *(bar.rows for bar in bars)))
    rough = most / 4
    power = 10 ** math.floor(math.log10(rough)) if rough > 1 else 1
    step = next((factor * power for factor in (1, 2, 5) if factor * power >= rough), 10 * power)
    return PlotAxis("", 0, most, range(0, most + 1, step))


def powers(low: float, high: float) -> list[float]:
    """List the powers of ten from `low` to `high`, thinned out where there are many."""
    first, last = math.ceil(math.log10(low)), math.floor(math.log10(high))
    return [10.0**power for power in range(first, last + 1, max(1, (last - first) // 4))]


def inspection_tree(inspected: Inspection) -> dict[str, Any]:
    """Return what the page shows as plain dictionaries, for JSON."""
    ratios = inspected.statistics.train.ratios.tolist()
    return {
        "folder": str(inspected.folder),
        "counts": inspected.manifest.counts.model_dump(mode="json"),
        "inputs": [record.model_dump(mode="json") for record in inspected.manifest.inputs],
        "sides": {side.name: _side(side) for side in inspected.sides},
        "ratios": {f"{ratio_of_bin(place):.4f}": rows for place, rows in enumerate(ratios) if rows},
        "vocabularies": {
            one.name: {
                "size": len(one),
                "running_pieces": one.running,
                "unknown_share": one.unknown_share,
                "pieces_to_cover": {f"{share:g}": one.needed(share) for share in SHARES.values()},
                "unused": len(one.occurring(0, 0)),
                f"at_most_{RARE}_times": len(one.occurring(1, RARE)),
            }
            for one in inspected.vocabularies
        },
        "examples": {
            reason: [{"file": one.file, "line": one.line, "texts": list(one.texts)} for one in examples]
            for reason, examples in inspected.statistics.rejected.items()
        },
        "settings": inspected.manifest.settings,
    }


def _side(side: Side) -> dict[str, Any]:
    lengths = {}
    for unit in UNITS:
        one = side.lengths(unit)
        quantiles = {f"{share:g}": one.quantile(share) for share in _QUANTILES}
        lengths[unit] = {"mean": one.mean, "quantiles": quantiles, **_LENGTHS.dump_python(one)}
    characters = [
        {"character": one.character, "name": one.name, "training": one.train, "validation": one.valid}
        for one in unknown_characters(side, most=1000)
    ]
    validation = {name: _unknown(column) for name, column in side.valid.items()}
    unknown = {"training": _unknown(side.train), "validation": validation, "characters": characters}
    return {"lengths": lengths, "unknown": unknown}


def _unknown(column: ColumnStatistics) -> dict[str, int]:
    return {
        "pieces": column.pieces.total,
        "unknown": column.unknown,
        "sentences": column.pieces.rows,
        "sentences_with_unknown": column.unknown_rows,
    }
