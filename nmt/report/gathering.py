"""Everything that there is to say about a folder of prepared data."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

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
from nmt.prepared.statistics import STATISTICS, ColumnStatistics, Lengths, Statistics, read_statistics
from nmt.prepared.store import prepared_settings
from nmt.text.tokenizer import JOINT_MODEL
from nmt.text.vocab import BOS, EOS, PAD, UNK

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

    def with_counts_of(self, other: "Vocabulary", name: str) -> "Vocabulary":
        """Add the counts of another text that is cut into the same pieces."""
        return Vocabulary(name, self.pieces, self.counts + other.counts)

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
        order: NDArray[np.int64] = ids[np.argsort(-self.counts[ids], kind="stable")]
        return order

    @property
    def occurs(self) -> bool:
        """Whether the text has any piece but the special ones."""
        return bool(self.counts[self.by_frequency].any())

    @cached_property
    def coverage(self) -> NDArray[np.float64]:
        """Which share of the running pieces the k + 1 most frequent ones cover, by k, [V - 4]."""
        shares: NDArray[np.float64] = np.cumsum(self.counts[self.by_frequency]) / max(self.running, 1)
        return shares

    def needed(self, share: float) -> int | None:
        """Return how many of the most frequent pieces cover this share; None: all of them do not."""
        place = int(np.searchsorted(self.coverage, share - 1e-12))
        return place + 1 if place < len(self.coverage) else None

    @property
    def unused(self) -> list[str]:
        """The pieces that never occur, in the order of their ids."""
        return self._between(0, 0)

    def rare(self, most: int) -> list[str]:
        """List the pieces that occur, but at most so often, in the order of their ids."""
        return self._between(1, most)

    def _between(self, least: int, most: int) -> list[str]:
        found = np.flatnonzero((self.counts >= least) & (self.counts <= most))
        return [self.pieces[index] for index in found.tolist() if index not in _SPECIALS]


@dataclass(frozen=True)
class Side:
    """One of the texts of the records."""

    name: str
    """What people call it: "source", "target" or "text"."""
    train: ColumnStatistics
    valid: dict[str, ColumnStatistics]
    """By the names of the validation sets."""
    vocabulary: Vocabulary
    """How often each piece occurs in the training text of this side."""

    def lengths(self, unit: str) -> Lengths:
        """Return the histogram of the training text in "pieces", "words" or "characters"."""
        return {"pieces": self.train.pieces, "words": self.train.words, "characters": self.train.characters}[unit]

    @property
    def sets(self) -> dict[str, ColumnStatistics]:
        """The sets by what they are called: the training text first."""
        return {"training": self.train} | {f"validation: {name}": column for name, column in self.valid.items()}


@dataclass(frozen=True)
class Inspection:
    """What a folder of prepared data holds, where it came from, and what was left out."""

    folder: Path
    manifest: Manifest
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
        return tuple(
            ValidationCount(name=name, pairs=counts.valid, dropped=counts.valid_dropped)
            for name in self.statistics.valid
        )

    @property
    def tagged(self) -> bool:
        """Whether sources of the training text have tags before them, which are measured with them."""
        return self.pairs is not None and any(corpus.tag for corpus in self.pairs.corpora)

    @property
    def joint(self) -> bool:
        """Whether both languages share one vocabulary."""
        return len(self.sides) > 1 and JOINT_MODEL in self.manifest.files

    @property
    def vocabularies(self) -> tuple[Vocabulary, ...]:
        """The vocabulary that the languages share, or that of each side."""
        if self.joint:
            src, tgt = self.sides
            return (src.vocabulary.with_counts_of(tgt.vocabulary, "joint"),)
        return tuple(side.vocabulary for side in self.sides)

    @property
    def settings(self) -> dict[str, dict[str, Any]]:
        """The sections `data` and `tokenizer`; what was not recorded is as it was before there was a setting for it."""
        return self.manifest.settings

    @property
    def every_setting(self) -> dict[str, Any]:
        """The same, by names such as "data.src_lang"."""
        return {f"{section}.{key}": value for section, values in self.settings.items() for key, value in values.items()}

    @property
    def changed_settings(self) -> dict[str, Any]:
        """Those that are not the defaults."""
        usual = {
            f"{section}.{key}": value
            for section, values in prepared_sections(Settings()).items()
            for key, value in values.items()
        }
        return {name: value for name, value in self.every_setting.items() if name not in usual or value != usual[name]}


def inspect(folder: Path) -> Inspection:
    """Read what `nmt prepare` noted in a folder; neither its training text nor its ids are read.

    Raises:
        DataError: It is no prepared data folder, or it is incomplete, altered, or of another format version.
    """
    manifest = read_manifest(folder)
    check_files(folder, manifest)
    manifest = _with_all_settings(folder, manifest)
    columns, names = ((SRC, TGT), ("source", "target")) if isinstance(manifest.counts, Counts) else ((TEXT,), ("text",))
    statistics = read_statistics(folder)
    expected = [column.ids for column in columns]
    for one in (statistics.train, *statistics.valid.values()):
        if list(one.columns) != expected:
            raise DataError(
                f"{folder / STATISTICS} is damaged: it has columns {list(one.columns)}, expected {expected}"
            )
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
    names = setting_names()
    known = {
        section: {key: value for key, value in values.items() if f"{section}.{key}" in names}
        for section, values in manifest.settings.items()
    }
    found = prepared_sections(prepared_settings(folder, manifest.model_copy(update={"settings": known})))
    settings = {section: {**manifest.settings.get(section, {}), **values} for section, values in found.items()}
    return manifest.model_copy(update={"settings": settings})


def read_vocabulary(path: Path, name: str) -> Vocabulary:
    """Read a vocabulary file of prepared data.

    Raises:
        DataError: It cannot be read, or is damaged.
    """
    try:
        lines = read_regular(path).decode("utf-8").removesuffix("\n").split("\n")
        rows = [line.rpartition("\t") for line in lines]
        return Vocabulary(name, tuple(piece for piece, _, _ in rows), np.array([int(count) for *_, count in rows]))
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"{path} is damaged: expected a piece, a tab and a count in every line") from error
