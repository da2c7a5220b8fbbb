"""`nmt prepare`: from text files to a folder of prepared data."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Generic

import numpy as np

from nmt.config import Settings
from nmt.errors import DataError
from nmt.prepared.corpus import Corpus, heldout_size
from nmt.prepared.encoding import Encoder, PieceCounts, count_pieces
from nmt.prepared.inputs import PairInputs, TextInputs, find_inputs, record_inputs
from nmt.prepared.manifest import (
    FORMAT_VERSION,
    REJECTED,
    TRAIN,
    VALID,
    Counts,
    InputRecord,
    Manifest,
    Tally,
    TextCounts,
    check_files,
    prepared_sections,
    record_files,
    write_manifest,
)
from nmt.prepared.pairs import PairCorpus
from nmt.prepared.placing import building, find_existing
from nmt.prepared.selection import Chosen, OnProgress, Progress, Rejections, choose, chosen_blocks, sift
from nmt.prepared.spool import R, Spool
from nmt.prepared.text import TextCorpus
from nmt.prepared.tokenizing import require_joint, resolve_tokenizer, take_tokenizer, train_tokenizers
from nmt.prepared.writing import BLOCK, Ids, write_train, write_valid
from nmt.subword import JOINT_MODEL, Tokenizers


@dataclass(frozen=True)
class PreparationReport:
    """What `prepare` did."""

    folder: Path
    manifest: Manifest
    warnings: tuple[str, ...] = ()
    up_to_date: bool = False
    """The folder already held these data, and nothing was done."""

    @property
    def counts(self) -> Counts | TextCounts:
        """How many pairs and pieces, or lines and pieces, there are."""
        return self.manifest.counts

    @property
    def noun(self) -> str:
        """What was prepared: "pairs" or "lines"."""
        return (TextCorpus if isinstance(self.counts, TextCounts) else PairCorpus).noun

    @property
    def joint(self) -> bool:
        """Whether both languages share one vocabulary."""
        return JOINT_MODEL in self.manifest.files

    @property
    def rejected(self) -> Path:
        """The file that lists the rejected pairs or lines."""
        return self.folder / REJECTED


def ignore_progress(progress: Progress) -> None:
    """Show nothing."""


def prepare(
    data_dir: Path, settings: Settings, on_progress: OnProgress = ignore_progress, *, force: bool = False
) -> PreparationReport:
    """Turn the text files that `settings.data` names into a folder that training reads.

    Validation text is not filtered: only pairs with an empty side, or blank lines, are left out, and counted. Without
    validation files, pairs of the cleaned training text are held out for it, or the lines at its end.

    Args:
        data_dir: The folder to make; it appears when everything in it is complete.
        settings: Only the sections `data` and `tokenizer` matter.
        on_progress: Told how far each stage has come.
        force: Replace prepared data that were made from other text or with other settings.

    Raises:
        ConfigError: No text is named, or the tokenizer cannot be trained with these settings.
        DataError: Text cannot be read or used, or `data_dir` holds something else.
        ModelError: The tokenizer that the settings name cannot be used.
    """
    settings, tokenizer = resolve_tokenizer(settings)
    inputs = find_inputs(settings.data)
    if tokenizer and isinstance(inputs, PairInputs):
        require_joint(settings)
    records = record_inputs([*inputs.named, ("tokenizer.file", (tokenizer,) if tokenizer else ())])
    existing = find_existing(data_dir)
    if existing is not None and not force:
        if not existing.was_made_from(records, settings):
            raise DataError(
                f"{data_dir} holds data prepared from other text or settings; `nmt prepare --force` replaces them"
            )
        check_files(data_dir, existing)
        return PreparationReport(data_dir, existing, up_to_date=True)
    with building(data_dir) as folder:
        counts, warnings = _fill(folder, inputs, tokenizer, settings, on_progress)
        manifest = _seal(folder, counts, records, settings)
    return PreparationReport(data_dir, manifest, tuple(warnings))


def _fill(
    folder: Path, inputs: PairInputs | TextInputs, tokenizer: Path | None, settings: Settings, on_progress: OnProgress
) -> tuple[Counts | TextCounts, list[str]]:
    if isinstance(inputs, PairInputs):
        return _Preparation(folder, PairCorpus(inputs, settings), tokenizer, on_progress).run()
    return _Preparation(folder, TextCorpus(inputs, settings), tokenizer, on_progress).run()


def _seal(folder: Path, counts: Counts | TextCounts, inputs: tuple[InputRecord, ...], settings: Settings) -> Manifest:
    """Measure the files of a folder, and write its manifest."""
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        counts=counts,
        files=record_files(folder),
        inputs=inputs,
        settings=prepared_sections(settings),
    )
    write_manifest(folder, manifest)
    return manifest


@dataclass(frozen=True)
class _Preparation(Generic[R]):
    """One run of the pipeline in a folder that is empty at first."""

    folder: Path
    corpus: Corpus[R]
    tokenizer: Path | None
    """The one to use instead of a new one."""
    on_progress: OnProgress

    def run(self) -> tuple[Counts | TextCounts, list[str]]:
        """Fill the folder; return what is in it, and warnings for the user."""
        corpus = self.corpus
        spool = Spool(self.folder / "accepted.tmp", corpus.record, block=BLOCK)
        with (self.folder / REJECTED).open("w", encoding="utf-8") as file:
            rejections = Rejections(file, corpus.reasons)
            accepted = spool.write(sift(corpus.read_train(), corpus.make_judge(), rejections, self.on_progress))
            if not accepted:
                raise DataError(f"no training {corpus.noun} are left after cleaning: {rejections}")
            heldout, given = self._split(spool, accepted)
            valid = [record for record in given if all(corpus.texts(record))]
            if not valid:
                raise DataError(f"the validation text holds no {corpus.complete}")
            encoder, warnings = self._make_encoder(spool, ~heldout)
            valid_counts = self._write_valid(valid, encoder)
            kept, train_counts = self._encode(spool, ~heldout, encoder, rejections)
            if not kept:
                raise DataError(f"no training {corpus.noun} are left after encoding: {rejections}")
        spool.delete()
        tally = Tally(
            read=kept + int(heldout.sum()) + rejections.total,
            rejected=rejections.by_reason(),
            heldout=int(heldout.sum()),
            train=kept,
            valid=len(valid),
            valid_dropped=len(given) - len(valid),
        )
        return corpus.count(tally, train_counts, valid_counts), warnings

    def _split(self, spool: Spool[R], accepted: int) -> tuple[Chosen, list[R]]:
        """Return which training records are held out, and the validation records."""
        given = self.corpus.read_valid()
        if given is not None:
            return np.zeros(accepted, dtype=np.bool_), list(given)
        heldout = self.corpus.hold_out(accepted, heldout_size(accepted, self.corpus))
        return heldout, list(chain.from_iterable(chosen_blocks(spool, heldout)))

    def _make_encoder(self, spool: Spool[R], training: Chosen) -> tuple[Encoder[R], list[str]]:
        corpus = self.corpus
        if self.tokenizer:
            tokenizers, warnings = take_tokenizer(self.folder, corpus.settings.tokenizer, self.tokenizer)
        else:
            tokenizers, warnings = self._train_tokenizers(spool, training)
        # One text has one tokenizer, the joint one.
        by_column = dict(zip((column.ids for column in corpus.columns), (tokenizers.src, tokenizers.tgt), strict=False))
        return Encoder(by_column, corpus.mask_train, corpus.mask_valid), warnings

    def _train_tokenizers(self, spool: Spool[R], training: Chosen) -> tuple[Tokenizers, list[str]]:
        self.on_progress(Progress("training the tokenizer", 0))
        corpus, settings = self.corpus, self.corpus.settings
        rng = np.random.default_rng((settings.data.seed, 1))
        sample = choose(rng, training, settings.tokenizer.max_training_lines)

        def masked() -> Iterator[tuple[str, ...]]:
            return map(corpus.mask_train, chain.from_iterable(chosen_blocks(spool, sample)))

        return train_tokenizers(self.folder, settings.tokenizer, corpus.tokenizer_texts(masked))

    def _write_valid(self, records: list[R], encoder: Encoder[R]) -> dict[str, PieceCounts]:
        texts = zip(*map(self.corpus.texts, records), strict=True)
        ids = encoder.encode_valid(records)
        named = {column.text: column_texts for column, column_texts in zip(self.corpus.columns, texts, strict=True)}
        write_valid(self.folder / VALID, named, ids)
        return count_pieces(encoder.tokenizers, ids)

    def _encode(
        self, spool: Spool[R], training: Chosen, encoder: Encoder[R], rejections: Rejections
    ) -> tuple[int, dict[str, PieceCounts]]:
        counts = {name: PieceCounts(tokenizer) for name, tokenizer in encoder.tokenizers.items()}

        def counted() -> Iterator[Ids]:
            blocks = encoder.encode_blocks(
                chosen_blocks(spool, training), max_pieces=self.corpus.max_pieces, rejections=rejections
            )
            for number, ids in enumerate(blocks, start=1):
                for name, rows in ids.items():
                    counts[name].add(rows)
                yield ids
                self.on_progress(Progress("encoding", min(number * BLOCK, len(training)), len(training)))

        kept = write_train(self.folder / TRAIN, counts, counted())
        for column in self.corpus.columns:
            path = self.folder / column.vocabulary
            path.write_text("".join(counts[column.ids].lines()), encoding="utf-8", newline="")
        return kept, counts
