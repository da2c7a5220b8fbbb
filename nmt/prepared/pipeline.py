"""`nmt prepare`: from text files to a folder of prepared data."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from nmt.config import DataSettings, Settings
from nmt.corpus.reading import Pair, TextFiles
from nmt.errors import DataError
from nmt.prepared.encoding import PairEncoder, PieceCounts
from nmt.prepared.inputs import find_inputs
from nmt.prepared.manifest import (
    FORMAT_VERSION,
    REJECTED,
    SRC_VOCABULARY,
    TGT_VOCABULARY,
    TRAIN,
    VALID,
    Counts,
    Manifest,
    check_files,
    prepared_sections,
    record_files,
    write_manifest,
)
from nmt.prepared.placing import building, find_existing
from nmt.prepared.selection import Chosen, OnProgress, Progress, Rejections, choose, chosen_blocks, clean
from nmt.prepared.spool import Spool
from nmt.prepared.tokenizing import train_tokenizers
from nmt.prepared.writing import BLOCK, Rows, write_train, write_valid
from nmt.subword import JOINT_MODEL


@dataclass(frozen=True)
class PreparationReport:
    """What `prepare` did."""

    folder: Path
    manifest: Manifest
    warnings: tuple[str, ...] = ()
    up_to_date: bool = False
    """The folder already held these data, and nothing was done."""

    @property
    def counts(self) -> Counts:
        """How many pairs and pieces there are."""
        return self.manifest.counts

    @property
    def joint(self) -> bool:
        """Whether both languages share one vocabulary."""
        return JOINT_MODEL in self.manifest.files

    @property
    def rejected(self) -> Path:
        """The file that lists the rejected pairs."""
        return self.folder / REJECTED


def ignore_progress(progress: Progress) -> None:
    """Show nothing."""


def prepare(
    data_dir: Path, settings: Settings, on_progress: OnProgress = ignore_progress, *, force: bool = False
) -> PreparationReport:
    """Turn the text files that `settings.data` names into a folder that training reads.

    Validation text is not filtered: only pairs with an empty side are left out, and counted. Without validation files,
    pairs of the cleaned training text are held out for it.

    Args:
        data_dir: The folder to make; it appears when everything in it is complete.
        settings: Only the sections `data` and `tokenizer` matter.
        on_progress: Told how far each stage has come.
        force: Replace prepared data that were made from other text or with other settings.

    Raises:
        ConfigError: No text is named, or the tokenizer cannot be trained with these settings.
        DataError: Text cannot be read or used, or `data_dir` holds something else.
    """
    inputs = find_inputs(settings.data)
    records = inputs.record()
    existing = find_existing(data_dir)
    if existing is not None and not force:
        if not existing.was_made_from(records, settings):
            raise DataError(
                f"{data_dir} holds data prepared from other text or settings; `nmt prepare --force` replaces them"
            )
        check_files(data_dir, existing)
        return PreparationReport(data_dir, existing, up_to_date=True)
    with building(data_dir) as folder:
        counts, warnings = _Preparation(folder, settings, on_progress).run(inputs.train, inputs.valid)
        manifest = Manifest(
            format_version=FORMAT_VERSION,
            counts=counts,
            files=record_files(folder),
            inputs=records,
            settings=prepared_sections(settings),
        )
        write_manifest(folder, manifest)
    return PreparationReport(data_dir, manifest, tuple(warnings))


@dataclass(frozen=True)
class _Preparation:
    """One run of the pipeline in a folder that is empty at first."""

    folder: Path
    settings: Settings
    on_progress: OnProgress

    def run(self, train: TextFiles, valid: TextFiles | None) -> tuple[Counts, list[str]]:
        """Fill the folder; return what is in it, and warnings for the user."""
        data = self.settings.data
        spool = Spool(self.folder / "accepted.tmp", block=BLOCK)
        with (self.folder / REJECTED).open("w", encoding="utf-8") as file:
            rejections = Rejections(file)
            accepted = spool.write(clean(train.pairs(data.on_bad_utf8), data, rejections, self.on_progress))
            if not accepted:
                raise DataError(f"no training pairs are left after cleaning: {rejections}")
            heldout = _hold_out(accepted, data) if valid is None else np.zeros(accepted, dtype=np.bool_)
            pairs = list(valid.pairs(data.on_bad_utf8)) if valid else _pairs(spool, heldout)
            texts = [(pair.src, pair.tgt) for pair in pairs if pair.src and pair.tgt]
            if not texts:
                raise DataError("the validation text holds no pair with two sides that are not empty")
            encoder, warnings = self._make_encoder(spool, ~heldout)
            write_valid(self.folder / VALID, texts, *encoder.encode_valid(texts))
            kept, src_counts, tgt_counts = self._encode(spool, ~heldout, encoder, rejections)
            if not kept:
                raise DataError(f"no training pairs are left after encoding: {rejections}")
        spool.delete()
        counts = Counts(
            read=kept + int(heldout.sum()) + rejections.total,
            rejected=rejections.by_reason(),
            heldout=int(heldout.sum()),
            train=kept,
            valid=len(texts),
            valid_dropped=len(pairs) - len(texts),
            src_pieces=src_counts.total,
            tgt_pieces=tgt_counts.total,
            src_vocabulary=len(encoder.tokenizers.src),
            tgt_vocabulary=len(encoder.tokenizers.tgt),
        )
        return counts, warnings

    def _make_encoder(self, spool: Spool, training: Chosen) -> tuple[PairEncoder, list[str]]:
        self.on_progress(Progress("training the tokenizer", 0))
        settings = self.settings.tokenizer
        rng = np.random.default_rng((self.settings.data.seed, 1))
        sample = choose(rng, training, settings.max_training_lines)
        tokenizers, warnings = train_tokenizers(
            self.folder, settings, lambda: chain.from_iterable(chosen_blocks(spool, sample))
        )
        return PairEncoder(tokenizers, settings.placeholders), warnings

    def _encode(
        self, spool: Spool, training: Chosen, encoder: PairEncoder, rejections: Rejections
    ) -> tuple[int, PieceCounts, PieceCounts]:
        src_counts, tgt_counts = PieceCounts(encoder.tokenizers.src), PieceCounts(encoder.tokenizers.tgt)

        def counted() -> Iterator[tuple[Rows, Rows]]:
            blocks = encoder.encode_blocks(
                chosen_blocks(spool, training), max_pieces=self.settings.data.max_pieces, rejections=rejections
            )
            for number, (src, tgt) in enumerate(blocks, start=1):
                src_counts.add(src)
                tgt_counts.add(tgt)
                yield src, tgt
                self.on_progress(Progress("encoding", min(number * BLOCK, len(training)), len(training)))

        kept = write_train(self.folder / TRAIN, counted())
        (self.folder / SRC_VOCABULARY).write_text("".join(src_counts.lines()), encoding="utf-8", newline="")
        (self.folder / TGT_VOCABULARY).write_text("".join(tgt_counts.lines()), encoding="utf-8", newline="")
        return kept, src_counts, tgt_counts


def _hold_out(accepted: int, data: DataSettings) -> Chosen:
    size = min(data.heldout_pairs, accepted // 10)
    if not size:
        raise DataError(
            f"{accepted} training pairs are too few to hold out a tenth for validation; "
            "give validation text with --valid-src and --valid-tgt"
        )
    return choose(np.random.default_rng((data.seed, 0)), np.ones(accepted, dtype=np.bool_), size)


def _pairs(spool: Spool, chosen: Chosen) -> list[Pair]:
    return list(chain.from_iterable(chosen_blocks(spool, chosen)))
