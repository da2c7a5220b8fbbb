"""An inspection as plain dictionaries, for programs."""

from typing import Any

from nmt.inspection.amounts import describe
from nmt.inspection.gathering import Inspection, Side
from nmt.inspection.measures import RARE, SHARES, UNITS, lengths_of
from nmt.inspection.unknown import unknown_characters
from nmt.inspection.vocabulary import Vocabulary
from nmt.prepared.lengths import Lengths, ratio_of_bin
from nmt.prepared.statistics import ColumnStatistics

_CHARACTERS = 1000
_QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


def to_tree(inspection: Inspection) -> dict[str, Any]:
    """Return what the page shows, for JSON."""
    ratios = inspection.statistics.train.ratios.tolist()
    return {
        "folder": str(inspection.folder),
        "counts": inspection.manifest.counts.model_dump(mode="json"),
        "inputs": [record.model_dump(mode="json") for record in inspection.manifest.inputs],
        "sides": {side.name: _side(side) for side in inspection.sides},
        "ratios": {f"{ratio_of_bin(place):.4f}": rows for place, rows in enumerate(ratios) if rows},
        "vocabularies": {one.name: _vocabulary(one) for one in inspection.vocabularies},
        "examples": {
            reason: [{"file": one.file, "line": one.line, "texts": list(one.texts)} for one in examples]
            for reason, examples in inspection.statistics.rejected.items()
        },
        "settings": inspection.settings,
    }


def _side(side: Side) -> dict[str, Any]:
    return {
        "lengths": {unit: _lengths(lengths_of(side, unit)) for unit in UNITS},
        "unknown": {
            "training": _unknown(side.train),
            "validation": {name: _unknown(column) for name, column in side.valid.items()},
            "characters": [
                {
                    "character": one.character,
                    "name": describe(one.character).name,
                    "training": one.train,
                    "validation": one.valid,
                }
                for one in unknown_characters(side, most=_CHARACTERS)
            ],
        },
    }


def _lengths(one: Lengths) -> dict[str, Any]:
    quantiles = {f"{share:g}": one.quantile(share) for share in _QUANTILES}
    return {"mean": one.mean, "quantiles": quantiles, **one.to_tree()}


def _unknown(column: ColumnStatistics) -> dict[str, int]:
    return {
        "pieces": column.pieces.total,
        "unknown": column.unknown,
        "sentences": column.pieces.rows,
        "sentences_with_unknown": column.unknown_rows,
    }


def _vocabulary(one: Vocabulary) -> dict[str, Any]:
    return {
        "size": len(one),
        "running_pieces": one.running,
        "unknown_share": one.unknown_share,
        "pieces_to_cover": {f"{share:g}": one.needed(share) for share in SHARES},
        "unused": len(one.unused),
        f"at_most_{RARE}_times": len(one.rare(RARE)),
    }
