"""The last stage but one: the accepted records of a block become ids, in whichever process is free."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from itertools import compress
from pathlib import Path
from typing import Final, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from nmt.corpus.cleaning import Reason
from nmt.corpus.overlap import Overlap, Side
from nmt.prepared.corpus import Corpus, Texts
from nmt.prepared.duplicates import Bits, read_bits
from nmt.prepared.selection import Positions
from nmt.prepared.sifting import Sifted
from nmt.prepared.spool import R, Rejection, Rows, as_npy
from nmt.prepared.statistics import STATISTICS, Statistics
from nmt.prepared.work import is_whole, whole
from nmt.prepared.writing import Ids
from nmt.sequences import FlatSequences
from nmt.subword import Tokenizer, Tokenizers, load_tokenizers

REJECTIONS: Final = "rejected.jsonl"
_SUMMARY: Final = "summary.json"
_VALUES: Final = "{}.values.npy"
_LENGTHS: Final = "{}.lengths.npy"

T = TypeVar("T")

Kept = NDArray[np.bool_]


@dataclass(frozen=True)
class Selected:
    """A block, and which of its accepted records are trained on: neither duplicates nor those that are held out."""

    folder: Path
    """Where its ids go to."""
    sifted: Sifted
    first: int
    """How many accepted records there are in the blocks before."""
    heldout: Positions
    """Which are held out, of the records that are no duplicates."""
    tag: str | None

    def __len__(self) -> int:
        return self.sifted.read

    def fresh(self, duplicates: Bits | None) -> Rows:
        """Return which of the accepted records are no duplicates."""
        if duplicates is None:
            return np.arange(self.sifted.accepted)
        return np.flatnonzero(~read_bits(duplicates, self.first, self.sifted.accepted))

    def training(self, duplicates: Bits | None) -> Rows:
        """Return which of the accepted records are trained on."""
        return np.delete(self.fresh(duplicates), self.heldout)


@dataclass(frozen=True)
class Encoded:
    """What has become of the accepted records of a block."""

    folder: Path
    read: int
    kept: int
    rejected: dict[str, int]
    """By reason: those that the first stage had let through."""
    overlap: dict[str, dict[str, int]]
    """What the kept ones have in common with the text that models are judged by."""

    def statistics(self) -> Statistics:
        """Read what was noted of the block."""
        return Statistics.from_tree(json.loads((self.folder / STATISTICS).read_bytes()))

    def ids(self, names: Iterable[str]) -> Ids:
        """Map the id columns."""
        return {name: _map_ids(self.folder, name) for name in names}


def read_encoded(folder: Path) -> Encoded | None:
    """Read what a block has become; None: it has not been encoded."""
    if not is_whole(folder):
        return None
    return Encoded(**{**json.loads((folder / _SUMMARY).read_bytes()), "folder": folder})


def by_column(corpus: Corpus[R], tokenizers: Tokenizers) -> dict[str, Tokenizer]:
    """Give each id column its tokenizer; one text has one, the joint one."""
    return dict(zip((column.ids for column in corpus.columns), (tokenizers.src, tokenizers.tgt), strict=False))


def encode(tokenizers: Mapping[str, Tokenizer], masked: Texts) -> dict[str, FlatSequences]:
    """Cut each text into the pieces of its column."""
    columns = zip(tokenizers.items(), masked, strict=True)
    return {name: tokenizer.encode_flat(texts) for (name, tokenizer), texts in columns}


@dataclass(frozen=True)
class Encoding(Generic[R]):
    """How blocks are encoded; it can be sent to another process."""

    corpus: Corpus[R]
    tokenizers: Path
    """The folder with the tokenizers."""
    duplicates: Path | None
    """The file with the bits."""
    overlap: Overlap
    """The text that models are judged by, records that are held out too."""
    drop_overlap: tuple[Side, ...]
    """Where overlap is a reason in this stage: the first one could not know records that are held out."""

    def start(self) -> "Encoder[R]":
        """Load what the work needs."""
        duplicates: Bits | None = np.load(self.duplicates, mmap_mode="r") if self.duplicates else None
        return Encoder(self, by_column(self.corpus, load_tokenizers(self.tokenizers)), duplicates)


@dataclass(frozen=True)
class Encoder(Generic[R]):
    """Masks what is to be masked, and cuts each text of a record into the pieces of its column."""

    how: Encoding[R]
    tokenizers: Mapping[str, Tokenizer]
    """By the columns, in the order of the texts."""
    duplicates: Bits | None

    def __call__(self, selected: Selected) -> Encoded:
        """Encode a block, and write its ids, and all that was rejected of it in any stage."""
        corpus, sifted, rows = self.how.corpus, selected.sifted, selected.training(self.duplicates)
        masked = corpus.mask_train(sifted.texts(corpus.record, rows), selected.tag)
        ids = encode(self.tokenizers, masked)
        against = self._reasons(sifted, rows, ids)
        kept = np.ones(len(rows), dtype=np.bool_)
        kept[list(against)] = False
        ids, masked = _only(ids, kept), tuple(_chosen(texts, kept) for texts in masked)
        statistics = Statistics.empty(list(ids))
        statistics.keep(dict(zip(ids, masked, strict=True)), ids, self.tokenizers)
        known = np.delete(np.arange(sifted.accepted), selected.fresh(self.duplicates))
        reasons: dict[int, Reason] = dict.fromkeys(known.tolist(), "duplicate")
        reasons |= {int(rows[place]): reason for place, reason in against.items()}
        rejections = self._reject(sifted, reasons, statistics)
        overlap = self.how.overlap.count(sifted.keys(rows[kept])).to_tree() if self.how.overlap.sets else {}
        counts = Counter[str](reasons.values())
        encoded = Encoded(selected.folder, len(selected), int(kept.sum()), dict(counts), overlap)
        _write(encoded, ids, sorted(rejections + sifted.rejections()), statistics)
        return encoded

    def _reject(self, sifted: Sifted, reasons: Mapping[int, Reason], statistics: Statistics) -> list[Rejection]:
        """Note what was rejected in this stage."""
        rows = np.array(list(reasons), dtype=np.int64)
        positions = sifted.positions()[rows] if len(rows) else rows
        records = sifted.records(self.how.corpus.record, rows) if len(rows) else []
        rejections = []
        for position, record, reason in zip(positions.tolist(), records, reasons.values(), strict=True):
            statistics.reject(record, reason, seed=self.how.corpus.settings.data.seed)
            rejections.append(Rejection(position, record.file, record.line, reason))
        return rejections

    def _reasons(self, sifted: Sifted, rows: Rows, ids: Ids) -> dict[int, Reason]:
        """Say which records should not be trained on, by their places in `rows`."""
        lengths = np.array([rows.lengths for rows in ids.values()])
        reasons: dict[int, Reason] = {}
        for row in np.flatnonzero(lengths.max(axis=0) > self.how.corpus.max_pieces).tolist():
            reasons[row] = "too_many_pieces"
        for row in np.flatnonzero(lengths.min(axis=0) == 0).tolist():
            reasons[row] = "empty"
        if self.how.drop_overlap:
            flags = self.how.overlap.flag(sifted.keys(rows), self.how.drop_overlap)
            reasons |= dict.fromkeys(np.flatnonzero(flags).tolist(), "overlap")
        return reasons


def _write(encoded: Encoded, ids: Ids, rejections: Iterable[Rejection], statistics: Statistics) -> None:
    with whole(encoded.folder) as folder:
        for name, rows in ids.items():
            (folder / _VALUES.format(name)).write_bytes(as_npy(rows.values))
            (folder / _LENGTHS.format(name)).write_bytes(as_npy(rows.lengths))
        with (folder / REJECTIONS).open("w", encoding="utf-8", newline="") as file:
            for rejection in rejections:
                record = {"file": rejection.file, "line": rejection.line, "reason": rejection.reason}
                file.write(json.dumps(record, ensure_ascii=False) + "\n")
        (folder / STATISTICS).write_text(json.dumps(statistics.to_tree()), encoding="utf-8")
        (folder / _SUMMARY).write_text(json.dumps({**asdict(encoded), "folder": ""}), encoding="utf-8")


def _map_ids(folder: Path, name: str) -> FlatSequences:
    lengths = np.load(folder / _LENGTHS.format(name))
    # An empty file cannot be mapped.
    values = np.load(folder / _VALUES.format(name), mmap_mode="r" if len(lengths) else None)
    return FlatSequences(values, np.cumsum(lengths, dtype=np.int64) - lengths, lengths)


def _only(ids: Ids, kept: Kept) -> dict[str, FlatSequences]:
    """Lay the kept rows end to end."""
    only = {}
    for name, rows in ids.items():
        lengths = rows.lengths[kept]
        values = rows.values if kept.all() else rows.values[np.repeat(kept, rows.lengths)]
        only[name] = FlatSequences(values, np.cumsum(lengths, dtype=np.int64) - lengths, lengths)
    return only


def _chosen(items: list[T], kept: Kept) -> list[T]:
    return items if kept.all() else list(compress(items, kept.tolist()))
