"""Prepared data as training reads them: memory-mapped ids, validation text, tokenizers and counts."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from nmt.config import SearchSettings, Settings
from nmt.config.choices import CorpusSize
from nmt.config.load import as_stored, describe_misfit
from nmt.errors import DataError
from nmt.prepared.arrow import map_ids, read_texts
from nmt.prepared.manifest import (
    MANIFEST,
    SRC,
    TEXT,
    TGT,
    TRAIN,
    VALID,
    CorpusCount,
    Counts,
    Manifest,
    TextCounts,
    check_files,
    read_manifest,
)
from nmt.text.placeholders import usual_zero
from nmt.text.sequences import FlatSequences, Sequences
from nmt.text.tokenizer import Tokenizer, Tokenizers, load_tokenizers


@dataclass(frozen=True)
class ValidationSet:
    """A set of validation pairs, as text and as ids."""

    name: str
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
    """The settings it was prepared with; only the sections `data` and `tokenizer` are set, and what suits the data."""
    train_src: Sequences
    """The ids of each source, without `</s>`, in the order of the corpora."""
    train_tgt: Sequences
    valid_sets: tuple[ValidationSet, ...]
    """The first one decides which model is best."""
    tokenizers: Tokenizers

    @classmethod
    def open(cls, folder: Path | str) -> "PreparedData":
        """Open it; a DataError says that it is missing, incomplete, altered, of another format version, or text."""
        folder = Path(folder)
        manifest = read_manifest(folder)
        if isinstance(manifest.counts, TextCounts):
            raise DataError(f"{folder} holds text for a language model, expected pairs for translation")
        check_files(folder, manifest)
        tokenizers, settings = load_tokenizers(folder), prepared_settings(folder, manifest)
        valid_sets = _read_valid_sets(folder / VALID, manifest.counts, tokenizers)
        data = cls(
            folder,
            manifest,
            settings=prepared_settings(folder, manifest, search=_search_of(settings, manifest, valid_sets)),
            train_src=map_ids(folder / TRAIN, SRC.ids, size=len(tokenizers.src)),
            train_tgt=map_ids(folder / TRAIN, TGT.ids, size=len(tokenizers.tgt)),
            valid_sets=valid_sets,
            tokenizers=tokenizers,
        )
        _compare(folder / TRAIN, len(data.train_src), sum(corpus.train for corpus in data.corpora))
        return data

    @property
    def corpora(self) -> tuple[CorpusCount, ...]:
        """The corpora that the training pairs lie in, end to end."""
        assert isinstance(self.manifest.counts, Counts)
        return self.manifest.counts.corpora

    @property
    def valid(self) -> ValidationSet:
        """The validation set that decides."""
        return self.valid_sets[0]

    @property
    def valid_tags(self) -> list[str | None]:
        """The tag before the source of each pair of that set, told by its first pieces."""
        assert isinstance(self.manifest.counts, Counts)
        tags, src = self.manifest.counts.validation[0].tags, self.valid.src
        begins = dict(zip(tags, self.tokenizers.src.encode(tags), strict=True))
        rows = (src.values[first : first + size].tolist() for first, size in zip(src.starts, src.lengths, strict=True))
        return [next((tag for tag, begin in begins.items() if row[: len(begin)] == begin), None) for row in rows]

    @cached_property
    def source_counts(self) -> NDArray[np.int64]:
        """How often each piece occurs in the source training text, [V]."""
        return _read_counts(self.folder / SRC.vocabulary, len(self.tokenizers.src))

    @cached_property
    def target_counts(self) -> NDArray[np.int64]:
        """How often each piece occurs in the target training text, [V]; `</s>` counts once for every sentence."""
        return _read_counts(self.folder / TGT.vocabulary, len(self.tokenizers.tgt))

    @property
    def pieces(self) -> int:
        """Target pieces of the training text, `</s>` included."""
        return int(self.target_counts.sum())

    @property
    def size(self) -> CorpusSize:
        """How much there is to learn from, about, by the weights of the corpora."""
        seen = sum(corpus.weight * corpus.train for corpus in self.corpora)
        valid = sum(int(one.tgt.lengths.sum()) + len(one.tgt.lengths) for one in self.valid_sets)
        return CorpusSize(round(seen), round(self.pieces * seen / len(self.train_src)), valid)


@dataclass(frozen=True)
class PreparedText:
    """A folder of text for a language model that `nmt prepare` made."""

    folder: Path
    manifest: Manifest
    settings: Settings
    """The settings it was prepared with: the sections `data` and `tokenizer`, and `model.kind`."""
    train: Sequences
    """The ids of each line, without `</s>`, in the order of the text."""
    valid: Sequences
    valid_texts: list[str]
    tokenizer: Tokenizer

    @classmethod
    def open(cls, folder: Path | str) -> "PreparedText":
        """Open it; a DataError says that it is missing, incomplete, altered, of another format version, or pairs."""
        folder = Path(folder)
        manifest = read_manifest(folder)
        if not isinstance(manifest.counts, TextCounts):
            raise DataError(f"{folder} holds pairs for translation, expected text for a language model")
        check_files(folder, manifest)
        tokenizer = load_tokenizers(folder).tgt
        return cls(
            folder,
            manifest,
            settings=prepared_settings(folder, manifest, model={"kind": "lm"}),
            train=map_ids(folder / TRAIN, TEXT.ids, size=len(tokenizer)),
            valid=map_ids(folder / VALID, TEXT.ids, size=len(tokenizer)),
            valid_texts=read_texts(folder / VALID, TEXT.text),
            tokenizer=tokenizer,
        )

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """How often each piece occurs in the training text, [V]; `</s>` counts once for every line."""
        return _read_counts(self.folder / TEXT.vocabulary, len(self.tokenizer))

    @property
    def pieces(self) -> int:
        """Pieces of the training text, `</s>` included."""
        return int(self.counts.sum())

    @property
    def tokenizers(self) -> Tokenizers:
        """That of the text, which is source and target."""
        return Tokenizers(self.tokenizer, self.tokenizer)

    @property
    def size(self) -> CorpusSize:
        """How much there is to learn from."""
        return CorpusSize(len(self.train), self.pieces)


def open_data(folder: Path) -> PreparedData | PreparedText:
    """Open prepared data, pairs or text; see `PreparedData.open` for the errors."""
    is_text = isinstance(read_manifest(folder).counts, TextCounts)
    return PreparedText.open(folder) if is_text else PreparedData.open(folder)


def prepared_settings(folder: Path, manifest: Manifest, **more: dict[str, Any]) -> Settings:
    """Return the settings that data were prepared with, and `more` of other sections; a DataError if unknown."""
    try:
        return Settings.model_validate(as_stored({**manifest.settings, **more}))
    except ValidationError as error:
        raise DataError(
            f"{folder} was prepared with settings that are unknown here: {describe_misfit(error)}"
        ) from error


def _search_of(settings: Settings, manifest: Manifest, valid_sets: Sequence[ValidationSet]) -> dict[str, Any]:
    """Say how translations are to be searched for where the usual settings do not suit the data.

    Targets that have more pieces than their sources, in the mean, may have twice as many as that; masked numbers have
    the digits of the target text.
    """
    assert isinstance(manifest.counts, Counts)
    suiting: dict[str, Any] = {}
    ratio = round(2 * manifest.counts.tgt_pieces / max(manifest.counts.src_pieces, 1), 1)
    if ratio > SearchSettings.model_fields["max_length_ratio"].default:
        suiting["max_length_ratio"] = min(ratio, 100.0)
    masks_numbers = "number" in settings.tokenizer.placeholders
    if masks_numbers and (zero := usual_zero(text for one in valid_sets for text in one.tgt_texts)):
        suiting["zero_digit"] = zero
    return suiting


def _read_valid_sets(path: Path, counts: Counts, tokenizers: Tokenizers) -> tuple[ValidationSet, ...]:
    src_texts, tgt_texts = read_texts(path, SRC.text), read_texts(path, TGT.text)
    src = map_ids(path, SRC.ids, size=len(tokenizers.src))
    tgt = map_ids(path, TGT.ids, size=len(tokenizers.tgt))
    _compare(path, len(src), sum(part.pairs for part in counts.validation))
    sets, first = dict[str, ValidationSet](), 0
    for part in counts.validation:
        last = first + part.pairs
        texts, rows = slice(first, last), np.arange(first, last)
        # files of two folders may be called the same
        names = chain([part.name], (f"{part.name} ({number})" for number in count(2)))
        name = next(name for name in names if name not in sets)
        sets[name] = ValidationSet(name, src_texts[texts], tgt_texts[texts], src.take(rows), tgt.take(rows))
        first = last
    return tuple(sets.values())


def _compare(path: Path, found: int, expected: int) -> None:
    if found != expected:
        raise DataError(f"{path} is damaged: it has {found:,} pairs, but {MANIFEST} counts {expected:,}")


def _read_counts(path: Path, size: int) -> NDArray[np.int64]:
    # A piece may be any character, a tab or a carriage return too, but no newline.
    lines = path.read_bytes().removesuffix(b"\n").split(b"\n")
    try:
        counts = np.array([int(line.rpartition(b"\t")[2]) for line in lines], dtype=np.int64)
    except (ValueError, OverflowError) as error:
        raise DataError(f"{path} is damaged: expected a piece, a tab and a count in each line") from error
    if len(counts) != size or counts.min(initial=0) < 0:
        raise DataError(f"{path} is damaged: it has {len(counts):,} counts, expected {size:,} that are 0 or more")
    return counts
