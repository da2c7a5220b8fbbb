"""What there is to say about prepared data: the amounts that the page, the terminal and programs are shown."""

import unicodedata
from dataclasses import dataclass
from itertools import count
from typing import Any, Final

import numpy as np
from pydantic import TypeAdapter

from nmt.prepared.manifest import Counts
from nmt.prepared.statistics import LONGEST, ColumnStatistics, Lengths, RejectedExample, ratio_of_bin
from nmt.report.gathering import Inspection, Side, Vocabulary

UNITS: Final = ("pieces", "words", "characters")
QUANTILES: Final = {"50%": 0.5, "95%": 0.95, "99%": 0.99}
SHARES: Final = {"50%": 0.5, "80%": 0.8, "90%": 0.9, "95%": 0.95, "99%": 0.99, "99.9%": 0.999}
RARE: Final = 5
"""Pieces that occur at most so often are called rare."""
CORPUS: Final = ("corpus", "read", "left out", "held out", "trained on", "weight", "of a pass", "tag")
"""The columns of `corpus_rows`."""

_BINNED: Final = 0.999
"""Share of the rows that the bins of equal width reach to; what is longer shares one bin."""
_TREE_QUANTILES: Final = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_TREE_CHARACTERS: Final = 1000
_LENGTHS: Final = TypeAdapter(Lengths)
_KINDS: Final = {"Cc": "control character", "Co": "private use", "Cn": "unassigned", "Cs": "half of a surrogate pair"}
_DOTTED_CIRCLE: Final = "\u25cc"
_REPLACEMENT: Final = 0xFFFD
# Neither HTML nor a terminal can have control characters; Unicode has pictures of the first ones.
_PICTURES: Final = (
    {code: 0x2400 + code for code in range(0x20)}
    | {0x7F: 0x2421}
    | dict.fromkeys(range(0x80, 0xA0), _REPLACEMENT)
    | dict.fromkeys(range(0xD800, 0xE000), _REPLACEMENT)
)


def percent(part: float, whole: float = 1.0) -> str:
    """Say which share of a whole a part is: "12.3%", "0.04%", "< 0.01%"."""
    share = part / whole if whole else 0.0
    if 0 < share < 0.0001:
        return "< 0.01%"
    return f"{share:.1%}" if share >= 0.1 else f"{share:.2%}"


def visible(text: str) -> str:
    """Return a text with something to look at for each control character and each half of a surrogate pair."""
    return text.translate(_PICTURES)


@dataclass(frozen=True)
class Named:
    """A character, and what Unicode calls it."""

    shown: str
    """Something to look at: a mark that belongs on another character is on a circle; what cannot be seen is blank."""
    code: str
    """As U+0041."""
    name: str


def name_character(character: str) -> Named:
    """Say which character this is."""
    category = unicodedata.category(character)
    name = unicodedata.name(character, _KINDS.get(category, "no name"))
    shown = {"M": _DOTTED_CIRCLE + character, "C": "", "Z": ""}.get(category[0], character)
    return Named(shown, f"U+{ord(character):04X}", name)


@dataclass(frozen=True)
class UnknownCharacter:
    """A character that the vocabulary cannot write."""

    character: str
    train: int
    """How often it stands in the training text."""
    valid: int
    """How often it stands in the validation sets, all together."""


def unknown_characters(side: Side, *, most: int) -> list[UnknownCharacter]:
    """List the most frequent ones of a side: in training and validation together, then by their code."""
    train = side.train.unknown_characters
    valid = [column.unknown_characters for column in side.valid.values()]
    found = [
        UnknownCharacter(one, train[one], sum(counts[one] for counts in valid)) for one in set(train).union(*valid)
    ]
    return sorted(found, key=lambda one: (-one.train - one.valid, one.character))[:most]


@dataclass(frozen=True)
class Bar:
    """One bar of a histogram."""

    name: str
    """What it counts: "10-14", say."""
    rows: int
    tail: bool = False
    """Whether it holds everything that is longer than the other bars do, and may be much wider."""


def length_bars(lengths: Lengths, *, most: int) -> list[Bar]:
    """Put a histogram into at most `most` bars, of 1, 2, 5, 10, 20, 50 ... lengths each, and one more for the tail."""
    if not lengths.rows:
        return []
    reach = min(lengths.quantile(_BINNED), LONGEST - 1)
    widths = (factor * 10**power for power in count() for factor in (1, 2, 5))
    width = next(width for width in widths if reach // width < most)
    end = min((reach // width + 1) * width, LONGEST)
    bars = []
    for first in range(0, end, width):
        last = min(first + width, end) - 1
        bars.append(Bar(_range(first, last), int(lengths.counts[first : last + 1].sum())))
    rest = int(lengths.counts[end:].sum())
    return [*bars, Bar(_range(end, lengths.largest), rest, tail=True)] if rest else bars


def _range(first: int, last: int) -> str:
    return f"{first:,}" if first == last else f"{first:,}\N{EN DASH}{last:,}"


def ratio_bars(inspection: Inspection) -> list[Bar]:
    """Return the pairs by ratio, from the smallest that occurs to the largest; eight bars on, it is twice as large."""
    counts = inspection.statistics.train.ratios
    found = np.flatnonzero(counts).tolist() or [0]
    return [Bar(f"{ratio_of_bin(place):.2f}", int(counts[place])) for place in range(found[0], found[-1] + 1)]


def corpus_rows(pairs: Counts) -> list[tuple[str, ...]]:
    """List what there is to say about each corpus, in the columns of `CORPUS`."""
    seen = sum(corpus.weight * corpus.train for corpus in pairs.corpora)
    return [
        (
            corpus.name,
            f"{corpus.read:,}",
            f"{sum(corpus.rejected.values()):,}",
            f"{corpus.heldout:,}",
            f"{corpus.train:,}",
            f"{corpus.weight:g}",
            percent(corpus.weight * corpus.train, seen),
            corpus.tag or "",
        )
        for corpus in pairs.corpora
    ]


def cut_texts(example: RejectedExample) -> list[str]:
    """Return the texts of an example, with a word about what is missing at their ends."""
    return [
        text if len(text) == length else f"{text} \N{HORIZONTAL ELLIPSIS} ({length:,} characters)"
        for text, length in zip(example.texts, example.lengths, strict=True)
    ]


def explain(reason: str, data: dict[str, Any]) -> str:
    """Say what is wrong with what was rejected for a reason, and which of the settings [data] says so."""
    languages = f"data.src_lang = {data.get('src_lang', 'unknown')}, data.tgt_lang = {data.get('tgt_lang', 'unknown')}"
    sentences: dict[str, str] = {
        "broken": "no record of the form that its file should have (data.on_bad_record)",
        "empty": "nothing but white space",
        "too_long": f"more characters than data.max_characters = {data['max_characters']:,}",
        "length_ratio": f"one side has more than data.max_length_ratio = {data['max_length_ratio']:g} "
        "times the characters of the other",
        "copy": "the target is the source (data.drop_copies)",
        "symbols": "more digits, punctuation and symbols among its characters than "
        f"data.max_symbol_share = {data['max_symbol_share']:.0%}",
        "script": "fewer letters of the script of its language than "
        f"data.min_script_share = {data['min_script_share']:.0%} ({languages})",
        "language": f"it looks like another language (data.identify_languages; {languages})",
        "overlap": "it stands in the validation or test text "
        f"(data.drop_overlap = {', '.join(data['drop_overlap']) or 'none'})",
        "duplicate": "it came before (data.drop_duplicates)",
        "too_many_pieces": f"more pieces than data.max_pieces = {data['max_pieces']:,}",
    }
    return sentences.get(reason, "unknown to this version of nmt")


def inspection_tree(inspection: Inspection) -> dict[str, Any]:
    """Return what the page shows as plain dictionaries, for JSON."""
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
        "lengths": {unit: _lengths(side.lengths(unit)) for unit in UNITS},
        "unknown": {
            "training": _unknown(side.train),
            "validation": {name: _unknown(column) for name, column in side.valid.items()},
            "characters": [
                {
                    "character": one.character,
                    "name": name_character(one.character).name,
                    "training": one.train,
                    "validation": one.valid,
                }
                for one in unknown_characters(side, most=_TREE_CHARACTERS)
            ],
        },
    }


def _lengths(one: Lengths) -> dict[str, Any]:
    quantiles = {f"{share:g}": one.quantile(share) for share in _TREE_QUANTILES}
    return {"mean": one.mean, "quantiles": quantiles, **_LENGTHS.dump_python(one)}


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
        "pieces_to_cover": {f"{share:g}": one.needed(share) for share in SHARES.values()},
        "unused": len(one.unused),
        f"at_most_{RARE}_times": len(one.rare(RARE)),
    }
