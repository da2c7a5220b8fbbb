"""The last stage: what the others have left, block by block, becomes the files of a data folder."""

import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Generic

from nmt.corpus.overlap import OverlapCounts
from nmt.prepared.corpus import Corpus, Found, Part, ValidationSet
from nmt.prepared.encoding import REJECTIONS, Encoded, encode
from nmt.prepared.manifest import (
    REJECTED,
    TRAIN,
    VALID,
    CorpusCount,
    Counts,
    OverlapCount,
    Tally,
    TextCounts,
    ValidCount,
)
from nmt.prepared.pieces import PieceCounts, count_pieces
from nmt.prepared.selection import OnProgress, Progress
from nmt.prepared.sifting import Sifted
from nmt.prepared.spool import R
from nmt.prepared.statistics import Statistics, write_statistics
from nmt.prepared.writing import Ids, write_train, write_valid
from nmt.subword import Tokenizer


@dataclass(frozen=True)
class Assembly(Generic[R]):
    """All that a data folder is made of."""

    corpus: Corpus[R]
    parts: Sequence[Part[R]]
    sifted: Sequence[Sifted]
    encoded: Sequence[Encoded]
    """The same blocks."""
    valid: Sequence[ValidationSet[R]]
    heldout: int
    """How many training records became validation records."""
    tokenizers: Mapping[str, Tokenizer]
    """By the columns."""

    def write(self, folder: Path, on_progress: OnProgress) -> tuple[Counts | TextCounts, dict[str, str]]:
        """Write all files but the tokenizers and the manifest.

        Returns:
            The counts, and the SHA-256 of the files for which it is known.
        """
        on_progress(Progress("writing", 0, sum(block.kept for block in self.encoded)))
        statistics = self._merge_statistics()
        valid = self._write_valid(folder / VALID, statistics)
        train = {name: PieceCounts(tokenizer) for name, tokenizer in self.tokenizers.items()}
        written = write_train(folder / TRAIN, train, self._count(train, on_progress))
        for column in self.corpus.columns:
            path = folder / column.vocabulary
            path.write_text("".join(train[column.ids].lines()), encoding="utf-8", newline="")
        with (folder / REJECTED).open("wb") as file:
            for block in self.encoded:
                with (block.folder / REJECTIONS).open("rb") as part:
                    shutil.copyfileobj(part, file)
        write_statistics(folder, statistics)
        return self.corpus.count(self._tally(train, valid)), {TRAIN: written.sha256}

    def _merge_statistics(self) -> Statistics:
        merged = Statistics.empty(list(self.tokenizers))
        for sifted, encoded in zip(self.sifted, self.encoded, strict=True):
            merged.merge(sifted.statistics())
            merged.merge(encoded.statistics())
        return merged

    def _write_valid(self, path: Path, statistics: Statistics) -> dict[str, PieceCounts]:
        """Write the validation sets end to end, and count their pieces."""
        texts = self.corpus.texts([record for one in self.valid for record in one.records])
        sets = [self.corpus.mask_valid(self.corpus.texts(one.records), one.tags) for one in self.valid]
        ids = encode(self.tokenizers, tuple(list(chain(*columns)) for columns in zip(*sets, strict=True)))
        write_valid(
            path,
            {column.text: column_texts for column, column_texts in zip(self.corpus.columns, texts, strict=True)},
            ids,
        )
        for one, masked in zip(self.valid, sets, strict=True):
            columns = dict(zip(ids, masked, strict=True))
            statistics.keep_valid(one.name, columns, encode(self.tokenizers, masked), self.tokenizers)
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
            on_progress(Progress("writing", done, total))

    def _tally(self, train: Mapping[str, PieceCounts], valid: Mapping[str, PieceCounts]) -> Found:
        corpora = tuple(self._count_part(number, part) for number, part in enumerate(self.parts))
        rejected = sum((Counter(corpus.rejected) for corpus in corpora), Counter())
        overlap = OverlapCounts({})
        for block in self.encoded:
            overlap += OverlapCounts.from_tree(block.overlap)
        tally = Tally(
            read=sum(corpus.read for corpus in corpora),
            rejected={reason: rejected[reason] for reason in self.corpus.reasons},
            heldout=self.heldout,
            train=sum(corpus.train for corpus in corpora),
            valid=sum(len(one.records) for one in self.valid),
            valid_dropped=sum(one.dropped for one in self.valid),
        )
        validation = tuple(map(_count_valid, self.valid))
        counts = {name: OverlapCount(**count) for name, count in overlap.to_tree().items()}
        return Found(tally, corpora, validation, counts, train, valid)

    def _count_part(self, number: int, part: Part[R]) -> CorpusCount:
        blocks = [(one, two) for one, two in zip(self.sifted, self.encoded, strict=True) if one.part == number]
        read, train = sum(one.read for one, _ in blocks), sum(two.kept for _, two in blocks)
        rejected = count_reasons([one for one, _ in blocks], [two for _, two in blocks])
        return CorpusCount(
            name=part.name,
            weight=part.weight,
            tag=part.tag,
            read=read,
            rejected={reason: rejected[reason] for reason in self.corpus.reasons},
            heldout=read - rejected.total() - train,
            train=train,
        )


def _count_valid(one: ValidationSet[R]) -> ValidCount:
    tags = tuple(dict.fromkeys(tag for tag in one.tags if tag))
    return ValidCount(name=one.name, pairs=len(one.records), dropped=one.dropped, tags=tags)


def count_reasons(sifted: Iterable[Sifted], encoded: Iterable[Encoded]) -> Counter[str]:
    """Count what the stages have rejected, by reason."""
    counts: Counter[str] = Counter()
    for one in sifted:
        counts.update(one.rejected)
    for two in encoded:
        counts.update(two.rejected)
    return counts
