"""What prepared text is like: lengths, unknown pieces, examples of what was rejected; for `nmt inspect`.

A `Statistics` is made for each block of records, in whatever process has it, and they are merged. Everything in it is a
sum, a largest number or the smallest of hashes, so that the result does not depend on how the records were grouped. Its
size does not depend on their number: 100 KiB for each column of each set, and an entry for each unknown character.
"""

import json
from bisect import insort
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from hashlib import blake2b
from itertools import chain, repeat
from pathlib import Path
from typing import Annotated, Any, Final, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import PlainSerializer, PlainValidator, TypeAdapter, ValidationError

from nmt.config.load import describe_misfit
from nmt.corpus.cleaning import REASONS, Reason
from nmt.errors import DataError
from nmt.io.files import read_json, write_text
from nmt.io.lines import Line, Pair
from nmt.text.sequences import FlatSequences
from nmt.text.tokenizer import Tokenizer
from nmt.text.vocab import EOS, UNK, readable


class PieceCounts:
    """How often each piece of a vocabulary occurs; `</s>` counts once for every row."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._pieces = tokenizer.pieces
        self._counts = np.zeros(len(tokenizer), dtype=np.int64)
        self.vocabulary = len(self._pieces)
        """How many pieces there are to choose from."""
        self.total = 0
        """How many occur, `</s>` left aside."""

    def add(self, ids: FlatSequences) -> None:
        """Count the pieces of some rows, which lie end to end and are all that there is."""
        self.total += len(ids.values)
        self._counts += np.bincount(ids.values, minlength=len(self._counts))
        self._counts[EOS] += len(ids)

    @property
    def unknown(self) -> int:
        """How many of them are `<unk>`."""
        return int(self._counts[UNK])

    def lines(self) -> Iterator[str]:
        """Write one line for each id: the piece as `readable` has it, a tab, its count."""
        for piece, count in zip(self._pieces, self._counts, strict=True):
            yield f"{readable(piece)}\t{count}\n"


def count_pieces(tokenizers: Mapping[str, Tokenizer], ids: Mapping[str, FlatSequences]) -> dict[str, PieceCounts]:
    """Count the pieces of each column."""
    counts = {name: PieceCounts(tokenizer) for name, tokenizer in tokenizers.items()}
    for name, rows in ids.items():
        counts[name].add(rows)
    return counts


Integers = NDArray[np.integer[Any]]

LONGEST: Final = 4000
"""Lengths from here on share the last bin of a histogram."""

_STEPS: Final = 8
"""Bins of a ratio for each factor of two."""
_REACH: Final = 6
"""Ratios beyond 2 to this power, or its inverse, share the outermost bins."""
RATIO_BINS: Final = 2 * _REACH * _STEPS + 1


def to_counts(counts: object, *, size: int) -> NDArray[np.int64]:
    """Turn a list of at most `size` counts into an array, with zeros after them."""
    if not (
        isinstance(counts, list)
        and len(counts) <= size
        and all(type(one) is int and 0 <= one < 2**63 for one in counts)
    ):
        raise ValueError(f"expected a list of counts, at most {size:,}")
    whole = np.zeros(size, dtype=np.int64)
    whole[: len(counts)] = counts
    return whole


LengthCounts = Annotated[
    NDArray[np.int64],
    PlainValidator(partial(to_counts, size=LONGEST + 1)),
    PlainSerializer(lambda counts: np.trim_zeros(counts, "b").tolist()),
]
"""How the counts of a histogram are stored: as a list without the zeros at its end."""
RatioCounts = Annotated[
    NDArray[np.int64],
    PlainValidator(partial(to_counts, size=RATIO_BINS)),
    PlainSerializer(lambda counts: counts.tolist()),
]


@dataclass
class Lengths:
    """How often each length occurs, in 32 KiB however many there are."""

    counts: LengthCounts
    """Rows of each length; the last place is for `LONGEST` and more, [LONGEST + 1]."""
    total: int
    """The sum of all lengths, exact."""
    largest: int
    """The largest length, exact."""

    @classmethod
    def empty(cls) -> Self:
        """Count nothing yet."""
        return cls(np.zeros(LONGEST + 1, dtype=np.int64), total=0, largest=0)

    def add(self, lengths: Integers) -> None:
        """Count more lengths."""
        self.counts += np.bincount(np.minimum(lengths, LONGEST), minlength=LONGEST + 1)
        self.total += int(lengths.sum(dtype=np.int64))
        self.largest = max(self.largest, int(lengths.max(initial=0)))

    def merge(self, other: "Lengths") -> None:
        """Count what another histogram has counted."""
        self.counts += other.counts
        self.total += other.total
        self.largest = max(self.largest, other.largest)

    @property
    def rows(self) -> int:
        """How many lengths there are."""
        return int(self.counts.sum())

    @property
    def mean(self) -> float:
        """The mean length; 0 of nothing."""
        return self.total / max(self.rows, 1)

    def quantile(self, share: float) -> int:
        """Return the smallest length that at least this share of the rows do not exceed; 0 of nothing.

        A length in the last bin is given as the largest one.
        """
        running = np.cumsum(self.counts)
        place = int(np.searchsorted(running, max(share * int(running[-1]), 1)))
        return min(place, self.largest) if place < LONGEST else self.largest


def count_ratios(src: Integers, tgt: Integers) -> NDArray[np.int64]:
    """Count pairs by the ratio of target to source length, [RATIO_BINS]; rows with a length of 0 are left out.

    Bin i holds ratios around `ratio_of_bin(i)`; equal lengths are in the middle of the middle bin.
    """
    real = (src > 0) & (tgt > 0)
    edges = np.exp2((np.arange(RATIO_BINS - 1) - (RATIO_BINS - 2) / 2) / _STEPS)
    counts: NDArray[np.int64] = np.bincount(np.searchsorted(edges, tgt[real] / src[real]), minlength=RATIO_BINS)
    return counts


def ratio_of_bin(index: int) -> float:
    """Return the ratio at the middle of a bin."""
    return float(2.0 ** ((index - RATIO_BINS // 2) / _STEPS))


STATISTICS: Final = "statistics.json"

EXAMPLES: Final = 20
"""Rejected records that are kept for each reason."""
EXCERPT: Final = 300
"""Characters of a rejected text that are kept."""

_VERSION: Final = 1

Texts = Mapping[str, Sequence[str]]
"""Columns of texts by their names: as many in each."""
Columns = Mapping[str, FlatSequences]
"""The ids of these texts."""


@dataclass(frozen=True, order=True)
class RejectedExample:
    """A rejected record; those with the smallest keys are kept."""

    key: int
    """A hash of where the record stands: to choose by it is to choose at random."""
    file: str
    line: int
    texts: tuple[str, ...]
    """Its texts, cut at `EXCERPT` characters."""
    lengths: tuple[int, ...]
    """How many characters they have."""


Rejected = Annotated[
    dict[Reason, list[RejectedExample]],
    PlainSerializer(lambda rejected: {one: list(map(asdict, rejected[one])) for one in REASONS if one in rejected}),
]
Characters = Annotated[
    Counter[str], PlainSerializer(lambda counts: dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))))
]
"""Stored by how frequent they are."""


@dataclass
class ColumnStatistics:
    """What one side of a set of records is like."""

    pieces: Lengths
    characters: Lengths
    words: Lengths
    """Words end at spaces: every text has one more of them than it has spaces."""
    unknown: int
    """Pieces that are `<unk>`."""
    unknown_rows: int
    """Texts with such a piece."""
    unknown_characters: Characters
    """The characters within them; nothing where pieces are whole words, of which there is no end."""

    @classmethod
    def empty(cls) -> Self:
        """Count nothing yet."""
        return cls(Lengths.empty(), Lengths.empty(), Lengths.empty(), 0, 0, Counter())

    def add(self, texts: Sequence[str], ids: FlatSequences, tokenizer: Tokenizer) -> NDArray[np.int64]:
        """Count more rows; return their lengths in characters."""
        size = len(texts)
        characters = np.fromiter(map(len, texts), dtype=np.int64, count=size)
        self.characters.add(characters)
        self.words.add(1 + np.fromiter(map(str.count, texts, repeat(" ")), dtype=np.int64, count=size))
        self.pieces.add(ids.lengths)
        places = np.flatnonzero(ids.values == UNK)  # rows may lie anywhere among the values
        unknown = np.searchsorted(places, ids.starts + ids.lengths) - np.searchsorted(places, ids.starts)
        self.unknown += int(unknown.sum())
        rows = np.flatnonzero(unknown)
        self.unknown_rows += len(rows)
        if tokenizer.kind != "word":
            for row in rows.tolist():
                pieces = zip(tokenizer.split(texts[row]), ids.row(row), strict=True)
                self.unknown_characters.update("".join(piece for piece, index in pieces if index == UNK))
        return characters

    def merge(self, other: "ColumnStatistics") -> None:
        """Add what was counted elsewhere."""
        self.pieces.merge(other.pieces)
        self.characters.merge(other.characters)
        self.words.merge(other.words)
        self.unknown += other.unknown
        self.unknown_rows += other.unknown_rows
        self.unknown_characters.update(other.unknown_characters)


@dataclass
class SetStatistics:
    """What a set of records is like: the training records, or those of a validation set."""

    columns: dict[str, ColumnStatistics]
    ratios: RatioCounts
    """Pairs by the ratio of their characters, target to source; zeros where there is one column."""

    @classmethod
    def empty(cls, columns: Sequence[str]) -> Self:
        """Count nothing yet."""
        return cls({name: ColumnStatistics.empty() for name in columns}, np.zeros(RATIO_BINS, dtype=np.int64))

    def add(self, texts: Texts, ids: Columns, tokenizers: Mapping[str, Tokenizer]) -> None:
        """Count more records: half a microsecond for each text, and as long as its encoding if it has an `<unk>`.

        `texts` are those that were encoded, with their placeholders and tags.
        """
        lengths = [column.add(texts[name], ids[name], tokenizers[name]) for name, column in self.columns.items()]
        if len(lengths) > 1:
            self.ratios += count_ratios(*lengths)

    def merge(self, other: "SetStatistics") -> None:
        """Add what was counted elsewhere."""
        for name, column in self.columns.items():
            column.merge(other.columns[name])
        self.ratios += other.ratios


@dataclass
class Statistics:
    """What `nmt prepare` notes of the records that go through it."""

    train: SetStatistics
    valid: dict[str, SetStatistics]
    """By the names of the validation sets."""
    rejected: Rejected
    """Examples for each reason, at most `EXAMPLES`, by their keys; read from a file, in the order of `REASONS`."""

    def __post_init__(self) -> None:
        texts = len(self.train.columns)
        for example in chain.from_iterable(self.rejected.values()):
            if not len(example.texts) == len(example.lengths) == texts:
                found = f"{len(example.texts)} texts and {len(example.lengths)} lengths"
                raise ValueError(f"an example has {found}, expected {texts}")

    @classmethod
    def empty(cls, columns: Sequence[str]) -> "Statistics":
        """Make one of no records, whose texts are called so: the names of the id columns."""
        return cls(SetStatistics.empty(columns), valid={}, rejected={})

    def reject(self, record: Pair | Line, reason: Reason, *, seed: int) -> None:
        """Consider a rejected training record as an example; about a microsecond."""
        key = int.from_bytes(blake2b(f"{seed} {record.line} {record.file}".encode(), digest_size=8).digest())
        examples = self.rejected.setdefault(reason, [])
        if len(examples) < EXAMPLES or key <= examples[-1].key:
            texts = (record.src, record.tgt) if isinstance(record, Pair) else (record.text,)
            cut, lengths = tuple(text[:EXCERPT] for text in texts), tuple(map(len, texts))
            insort(examples, RejectedExample(key, record.file, record.line, cut, lengths))
            del examples[EXAMPLES:]

    def valid_set(self, name: str) -> SetStatistics:
        """Return what a validation set is like, to be added to."""
        return self.valid.setdefault(name, SetStatistics.empty(list(self.train.columns)))

    def merge(self, other: "Statistics") -> None:
        """Add what was counted elsewhere: the same as to count it here."""
        self.train.merge(other.train)
        for name, valid in other.valid.items():
            self.valid_set(name).merge(valid)
        for reason, examples in other.rejected.items():
            self.rejected[reason] = sorted(self.rejected.get(reason, []) + examples)[:EXAMPLES]

    def to_tree(self) -> dict[str, Any]:
        """Return what `from_tree` takes, made of what JSON has."""
        return {"version": _VERSION, **_STATISTICS.dump_python(self)}

    @classmethod
    def from_tree(cls, tree: dict[str, Any]) -> "Statistics":
        """Make it again; a ValidationError says that the tree is not one of `to_tree`."""
        return _STATISTICS.validate_python(tree)


_STATISTICS: Final = TypeAdapter(Statistics)


def write_statistics(folder: Path, statistics: Statistics) -> None:
    """Write statistics.json."""
    write_text(folder / STATISTICS, json.dumps(statistics.to_tree(), ensure_ascii=False) + "\n")


def read_statistics(folder: Path) -> Statistics:
    """Read statistics.json; a DataError says that it is missing, damaged, or of another version."""
    path = folder / STATISTICS
    try:
        tree = read_json(path, DataError)
    except FileNotFoundError as error:
        raise DataError(f"{folder} is incomplete: {STATISTICS} is missing; prepare it again with --force") from error
    version = tree.get("version") if isinstance(tree, dict) else None
    if version != _VERSION:
        raise DataError(f"{path} has version {version}, but this version of nmt reads {_VERSION}")
    try:
        return Statistics.from_tree(tree)
    except ValidationError as error:
        raise DataError(f"{path} is damaged: {describe_misfit(error)}; prepare it again with --force") from error
