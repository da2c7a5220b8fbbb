"""What there is to say about a folder of prepared data: what the page, the terminal and programs are shown."""

import unicodedata
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nmt.config import Settings
from nmt.config.load import setting_names
from nmt.errors import DataError
from nmt.io.files import read_regular
from nmt.prepared.manifest import (
    SRC,
    TEXT,
    TGT,
    Counts,
    Manifest,
    ValidationCount,
    check_files,
    prepared_sections,
    read_manifest,
)
from nmt.prepared.statistics import (
    LONGEST,
    STATISTICS,
    ColumnStatistics,
    Lengths,
    RejectedExample,
    Statistics,
    ratio_of_bin,
    read_statistics,
)
from nmt.prepared.store import prepared_settings
from nmt.text.tokenizer import JOINT_MODEL
from nmt.text.vocab import BOS, EOS, PAD, UNK

UNITS: Final = ("pieces", "words", "characters")
QUANTILES: Final = {"50%": 0.5, "95%": 0.95, "99%": 0.99}
SHARES: Final = {"50%": 0.5, "80%": 0.8, "90%": 0.9, "95%": 0.95, "99%": 0.99, "99.9%": 0.999}
RARE: Final = 5
"""Pieces that occur at most so often are called rare."""
CORPUS: Final = ("corpus", "read", "left out", "held out", "trained on", "weight", "of an epoch", "tag")
"""The columns of `corpus_rows`."""

_BINNED: Final = 0.999
"""Share of the rows that the bins of equal width reach to; what is longer shares one bin."""
_KINDS: Final = {"Cc": "control character", "Co": "private use", "Cn": "unassigned", "Cs": "half of a surrogate pair"}
_REPLACEMENT: Final = 0xFFFD
# Neither HTML nor a terminal can have control characters; Unicode has pictures of the first ones.
_PICTURES: Final = (
    {code: 0x2400 + code for code in range(0x20)}
    | {0x7F: 0x2421}
    | dict.fromkeys(range(0x80, 0xA0), _REPLACEMENT)
    | dict.fromkeys(range(0xD800, 0xE000), _REPLACEMENT)
)
_SPECIALS: Final = (PAD, UNK, BOS, EOS)


@dataclass(frozen=True)
class Vocabulary:
    """Pieces, and how often each one occurs in the training text."""

    name: str
    """Whose it is: "source", "target", "joint" or "text"."""
    pieces: tuple[str, ...]
    counts: NDArray[np.int64]
    """By the ids of the pieces, [V]."""

    def __len__(self) -> int:
        return len(self.pieces)

    @property
    def running(self) -> int:
        """How many pieces the text has, unknown ones included."""
        return int(self.counts.sum() - self.counts[EOS])

    @property
    def unknown_share(self) -> float:
        """Which share of them is `<unk>`."""
        return int(self.counts[UNK]) / max(self.running, 1)

    @cached_property
    def by_frequency(self) -> NDArray[np.int64]:
        """The ids of the pieces without the special ones, the most frequent first; ties go to the lower id."""
        ids = np.setdiff1d(np.arange(len(self)), _SPECIALS)
        return ids[np.argsort(-self.counts[ids], kind="stable")]

    @cached_property
    def coverage(self) -> NDArray[np.float64]:
        """Which share of the running pieces the k + 1 most frequent ones cover, by k, [V - 4]."""
        return np.cumsum(self.counts[self.by_frequency]) / max(self.running, 1)

    def needed(self, share: float) -> int | None:
        """Return how many of the most frequent pieces cover this share; None: all of them do not."""
        place = int(np.searchsorted(self.coverage, share - 1e-12))
        return place + 1 if place < len(self.coverage) else None

    def occurring(self, least: int, most: int) -> list[str]:
        """List the pieces that occur `least` to `most` times, without the special ones, in the order of their ids."""
        found = np.flatnonzero((self.counts >= least) & (self.counts <= most))
        return [self.pieces[index] for index in found.tolist() if index not in _SPECIALS]


@dataclass(frozen=True)
class Side:
    """Source or target of the records, or their one text."""

    name: str
    """What people call it: "source", "target" or "text"."""
    train: ColumnStatistics
    valid: dict[str, ColumnStatistics]
    """By the names of the validation sets."""
    vocabulary: Vocabulary

    def lengths(self, unit: str) -> Lengths:
        """Return the histogram of the training text in "pieces", "words" or "characters"."""
        return {"pieces": self.train.pieces, "words": self.train.words, "characters": self.train.characters}[unit]

    @property
    def sets(self) -> dict[str, ColumnStatistics]:
        """The training text and the validation sets, by what they are called."""
        return {"training": self.train} | {f"validation: {name}": column for name, column in self.valid.items()}


@dataclass(frozen=True)
class Inspection:
    """What a folder of prepared data holds, where it came from, and what was left out."""

    folder: Path
    manifest: Manifest
    """Settings that were not recorded are as before they could be set."""
    statistics: Statistics
    sides: tuple[Side, ...]
    """Source and target, or one text."""

    @property
    def noun(self) -> str:
        """What the records are called."""
        return "pairs" if self.pairs else "lines"

    @property
    def pairs(self) -> Counts | None:
        """The counts of pairs; None: it is plain text."""
        return self.manifest.counts if isinstance(self.manifest.counts, Counts) else None

    @property
    def validation(self) -> tuple[ValidationCount, ...]:
        """The counts of the validation sets."""
        counts = self.manifest.counts
        if isinstance(counts, Counts):
            return counts.validation
        names, left, dropped = self.statistics.valid, counts.valid, counts.valid_dropped
        return tuple(ValidationCount(name=name, pairs=left, dropped=dropped) for name in names)

    @property
    def vocabularies(self) -> tuple[Vocabulary, ...]:
        """The vocabulary that the languages share, or that of each side."""
        found = tuple(side.vocabulary for side in self.sides)
        if len(found) > 1 and JOINT_MODEL in self.manifest.files:
            return (Vocabulary("joint", found[0].pieces, found[0].counts + found[1].counts),)
        return found

    @property
    def settings(self) -> dict[str, Any]:
        """The sections `data` and `tokenizer`, by names such as "data.src_lang"."""
        return _by_name(self.manifest.settings)

    @property
    def changed_settings(self) -> dict[str, Any]:
        """Those that are not the defaults."""
        usual = _by_name(prepared_sections(Settings()))
        return {name: value for name, value in self.settings.items() if name not in usual or value != usual[name]}


def _by_name(sections: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {f"{section}.{key}": value for section, values in sections.items() for key, value in values.items()}


def inspect(folder: Path) -> Inspection:
    """Read what `nmt prepare` noted in a folder, neither its text nor its ids; a DataError if it is damaged."""
    manifest = read_manifest(folder)
    check_files(folder, manifest)
    manifest = _with_all_settings(folder, manifest)
    columns, names = ((SRC, TGT), ("source", "target")) if isinstance(manifest.counts, Counts) else ((TEXT,), ("text",))
    statistics = read_statistics(folder)
    expected = [column.ids for column in columns]
    for one in (statistics.train, *statistics.valid.values()):
        if list(one.columns) != expected:
            found = f"it has columns {list(one.columns)}, expected {expected}"
            raise DataError(f"{folder / STATISTICS} is damaged: {found}")
    sides = tuple(
        Side(
            name=name,
            train=statistics.train.columns[column.ids],
            valid={key: valid.columns[column.ids] for key, valid in statistics.valid.items()},
            vocabulary=read_vocabulary(folder / column.vocabulary, name),
        )
        for column, name in zip(columns, names, strict=True)
    )
    if JOINT_MODEL in manifest.files and len(sides) > 1 and sides[0].vocabulary.pieces != sides[1].vocabulary.pieces:
        files = " and ".join(str(folder / column.vocabulary) for column in columns)
        raise DataError(f"{files} list other pieces, expected those of one joint vocabulary")
    inspection = Inspection(folder, manifest, statistics, sides)
    sets = [one.name for one in inspection.validation]
    if not statistics.valid.keys() >= set(sets):
        raise DataError(f"{folder / STATISTICS} is damaged: it has sets {list(statistics.valid)}, expected {sets}")
    return inspection


def _with_all_settings(folder: Path, manifest: Manifest) -> Manifest:
    """Complete the settings with those that were not recorded; those of a newer version stay as they are."""
    names, known = setting_names(), dict[str, dict[str, Any]]()
    for section, values in manifest.settings.items():
        known[section] = {key: value for key, value in values.items() if f"{section}.{key}" in names}
    found = prepared_sections(prepared_settings(folder, manifest.model_copy(update={"settings": known})))
    settings = {section: {**manifest.settings.get(section, {}), **values} for section, values in found.items()}
    return manifest.model_copy(update={"settings": settings})


def read_vocabulary(path: Path, name: str) -> Vocabulary:
    """Read a vocabulary file of prepared data; a DataError if it cannot be read or is damaged."""
    try:
        lines = read_regular(path).decode("utf-8").removesuffix("\n").split("\n")
        rows = [line.rpartition("\t") for line in lines]
        return Vocabulary(name, tuple(piece for piece, _, _ in rows), np.array([int(count) for *_, count in rows]))
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"{path} is damaged: expected a piece, a tab and a count in every line") from error


def percent(part: float, whole: float = 1.0) -> str:
    """Say which share of a whole a part is: "12.3%", "0.04%", "< 0.01%"."""
    share = part / whole if whole else 0.0
    if 0 < share < 0.0001:
        return "< 0.01%"
    return f"{share:.1%}" if share >= 0.1 else f"{share:.2%}"


def visible(text: str) -> str:
    """Return a text with something to look at for each control character and each half of a surrogate pair."""
    return text.translate(_PICTURES)


class UnknownCharacter(NamedTuple):
    """A character that the vocabulary cannot write."""

    character: str
    train: int
    """How often it is in the training text."""
    valid: int
    """How often it is in the validation sets, all together."""

    @property
    def shown(self) -> str:
        """What to look at: a mark that belongs on another character is on a circle; nothing of what cannot be seen."""
        kind = unicodedata.category(self.character)[0]
        return {"M": "\u25cc" + self.character, "C": "", "Z": ""}.get(kind, self.character)

    @property
    def code(self) -> str:
        """As U+0041."""
        return f"U+{ord(self.character):04X}"

    @property
    def name(self) -> str:
        """What Unicode calls it."""
        return unicodedata.name(self.character, _KINDS.get(unicodedata.category(self.character), "no name"))


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
        "repetition": "one side alone says something more times in a row than "
        f"data.max_repeats = {data.get('max_repeats', 0)}",
        "symbols": "more digits, punctuation and symbols among its characters than "
        f"data.max_symbol_share = {data['max_symbol_share']:.0%}",
        "script": "fewer letters of the script of its language than "
        f"data.min_script_share = {data['min_script_share']:.0%} ({languages})",
        "language": f"it looks like another language (data.identify_languages; {languages})",
        "overlap": "it is in the validation or test text "
        f"(data.drop_overlap = {', '.join(data['drop_overlap']) or 'none'})",
        "duplicate": "it came before (data.drop_duplicates)",
        "too_many_pieces": f"more pieces than data.max_pieces = {data['max_pieces']:,}",
    }
    return sentences.get(reason, "unknown to this version of nmt")
