"""The last stage but one: the accepted records of a block become ids, in whichever process is free."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import Final, Generic

import numpy as np

from nmt.corpus.cleaning import Reason
from nmt.corpus.hashes import Overlap, Side
from nmt.prepare.blocks import BlockResult, R, Rejection, Rows, as_npy, whole
from nmt.prepare.kinds import RecordKind, TextColumns
from nmt.prepare.sift import Sifted
from nmt.prepared.arrow import Ids
from nmt.prepared.statistics import Statistics
from nmt.text.sequences import FlatSequences
from nmt.text.tokenizer import Tokenizer, Tokenizers, load_tokenizers

REJECTIONS: Final = "rejected.jsonl"
_VALUES: Final = "{}.values.npy"
_LENGTHS: Final = "{}.lengths.npy"


@dataclass(frozen=True)
class Selected:
    """A block, and what is trained on of it."""

    folder: Path
    """Where its ids go to."""
    sifted: Sifted
    rows: Rows
    """Those to train on: neither duplicates nor held out."""
    duplicates: Rows
    tag: str | None

    def __len__(self) -> int:
        return self.sifted.read


@dataclass(frozen=True)
class Encoded(BlockResult):
    """What has become of the accepted records of a block; what the first stage has rejected is not counted again."""

    kept: int
    overlap: dict[str, dict[str, int]]
    """What the kept ones have in common with the text that models are judged by."""

    def ids(self, names: Iterable[str]) -> Ids:
        """Map the id columns."""
        columns = {}
        for name in names:
            lengths = np.load(self.folder / _LENGTHS.format(name))
            # An empty file cannot be mapped.
            values = np.load(self.folder / _VALUES.format(name), mmap_mode="r" if len(lengths) else None)
            columns[name] = FlatSequences.end_to_end(values, lengths)
        return columns


def by_column(kind: RecordKind[R], tokenizers: Tokenizers) -> dict[str, Tokenizer]:
    """Give each id column its tokenizer; one text has one, the joint one."""
    return dict(zip((column.ids for column in kind.columns), (tokenizers.src, tokenizers.tgt), strict=False))


def encode(tokenizers: Mapping[str, Tokenizer], masked: TextColumns) -> dict[str, FlatSequences]:
    """Cut each text into the pieces of its column."""
    columns = zip(tokenizers.items(), masked, strict=True)
    return {name: tokenizer.encode_flat(texts) for (name, tokenizer), texts in columns}


@dataclass(frozen=True)
class Encoder(Generic[R]):
    """Masks what is to be masked, and cuts each text of a record into the pieces of its column."""

    kind: RecordKind[R]
    tokenizers: Mapping[str, Tokenizer]
    """By the columns, in the order of the texts."""
    overlap: Overlap
    """The text that models are judged by, records that are held out too."""
    drop_overlap: tuple[Side, ...]
    """Where overlap is a reason in this stage: the first one could not know records that are held out."""

    @classmethod
    def load(
        cls, kind: RecordKind[R], tokenizers: Path, overlap: Overlap, drop_overlap: tuple[Side, ...]
    ) -> "Encoder[R]":
        """Make it with the tokenizers of a folder."""
        return cls(kind, by_column(kind, load_tokenizers(tokenizers)), overlap, drop_overlap)

    def __call__(self, selected: Selected) -> Encoded:
        """Encode a block, and write its ids, and all that was rejected of it in any stage."""
        kind, sifted, rows = self.kind, selected.sifted, selected.rows
        masked = kind.mask_train(sifted.texts(kind.record, rows), selected.tag)
        ids = encode(self.tokenizers, masked)
        against = self._reasons(sifted, rows, ids)
        kept = np.ones(len(rows), dtype=np.bool_)
        kept[list(against)] = False
        if against:
            ids = {
                name: FlatSequences.end_to_end(one.values[np.repeat(kept, one.lengths)], one.lengths[kept])
                for name, one in ids.items()
            }
            masked = tuple(list(compress(texts, kept.tolist())) for texts in masked)
        statistics = Statistics.empty(list(ids))
        statistics.keep(dict(zip(ids, masked, strict=True)), ids, self.tokenizers)
        reasons: dict[int, Reason] = dict.fromkeys(selected.duplicates.tolist(), "duplicate")
        reasons |= {int(rows[index]): reason for index, reason in against.items()}
        rejections = self._reject(sifted, reasons, statistics)
        overlap = self.overlap.count(sifted.keys(Rows(rows[kept]))) if self.overlap.sets else {}
        rejected = dict(Counter[str](reasons.values()))
        encoded = Encoded(selected.folder, len(selected), rejected, int(kept.sum()), overlap)
        _write(encoded, ids, sorted(rejections + sifted.rejections()), statistics)
        return encoded

    def _reject(self, sifted: Sifted, reasons: Mapping[int, Reason], statistics: Statistics) -> list[Rejection]:
        """Note what was rejected in this stage, by its rows."""
        if not reasons:
            return []
        rows = Rows(np.array(list(reasons), dtype=np.int64))
        places, records = sifted.places()[rows].tolist(), sifted.records(self.kind.record, rows)
        rejections = []
        for place, record, reason in zip(places, records, reasons.values(), strict=True):
            statistics.reject(record, reason, seed=self.kind.settings.data.seed)
            rejections.append(Rejection(place, record.file, record.line, reason))
        return rejections

    def _reasons(self, sifted: Sifted, rows: Rows, ids: Ids) -> dict[int, Reason]:
        """Say which records should not be trained on, by their indices in `rows`."""
        lengths = np.array([column.lengths for column in ids.values()])
        reasons: dict[int, Reason] = {}
        for index in np.flatnonzero(lengths.max(axis=0) > self.kind.max_pieces).tolist():
            reasons[index] = "too_many_pieces"
        for index in np.flatnonzero(lengths.min(axis=0) == 0).tolist():
            reasons[index] = "empty"
        if self.drop_overlap:
            flags = self.overlap.flag(sifted.keys(rows), self.drop_overlap)
            reasons |= dict.fromkeys(np.flatnonzero(flags).tolist(), "overlap")
        return reasons


def _write(encoded: Encoded, ids: Ids, rejections: Sequence[Rejection], statistics: Statistics) -> None:
    with whole(encoded.folder) as folder:
        for name, column in ids.items():
            (folder / _VALUES.format(name)).write_bytes(as_npy(column.values))
            (folder / _LENGTHS.format(name)).write_bytes(as_npy(column.lengths))
        with (folder / REJECTIONS).open("w", encoding="utf-8", newline="") as file:
            for rejection in rejections:
                record = {"file": rejection.file, "line": rejection.line, "reason": rejection.reason}
                file.write(json.dumps(record, ensure_ascii=False) + "\n")
        encoded.note(folder, statistics)
