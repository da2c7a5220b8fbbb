"""`nmt prepare`: from text files to a folder of prepared data."""

import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from itertools import chain, repeat
from pathlib import Path
from typing import Any, Final, Generic

import numpy as np

from nmt.config import Settings
from nmt.config.effects import warnings_of_idle
from nmt.corpus.base import R
from nmt.corpus.hashes import Overlap
from nmt.errors import DataError, NmtError
from nmt.io.files import sha256
from nmt.io.limits import usable_cores
from nmt.io.work import MADE, forget, locked, put_in_place, recover, shared
from nmt.prepare.blocks import REJECTIONS, BlockResult, Encoded, Trained
from nmt.prepare.inputs import Corpus, Inputs, find_pairs, find_text, record_inputs
from nmt.prepare.kinds import LineKind, PairKind, RecordKind
from nmt.prepare.stages import BLOCK_READ, Accepted, OnProgress, StageProgress, Stages, by_column, encode
from nmt.prepare.tokenizing import describe_choice, describe_unknown, require_joint, resolve_tokenizer, vocabulary_size
from nmt.prepared.arrow import Ids, write_train, write_valid
from nmt.prepared.manifest import (
    FORMAT_VERSION,
    REJECTED,
    TRAIN,
    VALID,
    CorpusCount,
    Counts,
    InputRecord,
    Manifest,
    OverlapCount,
    Tally,
    TextCounts,
    ValidationCount,
    check_files,
    holds_data,
    prepared_sections,
    read_manifest,
    record_files,
    without_paths,
    write_manifest,
)
from nmt.prepared.statistics import PieceCounts, Statistics, count_pieces, read_statistics, write_statistics
from nmt.text.sequences import FlatSequences
from nmt.text.tokenizer import JOINT_MODEL, Tokenizer, tokenizer_files

_WORK_VERSION: Final = 3
"""Raised where the files of a work folder change."""

Meet = Callable[[Path], AbstractContextManager[object]]


@dataclass(frozen=True)
class ValidationRecords(Generic[R]):
    """The records of a validation set, none of them with an empty text."""

    name: str
    """That of its corpus."""
    records: list[R]
    tags: Sequence[str | None]
    """What is put before the first text of each record: those that are held out are of several corpora."""
    dropped: int = 0
    """Records of the set that had an empty text."""


@dataclass(frozen=True)
class Assembly(Generic[R]):
    """The last stage: what the others have left, block by block, becomes the files of a data folder."""

    kind: RecordKind[R]
    accepted: Accepted[R]
    encoded: Sequence[Encoded]
    """The same blocks."""
    valid: Sequence[ValidationRecords[R]]
    tokenizers: Mapping[str, Tokenizer]
    """By the columns."""
    vocab_size: int
    """What the setting came to."""

    def write(
        self, folder: Path, tokenizers: Path, inputs: tuple[InputRecord, ...], on_progress: OnProgress
    ) -> Manifest:
        """Write all files, the tokenizers of a folder among them, then the manifest that measures them."""
        shutil.rmtree(folder, ignore_errors=True)  # what a killed run has left of it
        folder.mkdir()
        for path in tokenizer_files(tokenizers):
            shutil.copyfile(path, folder / path.name)
        on_progress(StageProgress("writing", 0, sum(block.kept for block in self.encoded)))
        statistics = Statistics.empty(list(self.tokenizers))
        for block in chain(self.accepted.blocks, self.encoded):
            statistics.merge(block.statistics())
        valid = self._write_valid(folder / VALID, statistics)
        train = {name: PieceCounts(tokenizer) for name, tokenizer in self.tokenizers.items()}
        digest = write_train(folder / TRAIN, train, self._count(train, on_progress))
        for column in self.kind.columns:
            path = folder / column.vocabulary
            path.write_text("".join(train[column.ids].lines()), encoding="utf-8", newline="")
        with (folder / REJECTED).open("wb") as file:
            for encoded in self.encoded:
                with (encoded.folder / REJECTIONS).open("rb") as part:
                    shutil.copyfileobj(part, file)
        write_statistics(folder, statistics)
        settings = prepared_sections(self.kind.settings)
        settings["tokenizer"]["vocab_size"] = self.vocab_size
        manifest = Manifest(
            format_version=FORMAT_VERSION,
            counts=self._count_all(train, valid),
            files=record_files(folder, {TRAIN: digest}),
            inputs=inputs,
            settings=settings,
        )
        write_manifest(folder, manifest)
        return manifest

    def _write_valid(self, path: Path, statistics: Statistics) -> dict[str, PieceCounts]:
        """Write the validation sets end to end, and count their pieces."""
        kind, found = self.kind, []
        for one in self.valid:
            masked = kind.mask_valid(kind.texts(one.records), one.tags)
            found.append(encode(self.tokenizers, masked))
            statistics.valid_set(one.name).add(
                dict(zip(self.tokenizers, masked, strict=True)), found[-1], self.tokenizers
            )
        ids = {
            name: FlatSequences.end_to_end(
                np.concatenate([columns[name].values for columns in found]),
                np.concatenate([columns[name].lengths for columns in found]),
            )
            for name in self.tokenizers
        }
        texts = kind.texts([record for one in self.valid for record in one.records])
        write_valid(path, dict(zip((column.text for column in kind.columns), texts, strict=True)), ids)
        return count_pieces(self.tokenizers, ids)

    def _count(self, counts: Mapping[str, PieceCounts], on_progress: OnProgress) -> Iterator[Ids]:
        """Give the ids of all blocks, and count their pieces."""
        done, total = 0, sum(block.kept for block in self.encoded)
        for block in self.encoded:
            ids = block.ids(counts)
            for name, rows in ids.items():
                counts[name].add(rows)
            yield ids
            done += block.kept
            on_progress(StageProgress("writing", done, total))

    def _count_all(self, train: Mapping[str, PieceCounts], valid: Mapping[str, PieceCounts]) -> Counts | TextCounts:
        corpora = self._weighed(
            [self._count_corpus(number, corpus) for number, corpus in enumerate(self.accepted.corpora)]
        )
        overlap: dict[str, Counter[str]] = {}
        for block in self.encoded:
            for name, sides in block.overlap.items():
                overlap.setdefault(name, Counter()).update(sides)
        tally = Tally(
            read=sum(corpus.read for corpus in corpora),
            rejected=count_rejected(self.kind, [*self.accepted.blocks, *self.encoded]),
            heldout=len(self.accepted.heldout),
            train=sum(corpus.train for corpus in corpora),
            valid=sum(len(one.records) for one in self.valid),
            valid_dropped=sum(one.dropped for one in self.valid),
        )
        parts = {
            "corpora": corpora,
            "validation": tuple(
                ValidationCount(
                    name=one.name,
                    pairs=len(one.records),
                    dropped=one.dropped,
                    tags=tuple(dict.fromkeys(tag for tag in one.tags if tag)),
                )
                for one in self.valid
            ),
            "overlap": {name: OverlapCount(**sides) for name, sides in overlap.items()},
        }
        return self.kind.count(tally, parts, train, valid)

    def _weighed(self, counts: Sequence[CorpusCount]) -> tuple[CorpusCount, ...]:
        """Give what is replayed the weights by which it has its share of an epoch."""
        pairs = {False: 0.0, True: 0.0}
        for corpus, count in zip(self.accepted.corpora, counts, strict=True):
            pairs[corpus.is_replayed] += count.weight * count.train
        if not pairs[True]:
            return tuple(counts)
        share = self.kind.settings.data.replay_share
        factor = share / (1 - share) * pairs[False] / pairs[True]
        return tuple(
            count.model_copy(update={"weight": count.weight * factor}) if corpus.is_replayed else count
            for corpus, count in zip(self.accepted.corpora, counts, strict=True)
        )

    def _count_corpus(self, number: int, corpus: Corpus[R]) -> CorpusCount:
        blocks = [both for both in zip(self.accepted.blocks, self.encoded, strict=True) if both[0].corpus == number]
        read, train = sum(sifted.read for sifted, _ in blocks), sum(encoded.kept for _, encoded in blocks)
        rejected = count_rejected(self.kind, list(chain.from_iterable(blocks)))
        return CorpusCount(
            name=corpus.name,
            weight=corpus.weight,
            tag=corpus.tag,
            read=read,
            rejected=rejected,
            heldout=read - sum(rejected.values()) - train,
            train=train,
        )


def count_rejected(kind: RecordKind[R], blocks: Sequence[BlockResult]) -> dict[str, int]:
    """Count what the stages have rejected, by reason."""
    return {reason: sum(block.rejected.get(reason, 0) for block in blocks) for reason in kind.reasons}


@dataclass(frozen=True)
class PreparationReport:
    """What `prepare` did."""

    folder: Path
    manifest: Manifest
    warnings: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    """What was left to choose, with its reason."""
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


def prepare(
    data_dir: Path,
    settings: Settings,
    on_progress: OnProgress = lambda progress: None,
    *,
    force: bool = False,
    workers: int | None = None,
    block: int = BLOCK_READ,
    meet: Meet = nullcontext,
) -> PreparationReport:
    """Turn the text that `settings.data` names into a folder that training reads.

    Validation text is not filtered: only pairs with an empty side, or blank lines, are left out, and counted. Without
    validation text, pairs of the cleaned training text are held out for it, or the lines at its end.

    A run that is interrupted or killed leaves a hidden folder beside `data_dir`; the same call goes on from there, and
    the result is the same as without the interruption. Several processes that make it at once, on machines that share
    the folder, share the work. Memory does not grow with the corpus, but for one bit a pair.

    Args:
        data_dir: The folder to make; it appears when everything in it is complete.
        settings: Only the sections `data` and `tokenizer` matter.
        on_progress: Told how far each stage has come.
        force: Replace prepared data that were made from other text or with other settings, or by another version.
        workers: Processes that read and encode; None: one for each core. They are started when a stage
            takes more than some seconds, and then the main module of the program needs its `if __name__ == "__main__"`.
            The data do not depend on it.
        block: Records that a process works on at a time.
        meet: Waits, in the folder of the work, for all processes that were started together to share it: a late one
            would find nothing left to do.

    Raises:
        ConfigError: No text is named, or the tokenizer cannot be trained with these settings.
        DataError: Text cannot be read or used, `data_dir` holds something else, or another process prepares that there.
        ModelError: The tokenizer that the settings name cannot be used.
        NmtError: Something has come into `data_dir` in the meantime.
    """
    settings, tokenizers = resolve_tokenizer(settings)
    workers = workers or usable_cores()
    if settings.data.train_text:
        text = _Preparation(LineKind(settings), find_text(settings.data), tokenizers, on_progress, workers, block, meet)
        return text.run(data_dir, force=force)
    inputs = find_pairs(settings.data)
    require_joint(settings)
    pairs = _Preparation(PairKind(settings), inputs, tokenizers, on_progress, workers, block, meet)
    return pairs.run(data_dir, force=force)


@dataclass(frozen=True)
class _Preparation(Generic[R]):
    """One run of the pipeline."""

    kind: RecordKind[R]
    inputs: Inputs[R]
    tokenizers: Mapping[str, Path]
    """Those to use instead of new ones, by their settings."""
    on_progress: OnProgress
    workers: int
    block: int
    meet: Meet

    def run(self, data_dir: Path, *, force: bool) -> PreparationReport:
        """Make the folder, or find that it is up to date."""
        settings = self.kind.settings
        named = [*self.inputs.named, *((setting, (path,)) for setting, path in self.tokenizers.items())]
        records = record_inputs(named, settings.data.root)
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
        with shared(data_dir, key) as work, self.meet(work):
            stages = Stages(work, self.kind, self.inputs.train, self.on_progress, self.workers, self.block)
            assembly, choices, warnings = self._go_through(stages)
            with locked(work / "result.lock"):
                if not (work / MADE).exists():
                    assembly.write(work / "result", stages.tokenizers, records, self.on_progress)
                    if record_inputs(named, settings.data.root) != records:
                        raise DataError(f"the text of {data_dir} was changed while it was prepared")
                    self._refuse_replacing(data_dir, records, force=force)
                    put_in_place(work / "result", data_dir)
                    (work / MADE).touch()
            manifest = read_manifest(data_dir)
        idle = warnings_of_idle(settings, "data", "tokenizer")
        unknown = describe_unknown(read_statistics(data_dir), assembly.tokenizers, lowercase=settings.data.lowercase)
        return PreparationReport(data_dir, manifest, tuple(chain(idle, warnings, unknown)), tuple(choices))

    def _refuse_replacing(self, data_dir: Path, records: tuple[InputRecord, ...], *, force: bool) -> None:
        """Refuse to replace what has come meanwhile, if it is not from another process that shared the work and died
        when it was there: an NmtError, and no DataError, because that can be moved away, so the work is kept."""
        try:
            has_come = holds_data(data_dir) and not force
            is_other = has_come and not read_manifest(data_dir).was_made_from(records, self.kind.settings)
        except DataError as error:
            raise NmtError(f"{error}; the same command continues from here") from error
        if is_other:
            raise NmtError(f"{data_dir} holds data that were not there before; `nmt prepare --force` replaces them")

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

    def _go_through(self, stages: Stages[R]) -> tuple[Assembly[R], list[str], list[str]]:
        """Go through all stages but the last one; return its parts, and the choices and the warnings of the others."""
        kind, valid = self.kind, self._read_valid()
        test = {"test": kind.read(self.inputs.test.source.records())} if self.inputs.test else {}

        def overlap() -> Overlap:  # with what models are judged by, as far as it is known
            validation = {"validation": [record for one in valid for record in one.records]} if valid else {}
            return kind.overlap(validation | test)

        sifted = stages.sift(overlap())
        if not any(block.accepted for block in sifted):
            raise DataError(f"no training {kind.noun} are left after cleaning: {self._describe(*sifted)}")
        accepted = stages.compare(sifted)
        if all(corpus.is_replayed for corpus in self.inputs.valid):
            # As yet none is held out: all that are no duplicates are trained on.
            duplicates = sum(block.accepted for block in sifted) - accepted.trained
            heldout = kind.hold_out(accepted.new, kind.heldout_size(accepted.new, duplicates=duplicates))
            chosen = accepted.read(Trained(heldout))
            taken = [(record, corpus.tag) for corpus, records in chosen for record in records]
            records, tags = [record for record, _ in taken], [tag for _, tag in taken]
            valid.insert(0, ValidationRecords("held out", records, tags))
            accepted = replace(accepted, heldout=heldout)
        tokenizers, warnings = stages.make_tokenizers(accepted, list(self.tokenizers.values()))
        encoded = stages.encode(accepted, overlap())
        if not any(block.kept for block in encoded):
            raise DataError(f"no training {kind.noun} are left after encoding: {self._describe(*sifted, *encoded)}")
        pairs = accepted.trained
        size = vocabulary_size(kind.settings.tokenizer, pairs)
        choices = []
        if not self.tokenizers:
            choices = describe_choice(kind.settings.tokenizer, tokenizers, pairs=pairs, noun=kind.noun)
        assembly = Assembly(kind, accepted, encoded, valid, by_column(kind, tokenizers), size)
        return assembly, choices, warnings

    def _read_valid(self) -> list[ValidationRecords[R]]:
        """Read the validation sets, without records that have an empty text."""
        kind, sets = self.kind, []
        for corpus in self.inputs.valid:
            records = kind.read(corpus.source.records())
            tagged = zip(records, corpus.tags or repeat(corpus.tag), strict=False)
            complete = [(record, tag) for record, tag in tagged if all(chain.from_iterable(kind.texts([record])))]
            if not complete:
                which = f" of {corpus.name}" if len(self.inputs.valid) > 1 else ""
                raise DataError(f"the validation text{which} holds no {kind.complete}")
            own, tags = zip(*complete, strict=True)
            sets.append(ValidationRecords(corpus.name, list(own), tags, len(records) - len(complete)))
        return sets

    def _describe(self, *blocks: BlockResult) -> str:
        """Say why records were rejected, or which files hold none."""
        counts = count_rejected(self.kind, blocks)
        told = ", ".join(f"{count} as {reason}" for reason, count in counts.items() if count)
        files = [str(file) for name, files in self.inputs.named if name.startswith("data.train") for file in files]
        return f"rejected were {told}" if told else f"none was read from {', '.join(files) or 'its files'}"
