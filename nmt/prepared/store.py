"""Prepared data as training reads them: memory-mapped ids, validation text, tokenizers and counts."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from nmt.config import Settings
from nmt.errors import DataError
from nmt.prepared.manifest import (
    SRC_VOCABULARY,
    TGT_VOCABULARY,
    TRAIN,
    VALID,
    VOCABULARY,
    Manifest,
    TextCounts,
    check_files,
    read_manifest,
)
from nmt.prepared.mapping import map_ids, read_texts
from nmt.prepared.pairs import SRC, TGT
from nmt.prepared.text import TEXT
from nmt.sequences import FlatSequences
from nmt.subword import Tokenizer, Tokenizers, load_tokenizers


@dataclass(frozen=True)
class ValidationPairs:
    """Validation pairs, as text and as ids."""

    src_texts: list[str]
    tgt_texts: list[str]
    src: FlatSequences
    tgt: FlatSequences


@dataclass(frozen=True)
class PreparedData:
    """A folder of pairs that `nmt prepare` made."""

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
            DataError: It is missing, incomplete, altered, or of another format version; or it holds plain text.
        """
        manifest = read_manifest(folder)
        if isinstance(manifest.counts, TextCounts):
            raise DataError(f"{folder} holds text for a language model, expected pairs for translation")
        check_files(folder, manifest)
        return cls(
            folder=folder,
            manifest=manifest,
            settings=_read_settings(folder, manifest),
            train_src=map_ids(folder / TRAIN, SRC.ids),
            train_tgt=map_ids(folder / TRAIN, TGT.ids),
            valid=ValidationPairs(
                src_texts=read_texts(folder / VALID, SRC.text),
                tgt_texts=read_texts(folder / VALID, TGT.text),
                src=map_ids(folder / VALID, SRC.ids),
                tgt=map_ids(folder / VALID, TGT.ids),
            ),
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


@dataclass(frozen=True)
class PreparedText:
    """A folder of text for a language model that `nmt prepare` made."""

    folder: Path
    manifest: Manifest
    settings: Settings
    """The settings it was prepared with: the sections `data` and `tokenizer`, and `model.kind`."""
    train: FlatSequences
    """The ids of each line, without `</s>`, in the order of the text."""
    valid: FlatSequences
    valid_texts: list[str]
    tokenizer: Tokenizer

    @classmethod
    def open(cls, folder: Path) -> "PreparedText":
        """Open a folder of prepared text.

        Raises:
            DataError: It is missing, incomplete, altered, or of another format version; or it holds pairs.
        """
        manifest = read_manifest(folder)
        if not isinstance(manifest.counts, TextCounts):
            raise DataError(f"{folder} holds pairs for translation, expected text for a language model")
        check_files(folder, manifest)
        return cls(
            folder=folder,
            manifest=manifest,
            settings=_read_settings(folder, manifest, model={"kind": "lm"}),
            train=map_ids(folder / TRAIN, TEXT.ids),
            valid=map_ids(folder / VALID, TEXT.ids),
            valid_texts=read_texts(folder / VALID, TEXT.text),
            tokenizer=load_tokenizers(folder).tgt,
        )

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """How often each piece occurs in the training text, [V]; `</s>` counts once for every line."""
        return _read_counts(self.folder / VOCABULARY)


def holds_text(folder: Path) -> bool:
    """Tell whether a data folder holds text for a language model, and not pairs.

    Raises:
        DataError: It holds no prepared data.
    """
    return isinstance(read_manifest(folder).counts, TextCounts)


def _read_settings(folder: Path, manifest: Manifest, **more: dict[str, str]) -> Settings:
    try:
        return Settings.model_validate({**manifest.settings, **more})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(map(str, first["loc"]))
        raise DataError(f"{folder} was prepared with settings that are unknown here: {name}: {first['msg']}") from error


def _read_counts(path: Path) -> NDArray[np.int64]:
    # A piece may be any character, a tab or a carriage return too, but no newline.
    lines = path.read_bytes().removesuffix(b"\n").split(b"\n")
    return np.array([int(line.rpartition(b"\t")[2]) for line in lines], dtype=np.int64)
