"""The first stage: blocks of text are read, cleaned and put on disk, each by whichever process is free."""

import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Generic

import numpy as np

from nmt.corpus.overlap import Keys
from nmt.corpus.sources.blocks import Block
from nmt.prepared.corpus import Corpus, Judge, Texts
from nmt.prepared.duplicates import Hashes
from nmt.prepared.spool import (
    R,
    Rejection,
    Rows,
    as_npy,
    read_positions,
    read_records,
    read_rejections,
    read_texts,
    write_records,
    write_rejections,
)
from nmt.prepared.statistics import STATISTICS, Statistics
from nmt.prepared.work import is_whole, whole

_HASHES: Final = "hashes.npy"
_KEYS: Final = "keys.npy"
_RECORDS: Final = "records.arrow"
_REJECTED: Final = "rejected.arrow"
_SUMMARY: Final = "summary.json"


@dataclass(frozen=True)
class Sifted:
    """A block that has been through the first stage."""

    folder: Path
    part: int
    """The number of its corpus."""
    read: int
    accepted: int
    rejected: dict[str, int]
    """By reason."""

    def hashes(self) -> Hashes:
        """Return the hashes of the accepted records."""
        hashes: Hashes = np.load(self.folder / _HASHES)
        return hashes

    def records(self, record: type[R], rows: Rows | None = None) -> list[R]:
        """Read the accepted records, or those of some rows."""
        return read_records(self.folder / _RECORDS, record, rows)

    def texts(self, record: type[R], rows: Rows) -> Texts:
        """Read the texts of some of the accepted records."""
        return read_texts(self.folder / _RECORDS, record, rows)

    def keys(self, rows: Rows) -> Keys:
        """Read by what overlap of some of the accepted records is found."""
        source, target = np.load(self.folder / _KEYS)[:, rows]
        return Keys.of_sides(source, target)

    def positions(self) -> Rows:
        """Read where each accepted record stood in the block."""
        return read_positions(self.folder / _RECORDS)

    def statistics(self) -> Statistics:
        """Read what was noted of the block."""
        return Statistics.from_tree(json.loads((self.folder / STATISTICS).read_bytes()))

    def rejections(self) -> list[Rejection]:
        """Read what was rejected."""
        return read_rejections(self.folder / _REJECTED)


@dataclass(frozen=True)
class Raw(Generic[R]):
    """A block as it comes from its corpus."""

    folder: Path
    """Where it goes to."""
    part: int
    block: Block[R]

    def __len__(self) -> int:
        return len(self.block)


@dataclass(frozen=True)
class Sifter(Generic[R]):
    """Cleans blocks."""

    corpus: Corpus[R]
    judge: Judge[R]

    def __call__(self, raw: Raw[R]) -> Sifted:
        """Read a block, and write the records that there is no reason against."""
        records = self.corpus.read(raw.block.records())
        reasons = self.judge(records)
        statistics = Statistics.empty([column.ids for column in self.corpus.columns])
        rejections = []
        for position, (record, reason) in enumerate(zip(records, reasons, strict=True)):
            if reason is not None:
                statistics.reject(record, reason, seed=self.corpus.settings.data.seed)
                rejections.append(Rejection(position, record.file, record.line, reason))
        positions = np.array([position for position, reason in enumerate(reasons) if reason is None], dtype=np.int64)
        accepted = [records[position] for position in positions]
        counts = Counter[str](rejection.reason for rejection in rejections)
        summary = Sifted(raw.folder, raw.part, len(records), len(accepted), dict(counts))
        with whole(raw.folder) as folder:
            write_records(folder / _RECORDS, self.corpus.record, accepted, positions)
            write_rejections(folder / _REJECTED, rejections)
            if self.corpus.drops_duplicates:
                (folder / _HASHES).write_bytes(as_npy(self.corpus.hashes(accepted)))
            keys = self.corpus.keys(accepted)
            if keys:
                (folder / _KEYS).write_bytes(as_npy(np.stack([keys.source, keys.target])))
            (folder / STATISTICS).write_text(json.dumps(statistics.to_tree()), encoding="utf-8")
            (folder / _SUMMARY).write_text(json.dumps({**asdict(summary), "folder": ""}), encoding="utf-8")
        return summary


def read_sifted(folder: Path) -> Sifted | None:
    """Read what a block has become; None: it has not been through the first stage."""
    if not is_whole(folder):
        return None
    return Sifted(**{**json.loads((folder / _SUMMARY).read_bytes()), "folder": folder})
