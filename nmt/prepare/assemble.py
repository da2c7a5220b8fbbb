"""The last stage: what the others have left, block by block, becomes the files of a data folder."""

import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Generic

import numpy as np

from nmt.prepare.blocks import BlockResult, R
from nmt.prepare.encode import REJECTIONS, Encoded, encode
from nmt.prepare.inputs import Corpus
from nmt.prepare.kinds import Found, RecordKind
from nmt.prepare.sift import Sifted
from nmt.prepare.stages import OnProgress, StageProgress
from nmt.prepared.arrow import Ids, write_train, write_valid
from nmt.prepared.manifest import (
    REJECTED,
    TRAIN,
    VALID,
    CorpusCount,
    Counts,
    OverlapCount,
    Tally,
    TextCounts,
    ValidationCount,
)
from nmt.prepared.statistics import PieceCounts, Statistics, count_pieces, write_statistics
from nmt.text.sequences import FlatSequences
from nmt.text.tokenizer import Tokenizer


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
    """All that a data folder is made of."""

    kind: RecordKind[R]
    corpora: Sequence[Corpus[R]]
    sifted: Sequence[Sifted]
    encoded: Sequence[Encoded]
    """The same blocks."""
    valid: Sequence[ValidationRecords[R]]
    heldout: int
    """How many training records became validation records."""
    tokenizers: Mapping[str, Tokenizer]
    """By the columns."""

    def write(self, folder: Path, on_progress: OnProgress) -> tuple[Counts | TextCounts, dict[str, str]]:
        """Write all files but the tokenizers and the manifest.

        Returns:
            The counts, and the SHA-256 of the files for which it is known.
        """
        on_progress(StageProgress("writing", 0, sum(block.kept for block in self.encoded)))
        statistics = Statistics.empty(list(self.tokenizers))
        for block in chain(self.sifted, self.encoded):
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
        return self._tally(train, valid), {TRAIN: digest}

    def _write_valid(self, path: Path, statistics: Statistics) -> dict[str, PieceCounts]:
        """Write the validation sets end to end, and count their pieces."""
        kind, found = self.kind, []
        for one in self.valid:
            masked = kind.mask_valid(kind.texts(one.records), one.tags)
            found.append(encode(self.tokenizers, masked))
            statistics.keep_valid(one.name, dict(zip(self.tokenizers, masked, strict=True)), found[-1], self.tokenizers)
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

    def _tally(self, train: Mapping[str, PieceCounts], valid: Mapping[str, PieceCounts]) -> Counts | TextCounts:
        corpora = tuple(self._count_corpus(number, corpus) for number, corpus in enumerate(self.corpora))
        rejected = count_reasons([*self.sifted, *self.encoded])
        overlap: dict[str, Counter[str]] = {}
        for block in self.encoded:
            for name, sides in block.overlap.items():
                overlap.setdefault(name, Counter()).update(sides)
        tally = Tally(
            read=sum(corpus.read for corpus in corpora),
            rejected={reason: rejected[reason] for reason in self.kind.reasons},
            heldout=self.heldout,
            train=sum(corpus.train for corpus in corpora),
            valid=sum(len(one.records) for one in self.valid),
            valid_dropped=sum(one.dropped for one in self.valid),
        )
        validation = tuple(
            ValidationCount(
                name=one.name,
                pairs=len(one.records),
                dropped=one.dropped,
                tags=tuple(dict.fromkeys(tag for tag in one.tags if tag)),
            )
            for one in self.valid
        )
        common = {name: OverlapCount(**sides) for name, sides in overlap.items()}
        return self.kind.count(Found(tally, corpora, validation, common, train, valid))

    def _count_corpus(self, number: int, corpus: Corpus[R]) -> CorpusCount:
        blocks = [both for both in zip(self.sifted, self.encoded, strict=True) if both[0].corpus == number]
        read, train = sum(sifted.read for sifted, _ in blocks), sum(encoded.kept for _, encoded in blocks)
        rejected = count_reasons(chain.from_iterable(blocks))
        return CorpusCount(
            name=corpus.name,
            weight=corpus.weight,
            tag=corpus.tag,
            read=read,
            rejected={reason: rejected[reason] for reason in self.kind.reasons},
            heldout=read - rejected.total() - train,
            train=train,
        )


def count_reasons(blocks: Iterable[BlockResult]) -> Counter[str]:
    """Count what the stages have rejected, by reason."""
    counts: Counter[str] = Counter()
    for block in blocks:
        counts.update(block.rejected)
    return counts
