"""The first stage: blocks of text are read, cleaned and put on disk, each by whichever process is free."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic

import numpy as np

from nmt.corpus.base import Block
from nmt.corpus.hashes import Hashes, Keys
from nmt.prepare.blocks import (
    BlockResult,
    Places,
    R,
    Rejection,
    Rows,
    as_npy,
    read_columns,
    read_places,
    read_records,
    whole,
    write_records,
)
from nmt.prepare.kinds import Judge, RecordKind, TextColumns
from nmt.prepared.statistics import Statistics

_HASHES: Final = "hashes.npy"
_KEYS: Final = "keys.npy"
_RECORDS: Final = "records.arrow"
_REJECTED: Final = "rejected.json"


@dataclass(frozen=True)
class Sifted(BlockResult):
    """A block that has been through the first stage."""

    accepted: int
    corpus: int
    """The number of its corpus."""

    def hashes(self) -> Hashes:
        """Return the hashes of the accepted records."""
        hashes: Hashes = np.load(self.folder / _HASHES)
        return hashes

    def records(self, record: type[R], rows: Rows | None = None) -> list[R]:
        """Read the accepted records, or those of some rows."""
        return read_records(self.folder / _RECORDS, record, rows)

    def texts(self, record: type[R], rows: Rows) -> TextColumns:
        """Read the texts of some of the accepted records."""
        return read_columns(self.folder / _RECORDS, record, rows)

    def keys(self, rows: Rows) -> Keys:
        """Read by what overlap of some of the accepted records is found."""
        source, target = np.load(self.folder / _KEYS)[:, rows]
        return Keys.of_sides(source, target)

    def places(self) -> Places:
        """Read where each accepted record stood in the block."""
        return read_places(self.folder / _RECORDS)

    def rejections(self) -> list[Rejection]:
        """Read what was rejected."""
        return [Rejection(*one) for one in json.loads((self.folder / _REJECTED).read_bytes())]


@dataclass(frozen=True)
class Raw(Generic[R]):
    """A block as it comes from its corpus."""

    folder: Path
    """Where it goes to."""
    corpus: int
    block: Block[R]

    def __len__(self) -> int:
        return len(self.block)


@dataclass(frozen=True)
class Sifter(Generic[R]):
    """Cleans blocks."""

    kind: RecordKind[R]
    judge: Judge[R]

    def __call__(self, raw: Raw[R]) -> Sifted:
        """Read a block, and write the records that there is no reason against."""
        kind = self.kind
        records = kind.read(raw.block.records())
        reasons = self.judge(records)
        statistics = Statistics.empty([column.ids for column in kind.columns])
        rejections = []
        for place, (record, reason) in enumerate(zip(records, reasons, strict=True)):
            if reason is not None:
                statistics.reject(record, reason, seed=kind.settings.data.seed)
                rejections.append(Rejection(place, record.file, record.line, reason))
        places = Places(np.array([place for place, reason in enumerate(reasons) if reason is None], dtype=np.int64))
        accepted = [records[place] for place in places]
        rejected = dict(Counter[str](rejection.reason for rejection in rejections))
        sifted = Sifted(raw.folder, len(records), rejected, len(accepted), raw.corpus)
        with whole(raw.folder) as folder:
            write_records(folder / _RECORDS, kind.record, accepted, places)
            (folder / _REJECTED).write_text(json.dumps(rejections), encoding="utf-8")
            if kind.drops_duplicates:
                (folder / _HASHES).write_bytes(as_npy(kind.hashes(accepted)))
            keys = kind.keys(accepted)
            if keys:
                (folder / _KEYS).write_bytes(as_npy(np.stack([keys.source, keys.target])))
            sifted.note(folder, statistics)
        return sifted
