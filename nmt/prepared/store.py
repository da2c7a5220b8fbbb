"""Prepared data as training reads them: memory-mapped ids, validation text, tokenizers and counts."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from nmt.batching import FlatSequences
from nmt.config import Settings
from nmt.errors import DataError
from nmt.prepared.manifest import (
    SRC_VOCABULARY,
    TGT_VOCABULARY,
    TRAIN,
    VALID,
    Manifest,
    check_files,
    read_manifest,
)
from nmt.prepared.mapping import map_ids, read_texts
from nmt.subword import Tokenizers, load_tokenizers


@dataclass(frozen=True)
class ValidationPairs:
    """Validation pairs, as text and as ids."""

    src_texts: list[str]
    tgt_texts: list[str]
    src: FlatSequences
    tgt: FlatSequences


@dataclass(frozen=True)
class PreparedData:
    """A folder that `nmt prepare` made."""

    folder: Path
    manifest: Manifest
    settings: Settings
    """The settings it was prepared with; only the sections `data` and `tokenizer` are set."""
    train_src: FlatSequences
    train_tgt: FlatSequences
    valid: ValidationPairs
    tokenizers: Tokenizers

    @classmethod
    def open(cls, folder: Path) -> "PreparedData":
        """Open a folder of prepared data.

        Raises:
            DataError: It is missing, incomplete, altered, or of another format version.
        """
        manifest = read_manifest(folder)
        check_files(folder, manifest)
        train_src, train_tgt = map_ids(folder / TRAIN)
        return cls(
            folder=folder,
            manifest=manifest,
            settings=_read_settings(folder, manifest),
            train_src=train_src,
            train_tgt=train_tgt,
            valid=ValidationPairs(*read_texts(folder / VALID), *map_ids(folder / VALID)),
            tokenizers=load_tokenizers(folder),
        )

    @cached_property
    def source_counts(self) -> NDArray[np.int64]:
        """How often each piece occurs in the source training text, [V]."""
        return _read_counts(self.folder / SRC_VOCABULARY)

    @cached_property
    def target_counts(self) -> NDArray[np.int64]:
        """How often each piece occurs in the target training text, [V]; `</s>` counts once for every sentence."""
        return _read_counts(self.folder / TGT_VOCABULARY)


def _read_settings(folder: Path, manifest: Manifest) -> Settings:
    try:
        return Settings.model_validate(manifest.settings)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(map(str, first["loc"]))
        raise DataError(f"{folder} was prepared with settings that are unknown here: {name}: {first['msg']}") from error


def _read_counts(path: Path) -> NDArray[np.int64]:
    # A piece may be any character, a tab or a carriage return too, but no newline.
    lines = path.read_bytes().removesuffix(b"\n").split(b"\n")
    return np.array([int(line.rpartition(b"\t")[2]) for line in lines], dtype=np.int64)
