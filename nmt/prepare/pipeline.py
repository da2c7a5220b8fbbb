"""`nmt prepare`: from text files to a folder of prepared data."""

import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Final, Generic

import numpy as np

from nmt.config import Settings
from nmt.config.effects import warnings_of_idle
from nmt.errors import DataError, NmtError
from nmt.io.files import naming, sha256
from nmt.prepare.assemble import Assembly, ValidationRecords, count_reasons
from nmt.prepare.blocks import BlockResult, Fresh, R, forget, keyed, locked, put_in_place, recover, work_folder
from nmt.prepare.encode import by_column
from nmt.prepare.inputs import Inputs, find_pairs, find_text, record_inputs
from nmt.prepare.kinds import LineKind, PairKind, RecordKind
from nmt.prepare.stages import BLOCK_READ, Accepted, OnProgress, StageProgress, Stages
from nmt.prepare.tokenizing import require_joint, resolve_tokenizer
from nmt.prepared.manifest import (
    FORMAT_VERSION,
    REJECTED,
    Counts,
    InputRecord,
    Manifest,
    TextCounts,
    check_files,
    holds_data,
    prepared_sections,
    read_manifest,
    record_files,
    without_paths,
    write_manifest,
)
from nmt.text.tokenizer import JOINT_MODEL, tokenizer_files

_WORK_VERSION: Final = 3
"""Raised where the files of a work folder change."""


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
        return (LineKind if isinstance(self.counts, TextCounts) else PairKind).noun

    @property
    def joint(self) -> bool:
        """Whether both languages share one vocabulary."""
        return JOINT_MODEL in self.manifest.files

    @property
    def rejected(self) -> Path:
        """The file that lists the rejected pairs or lines."""
        return self.folder / REJECTED


def ignore_progress(progress: StageProgress) -> None:
    """Show nothing."""


def prepare(
    data_dir: Path,
    settings: Settings,
    on_progress: OnProgress = ignore_progress,
    *,
    force: bool = False,
    workers: int | None = None,
    block: int = BLOCK_READ,
) -> PreparationReport:
    """Turn the text that `settings.data` names into a folder that training reads.

    Validation text is not filtered: only pairs with an empty side, or blank lines, are left out, and counted. Without
    validation text, pairs of the cleaned training text are held out for it, or the lines at its end.

    A run that is interrupted or killed leaves a hidden folder beside `data_dir`; the same call goes on from there, and
    the result is the same as without the interruption. Memory does not grow with the corpus, but for one bit a pair.

    Args:
        data_dir: The folder to make; it appears when everything in it is complete.
        settings: Only the sections `data` and `tokenizer` matter.
        on_progress: Told how far each stage has come.
        force: Replace prepared data that were made from other text or with other settings, or by another version.
        workers: Processes that read and encode; None: one for each core. They are started for more records than
            one block has, and then the main module of the program needs its `if __name__ == "__main__"`. The data do
            not depend on it.
        block: Records that a process works on at a time.

    Raises:
        ConfigError: No text is named, or the tokenizer cannot be trained with these settings.
        DataError: Text cannot be read or used, `data_dir` holds something else, or another process is at work there.
        ModelError: The tokenizer that the settings name cannot be used.
        NmtError: Something has come into `data_dir` in the meantime.
    """
    settings, tokenizers = resolve_tokenizer(settings)
    workers = workers or (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    if settings.data.train_text:
        text = _Preparation(LineKind(settings), find_text(settings.data), tokenizers, on_progress, workers, block)
        return text.run(data_dir, force=force)
    inputs = find_pairs(settings.data)
    require_joint(settings)
    pairs = _Preparation(PairKind(settings), inputs, tokenizers, on_progress, workers, block)
    return pairs.run(data_dir, force=force)


@dataclass(frozen=True)
class _Preparation(Generic[R]):
    """One run of the pipeline."""

    kind: RecordKind[R]
    inputs: Inputs[R]
    tokenizers: Sequence[Path]
    """Those to use instead of new ones."""
    on_progress: OnProgress
    workers: int
    block: int

    def run(self, data_dir: Path, *, force: bool) -> PreparationReport:
        """Make the folder, or find that it is up to date."""
        settings = self.kind.settings
        records = record_inputs([*self.inputs.named, *self._name_tokenizers()], settings.data.root)
        key = self._key(records)
        recover(data_dir)
        if holds_data(data_dir) and not force:
            existing = read_manifest(data_dir)
            if not existing.was_made_from(records, settings):
                raise DataError(
                    f"{data_dir} holds data prepared from other text or settings; `nmt prepare --force` replaces them"
                )
            check_files(data_dir, existing)
            forget(data_dir, key)
            return PreparationReport(data_dir, existing, up_to_date=True)
        with naming(data_dir, instead_of=work_folder(data_dir)), locked(data_dir) as home, keyed(home, key) as work:
            stages = Stages(work, self.kind, self.inputs.train, self.on_progress, self.workers, self.block)
            assembly, warnings = self._go_through(stages)
            manifest = self._assemble(work / "result", stages.tokenizers, assembly, records)
            _check_place(data_dir, force=force)
            put_in_place(work / "result", data_dir)
        idle = warnings_of_idle(settings, "data", "tokenizer")
        return PreparationReport(data_dir, manifest, tuple(chain(idle, warnings)))

    def _name_tokenizers(self) -> list[tuple[str, tuple[Path, ...]]]:
        names = ["file"] if len(self.tokenizers) == 1 else ["src_file", "tgt_file"]
        return [(f"tokenizer.{name}", (path,)) for name, path in zip(names, self.tokenizers, strict=False)]

    def _key(self, records: tuple[InputRecord, ...]) -> dict[str, Any]:
        """Return what the work of a run depends on, so that no other one takes it up."""
        test = self.inputs.test.source.files if self.inputs.test else ()
        return {
            "format_version": FORMAT_VERSION,
            "work_version": _WORK_VERSION,
            "inputs": [record.model_dump() for record in records],
            # What training pairs have in common with it is counted in any case.
            "test": [sha256(path) for path in test if path.is_file()],
            "settings": without_paths(prepared_sections(self.kind.settings)),
            "block": self.block,
        }

    def _go_through(self, stages: Stages[R]) -> tuple[Assembly[R], list[str]]:
        """Go through all stages but the last one; return its parts, and the warnings of the others."""
        kind, corpora = self.kind, self.inputs.train
        valid = self._read_valid()
        test = {"test": kind.read(self.inputs.test.source.records())} if self.inputs.test else {}
        sifted = stages.sift(kind.overlap(_records_of(valid) | test))
        if not any(block.accepted for block in sifted):
            raise DataError(f"no training {kind.noun} are left after cleaning: {self._describe(sifted)}")
        accepted = stages.compare(sifted)
        heldout = Fresh(np.zeros(0, dtype=np.int64))
        if not valid:
            heldout = kind.hold_out(accepted.total, kind.heldout_size(accepted.total))
            valid = [_take_out(accepted, heldout)]
        tokenizers, warnings = stages.make_tokenizers(accepted, heldout, self.tokenizers)
        encoded = stages.encode(accepted, heldout, kind.overlap(_records_of(valid) | test))
        if not any(block.kept for block in encoded):
            reasons = self._describe(chain(sifted, encoded))
            raise DataError(f"no training {kind.noun} are left after encoding: {reasons}")
        columns = by_column(kind, tokenizers)
        return Assembly(kind, corpora, sifted, encoded, valid, len(heldout), columns), warnings

    def _read_valid(self) -> list[ValidationRecords[R]]:
        """Read the validation sets, without records that have an empty text."""
        kind, sets = self.kind, []
        for corpus in self.inputs.valid:
            records = kind.read(corpus.source.records())
            complete = [record for record in records if all(chain.from_iterable(kind.texts([record])))]
            if not complete:
                which = f" of {corpus.name}" if len(self.inputs.valid) > 1 else ""
                raise DataError(f"the validation text{which} holds no {kind.complete}")
            tags, dropped = [corpus.tag] * len(complete), len(records) - len(complete)
            sets.append(ValidationRecords(corpus.name, complete, tags, dropped))
        return sets

    def _describe(self, blocks: Iterable[BlockResult]) -> str:
        """Say why records were rejected."""
        counts = count_reasons(blocks)
        return (
            ", ".join(f"{counts[reason]} {reason}" for reason in self.kind.reasons if counts[reason]) or "none was read"
        )

    def _assemble(
        self, folder: Path, tokenizers: Path, assembly: Assembly[R], records: tuple[InputRecord, ...]
    ) -> Manifest:
        """Write a data folder: its files, then the manifest that measures them."""
        shutil.rmtree(folder, ignore_errors=True)  # what a killed run has left of it
        folder.mkdir()
        for path in tokenizer_files(tokenizers):
            shutil.copyfile(path, folder / path.name)
        counts, digests = assembly.write(folder, self.on_progress)
        manifest = Manifest(
            format_version=FORMAT_VERSION,
            counts=counts,
            files=record_files(folder, digests),
            inputs=records,
            settings=prepared_sections(self.kind.settings),
        )
        write_manifest(folder, manifest)
        return manifest


def _records_of(valid: Sequence[ValidationRecords[R]]) -> dict[str, list[R]]:
    """Return the validation text as what training records may have in common with it; none: nothing is known of it."""
    return {"validation": [record for one in valid for record in one.records]} if valid else {}


def _take_out(accepted: Accepted[R], heldout: Fresh) -> ValidationRecords[R]:
    """Read the records that are held out; each keeps the tag of its corpus."""
    found = [(record, corpus.tag) for corpus, records in accepted.read_heldout(heldout) for record in records]
    return ValidationRecords("held out", [record for record, _ in found], [tag for _, tag in found])


def _check_place(data_dir: Path, *, force: bool) -> None:
    """Make sure that nothing is lost which has come into the folder since the beginning.

    Raises:
        NmtError: There is something. It can be moved away, so the work is kept, unlike after a `DataError`.
    """
    try:
        taken = holds_data(data_dir)
    except DataError as error:
        raise NmtError(f"{error}; the same command goes on from here") from error
    if taken and not force:
        raise NmtError(f"{data_dir} holds data that were not there before; `nmt prepare --force` replaces them")
