"""`nmt prepare`: from text files to a folder of prepared data."""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Generic

import numpy as np

from nmt.config import Settings
from nmt.config.effects import warnings_of_idle
from nmt.errors import DataError, NmtError
from nmt.files import naming, sha256
from nmt.prepared.accepted import Accepted
from nmt.prepared.assembling import Assembly, count_reasons
from nmt.prepared.corpus import Sources, ValidationSet, heldout_size
from nmt.prepared.encoding import Encoded, by_column
from nmt.prepared.inputs import PairInputs, TextInputs, find_inputs, record_inputs
from nmt.prepared.manifest import (
    FORMAT_VERSION,
    REJECTED,
    Counts,
    InputRecord,
    Manifest,
    TextCounts,
    check_files,
    prepared_sections,
    read_manifest,
    record_files,
    without_paths,
    write_manifest,
)
from nmt.prepared.pairs import PairCorpus, find_pairs
from nmt.prepared.placing import holds_data
from nmt.prepared.selection import OnProgress, Positions, Progress
from nmt.prepared.sifting import Sifted
from nmt.prepared.spool import R
from nmt.prepared.stages import BLOCK_READ, Stages
from nmt.prepared.text import TextCorpus, find_lines
from nmt.prepared.tokenizing import require_joint, resolve_tokenizer
from nmt.prepared.work import forget, keyed, locked, put_in_place, recover, work_folder
from nmt.subword import JOINT_MODEL, tokenizer_files


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
    inputs = find_inputs(settings.data)
    if isinstance(inputs, PairInputs):
        require_joint(settings)
    records = record_inputs([*inputs.named, *_name_tokenizers(tokenizers)], settings.data.root)
    key = _key(records, inputs, settings, block)
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
        on_one = partial(Stages, work, on_progress=on_progress, workers=workers or _count_cores(), block=block)
        if isinstance(inputs, PairInputs):
            pairs = find_pairs(inputs, settings.data)
            done = _Preparation(on_one(PairCorpus(settings)), pairs, tokenizers).run()
        else:
            done = _Preparation(on_one(TextCorpus(settings)), find_lines(inputs), tokenizers).run()
        manifest = _seal(done, records, settings)
        _check_place(data_dir, force=force)
        put_in_place(done.folder, data_dir)
    idle = warnings_of_idle(settings, "data", "tokenizer")
    return PreparationReport(data_dir, manifest, (*idle, *done.warnings))


def _name_tokenizers(paths: Sequence[Path]) -> list[tuple[str, tuple[Path, ...]]]:
    names = ["tokenizer.file"] if len(paths) == 1 else ["tokenizer.src_file", "tokenizer.tgt_file"]
    return [(name, (path,)) for name, path in zip(names, paths, strict=False)]


def _key(
    records: tuple[InputRecord, ...], inputs: PairInputs | TextInputs, settings: Settings, block: int
) -> dict[str, Any]:
    """Return what the work of a run depends on, so that no other one takes it up."""
    test = inputs.test if isinstance(inputs, PairInputs) else None
    return {
        "format_version": FORMAT_VERSION,
        "inputs": [record.model_dump() for record in records],
        # What training pairs have in common with it is counted in any case.
        "test": [sha256(path) for path in test or () if path.is_file()],
        "settings": without_paths(prepared_sections(settings)),
        "block": block,
    }


def _count_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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


def _seal(done: "_Done", inputs: tuple[InputRecord, ...], settings: Settings) -> Manifest:
    """Measure the files of a folder, and write its manifest."""
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        counts=done.counts,
        files=record_files(done.folder, done.digests),
        inputs=inputs,
        settings=prepared_sections(settings),
    )
    write_manifest(done.folder, manifest)
    return manifest


@dataclass(frozen=True)
class _Done:
    """A folder that lacks nothing but its manifest."""

    folder: Path
    counts: Counts | TextCounts
    digests: Mapping[str, str]
    """The SHA-256 of some of its files."""
    warnings: list[str]


@dataclass(frozen=True)
class _Preparation(Generic[R]):
    """One run of the pipeline."""

    stages: Stages[R]
    sources: Sources[R]
    tokenizers: Sequence[Path]
    """Those to use instead of new ones."""

    def run(self) -> _Done:
        """Go through all stages."""
        stages, corpus = self.stages, self.stages.corpus
        valid, test = self._read_valid(), corpus.read(self.sources.test()) if self.sources.test else None
        sifted = stages.sift(self.sources.train, corpus.overlap(_judged_by(valid, test)))
        if not any(block.accepted for block in sifted):
            raise DataError(f"no training {corpus.noun} are left after cleaning: {self._describe(sifted)}")
        accepted = stages.compare(sifted)
        heldout: Positions = np.zeros(0, dtype=np.int64)
        if not valid:
            heldout = corpus.hold_out(accepted.total, heldout_size(accepted.total, corpus))
            valid = [self._take_out(accepted, heldout)]
        tokenizers, warnings = stages.make_tokenizers(accepted, heldout, self.tokenizers)
        tags = [part.tag for part in self.sources.train]
        encoded = stages.encode(accepted, heldout, tags=tags, overlap=corpus.overlap(_judged_by(valid, test)))
        if not any(block.kept for block in encoded):
            raise DataError(f"no training {corpus.noun} are left after encoding: {self._describe(sifted, encoded)}")
        assembly = Assembly(
            corpus, self.sources.train, sifted, encoded, valid, len(heldout), by_column(corpus, tokenizers)
        )
        return self._assemble(assembly, warnings)

    def _assemble(self, assembly: Assembly[R], warnings: list[str]) -> _Done:
        folder = self.stages.work / "result"
        shutil.rmtree(folder, ignore_errors=True)  # what a killed run has left of it
        folder.mkdir()
        for path in tokenizer_files(self.stages.tokenizers):
            shutil.copyfile(path, folder / path.name)
        counts, digests = assembly.write(folder, self.stages.on_progress)
        return _Done(folder, counts, digests, warnings)

    def _read_valid(self) -> list[ValidationSet[R]]:
        """Read the validation sets, without records that have an empty text."""
        corpus, sets = self.stages.corpus, []
        for one in self.sources.valid:
            records = corpus.read(one.read())
            complete = [record for record in records if all(chain.from_iterable(corpus.texts([record])))]
            if not complete:
                which = f" of {one.name}" if len(self.sources.valid) > 1 else ""
                raise DataError(f"the validation text{which} holds no {corpus.complete}")
            tags = [one.tag] * len(complete)
            sets.append(ValidationSet(one.name, complete, tags, dropped=len(records) - len(complete)))
        return sets

    def _take_out(self, accepted: Accepted[R], heldout: Positions) -> ValidationSet[R]:
        """Read the records that are held out; each keeps the tag of its corpus."""
        blocks = accepted.read(heldout, heldout=np.zeros(0, dtype=np.int64))
        found = [(record, self.sources.train[part].tag) for part, records in blocks for record in records]
        return ValidationSet("held out", [record for record, _ in found], [tag for _, tag in found])

    def _describe(self, sifted: Sequence[Sifted], encoded: Sequence[Encoded] = ()) -> str:
        """Say why records were rejected."""
        counts = count_reasons(sifted, encoded)
        rejected = [f"{counts[reason]} {reason}" for reason in self.stages.corpus.reasons if counts[reason]]
        return ", ".join(rejected) or "none was read"


def _judged_by(valid: Sequence[ValidationSet[R]], test: list[R] | None) -> dict[str, list[R]]:
    """Return the text that models are judged by, as far as it is known."""
    sets = {"validation": [record for one in valid for record in one.records]} if valid else {}
    return sets if test is None else {**sets, "test": test}
