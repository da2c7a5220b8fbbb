"""Everything that there is to say about a folder of prepared data."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nmt.config import Settings
from nmt.config.load import setting_names
from nmt.errors import DataError
from nmt.inspection.vocabulary import Vocabulary, read_vocabulary
from nmt.prepared.columns import SRC, TEXT, TGT
from nmt.prepared.manifest import Counts, Manifest, check_files, prepared_sections, read_manifest
from nmt.prepared.statistics import ColumnStatistics, Statistics, read_statistics
from nmt.prepared.store import prepared_settings
from nmt.subword import JOINT_MODEL


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
    def changed_settings(self) -> dict[str, Any]:
        """The settings that are not the defaults, and their values."""
        usual = prepared_sections(Settings())
        return {
            f"{section}.{key}": value
            for section, values in self.settings.items()
            for key, value in values.items()
            if key not in usual[section] or value != usual[section][key]
        }


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
    sides = []
    for column, name in zip(columns, names, strict=True):
        sides.append(
            Side(
                name=name,
                train=statistics.train.columns[column.ids],
                valid={key: valid.columns[column.ids] for key, valid in statistics.valid.items()},
                vocabulary=read_vocabulary(folder / column.vocabulary, name),
            )
        )
    if JOINT_MODEL in manifest.files and len(sides) > 1 and sides[0].vocabulary.pieces != sides[1].vocabulary.pieces:
        files = " and ".join(str(folder / column.vocabulary) for column in columns)
        raise DataError(f"{files} list other pieces, expected those of one joint vocabulary")
    return Inspection(
        folder=folder,
        manifest=manifest,
        statistics=statistics,
        sides=tuple(sides),
    )


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
