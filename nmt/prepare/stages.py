"""The stages of a preparation, each of which goes on where an earlier run was killed.

Blocks of the corpora are cleaned and put on disk (`Sifter`), their hashes are compared, validation records and the
sample for the tokenizer are drawn, and the blocks are encoded (`Encoder`). The process that has the `Stages` hands out
blocks and does nothing for each line. Its memory holds a few numbers for each block, a bit for each record, the
validation text, and what SentencePiece makes of the sample.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import compress
from pathlib import Path
from typing import Final, Generic

import numpy as np
from numpy.typing import NDArray

from nmt.corpus.base import Block, R
from nmt.corpus.cleaning import Reason
from nmt.corpus.hashes import Bits, Overlap, Side, find_duplicates, read_bits
from nmt.io.files import replacing, write_text
from nmt.io.shared_work import is_whole, whole
from nmt.io.work import locked
from nmt.prepare.blocks import (
    HASHES,
    KEYS,
    LENGTHS,
    REJECTED,
    REJECTIONS,
    VALUES,
    Encoded,
    Fresh,
    Places,
    Rejection,
    Rows,
    Sifted,
    Trained,
    as_npy,
    write_records,
)
from nmt.prepare.inputs import Corpus
from nmt.prepare.kinds import Judge, RecordKind, TextColumns, draw
from nmt.prepare.sharing import SharedBlocks
from nmt.prepare.tokenizing import tags_of, take_tokenizers, train_tokenizers
from nmt.prepared.arrow import Ids
from nmt.prepared.statistics import Statistics
from nmt.text.sequences import FlatSequences
from nmt.text.tokenizer import Tokenizer, Tokenizers, load_tokenizers

BLOCK_READ: Final = 20_000
"""Records that are worked on at a time."""

_WARNINGS: Final = "warnings.json"


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
    """The first stage, in whichever process is free: reads and cleans a block."""

    kind: RecordKind[R]
    judge: Judge[R]
    judges: Mapping[int, Judge[R]] = field(default_factory=dict)
    """Of the corpora that have one of their own, by their numbers."""

    def __call__(self, raw: Raw[R]) -> Sifted:
        """Write the records that there is no reason against, and what the others were rejected for."""
        kind = self.kind
        records = kind.read(raw.block.records())
        reasons = self.judges.get(raw.corpus, self.judge)(records)
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
            write_records(folder, kind.record, accepted, places)
            (folder / REJECTED).write_text(json.dumps(rejections), encoding="utf-8")
            if (hashes := kind.hashes(accepted)) is not None:
                (folder / HASHES).write_bytes(as_npy(hashes))
            if keys := kind.keys(accepted):
                (folder / KEYS).write_bytes(as_npy(np.stack([keys.source, keys.target])))
            sifted.note(folder, statistics)
        return sifted


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


def by_column(kind: RecordKind[R], tokenizers: Tokenizers) -> dict[str, Tokenizer]:
    """Give each id column its tokenizer; one text has one, the joint one."""
    return dict(zip((column.ids for column in kind.columns), (tokenizers.src, tokenizers.tgt), strict=False))


def encode(tokenizers: Mapping[str, Tokenizer], masked: TextColumns) -> dict[str, FlatSequences]:
    """Cut each text into the pieces of its column."""
    columns = zip(tokenizers.items(), masked, strict=True)
    return {name: tokenizer.encode_flat(texts) for (name, tokenizer), texts in columns}


class Encoder(Generic[R]):
    """The last stage but one, in whichever process is free: turns what is trained on into ids."""

    def __init__(self, kind: RecordKind[R], tokenizers: Path, overlap: Overlap, drop_overlap: tuple[Side, ...]) -> None:
        """Load the tokenizers of a folder.

        Args:
            overlap: The text that models are judged by, records that are held out too.
            drop_overlap: Where overlap is a reason in this stage: the first one could not know records held out.
        """
        self._kind: RecordKind[R] = kind
        self._tokenizers = by_column(kind, load_tokenizers(tokenizers))
        self._overlap = overlap
        self._drop_overlap = drop_overlap

    def __call__(self, selected: Selected) -> Encoded:
        """Write the ids of a block, and all that was rejected of it in any stage."""
        kind, sifted, rows = self._kind, selected.sifted, selected.rows
        masked = kind.mask_train(sifted.texts(kind.record, rows), selected.tag)
        ids = encode(self._tokenizers, masked)
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
        statistics.train.add(dict(zip(ids, masked, strict=True)), ids, self._tokenizers)
        reasons: dict[int, Reason] = dict.fromkeys(selected.duplicates.tolist(), "duplicate")
        reasons |= {int(rows[index]): reason for index, reason in against.items()}
        rejections = sorted(self._reject(sifted, reasons, statistics) + sifted.rejections())
        overlap = self._overlap.count(sifted.keys(Rows(rows[kept]))) if self._overlap.sets else {}
        rejected = dict(Counter[str](reasons.values()))
        encoded = Encoded(selected.folder, len(selected), rejected, int(kept.sum()), overlap)
        with whole(encoded.folder) as folder:
            for name, column in ids.items():
                (folder / VALUES.format(name)).write_bytes(as_npy(column.values))
                (folder / LENGTHS.format(name)).write_bytes(as_npy(column.lengths))
            with (folder / REJECTIONS).open("w", encoding="utf-8", newline="") as file:
                for _, origin, line, reason in rejections:
                    file.write(json.dumps({"file": origin, "line": line, "reason": reason}, ensure_ascii=False) + "\n")
            encoded.note(folder, statistics)
        return encoded

    def _reject(self, sifted: Sifted, reasons: Mapping[int, Reason], statistics: Statistics) -> list[Rejection]:
        """Note what was rejected in this stage, by its rows."""
        if not reasons:
            return []
        rows = Rows(np.array(list(reasons), dtype=np.int64))
        places, records = sifted.places()[rows].tolist(), sifted.records(self._kind.record, rows)
        rejections = []
        for place, record, reason in zip(places, records, reasons.values(), strict=True):
            statistics.reject(record, reason, seed=self._kind.settings.data.seed)
            rejections.append(Rejection(place, record.file, record.line, reason))
        return rejections

    def _reasons(self, sifted: Sifted, rows: Rows, ids: Ids) -> dict[int, Reason]:
        """Say which records should not be trained on, by their indices in `rows`."""
        lengths = np.array([column.lengths for column in ids.values()])
        reasons: dict[int, Reason] = {}
        for index in np.flatnonzero(lengths.max(axis=0) > self._kind.max_pieces).tolist():
            reasons[index] = "too_many_pieces"
        for index in np.flatnonzero(lengths.min(axis=0) == 0).tolist():
            reasons[index] = "empty"
        if self._drop_overlap:
            flags = self._overlap.flag(sifted.keys(rows), self._drop_overlap)
            reasons |= dict.fromkeys(np.flatnonzero(flags).tolist(), "overlap")
        return reasons


@dataclass(frozen=True)
class StageProgress:
    """How far a stage has come."""

    stage: str
    done: int
    total: int | None = None
    """Pairs or lines in all, where that is known."""


OnProgress = Callable[[StageProgress], None]


@dataclass(frozen=True)
class Accepted(Generic[R]):
    """Blocks that have been through the first stage, which of their records are duplicates, and which are held out."""

    record: type[R]
    corpora: Sequence[Corpus[R]]
    blocks: Sequence[Sifted]
    duplicates: Bits | None
    """Of the accepted records of all blocks; None: duplicates are kept."""
    heldout: Fresh = field(default_factory=lambda: Fresh(np.zeros(0, dtype=np.int64)))
    """What is validated on, in order, and not trained on."""

    @cached_property
    def trained(self) -> int:
        """How many records are trained on."""
        return sum(len(fresh) for _, fresh, _ in self._rows()) - len(self.heldout)

    @cached_property
    def new(self) -> int:
        """How many records, the first ones, are neither replayed nor duplicates."""
        return sum(len(fresh) for sifted, fresh, _ in self._rows() if not self.corpora[sifted.corpus].is_replayed)

    def read(self, chosen: Trained) -> Iterator[tuple[Corpus[R], list[R]]]:
        """Read chosen records, block by block, and say of which corpus they are."""
        start = 0
        for selected in self.select(Path()):
            here = _within(chosen, start, len(selected.rows))
            start += len(selected.rows)
            if len(here):
                sifted = selected.sifted
                yield self.corpora[sifted.corpus], sifted.records(self.record, Rows(selected.rows[here]))

    def select(self, folder: Path) -> Iterator[Selected]:
        """Say of each block what is trained on; its ids will have a folder of their own in `folder`."""
        start = 0
        for number, (sifted, fresh, duplicates) in enumerate(self._rows()):
            rows = np.delete(fresh, _within(self.heldout, start, len(fresh)))
            tag = self.corpora[sifted.corpus].tag
            yield Selected(folder / f"{number:06}", sifted, Rows(rows), duplicates, tag)
            start += len(fresh)

    def _rows(self) -> Iterator[tuple[Sifted, Rows, Rows]]:
        """Give each block, its records that are no duplicates, and those that are."""
        first = 0
        for sifted in self.blocks:
            bits = np.zeros(sifted.accepted, dtype=np.bool_)
            if self.duplicates is not None:
                bits = read_bits(self.duplicates, first, sifted.accepted)
            yield sifted, Rows(np.flatnonzero(~bits)), Rows(np.flatnonzero(bits))
            first += sifted.accepted


@dataclass(frozen=True)
class Stages(Generic[R]):
    """The stages of one preparation."""

    work: Path
    """The folder that belongs to these data and settings."""
    kind: RecordKind[R]
    corpora: Sequence[Corpus[R]]
    """What is trained on."""
    on_progress: OnProgress
    workers: int
    """Processes at most; what comes out does not depend on it."""
    block: int = BLOCK_READ

    def sift(self, overlap: Overlap) -> list[Sifted]:
        """Read and clean the training text; `overlap` is what models are judged by, as far as it is known."""
        folder, complete = self.work / "sifted", self.work / "sifted.complete"
        folder.mkdir(exist_ok=True)
        if complete.exists():
            names = json.loads(complete.read_bytes())
            blocks = [sifted for name in names if (sifted := Sifted.find(folder / name))]
            if len(blocks) == len(names):  # else a power failure has taken some
                return blocks
        self.on_progress(StageProgress("reading", 0))
        unread = _Unread(folder, self.corpora, self.block)
        judges = {
            number: self.kind.make_judge(overlap, of_reversed=one.is_reversed, of_replayed=one.is_replayed)
            for number, one in enumerate(self.corpora)
            if one.is_reversed or one.is_replayed
        }
        make = partial(Sifter, self.kind, self.kind.make_judge(overlap), judges)
        blocks = SharedBlocks(unread.blocks, Sifted).finish(
            make,
            workers=self.workers,
            on_done=lambda records: self.on_progress(StageProgress("reading", records, unread.estimate())),
        )
        write_text(complete, json.dumps([sifted.folder.name for sifted in blocks]))
        return blocks

    def compare(self, blocks: Sequence[Sifted]) -> Accepted[R]:
        """Find duplicates."""
        path, bits = self.work / "duplicates.npy", None
        if self.kind.drops_duplicates:
            total = sum(block.accepted for block in blocks)
            if not path.exists():
                self.on_progress(StageProgress("finding duplicates", 0, total))
            with locked(path.with_suffix(".lock")):
                if not path.exists():
                    found = find_duplicates((block.hashes() for block in blocks), total, self.work)
                    with replacing(path) as file:
                        file.write(as_npy(found))
            bits = np.load(path)
        return Accepted(self.kind.record, self.corpora, blocks, bits)

    def make_tokenizers(self, accepted: Accepted[R], given: Sequence[Path]) -> tuple[Tokenizers, list[str]]:
        """Train tokenizers, or take those that are given; return warnings for the user too.

        They are trained on a sample of what is trained on; their files are in `tokenizers`.
        """
        if not (given or self.tokenizers.is_dir()):
            self.on_progress(StageProgress("training the tokenizer", 0))
        with locked(self.tokenizers.with_suffix(".lock")):
            if not is_whole(self.tokenizers):
                with whole(self.tokenizers) as folder:
                    if given:
                        warnings = take_tokenizers(folder, self.kind.settings.tokenizer, given)
                    else:
                        warnings = self._train_tokenizers(folder, accepted)
                    write_text(folder / _WARNINGS, json.dumps(warnings))
        return load_tokenizers(self.tokenizers), json.loads((self.tokenizers / _WARNINGS).read_bytes())

    def _train_tokenizers(self, folder: Path, accepted: Accepted[R]) -> list[str]:
        settings = self.kind.settings
        rng = np.random.default_rng((settings.data.seed, 1))
        drawn = draw(rng, accepted.trained, settings.tokenizer.max_training_lines)

        def masked() -> Iterator[tuple[str, ...]]:
            for _, records in accepted.read(Trained(drawn)):
                yield from zip(*self.kind.mask_train(self.kind.texts(records), None), strict=True)

        texts = self.kind.tokenizer_texts(masked)
        return train_tokenizers(folder, settings.tokenizer, texts, pairs=accepted.trained, tags=tags_of(settings))

    def encode(self, accepted: Accepted[R], overlap: Overlap) -> list[Encoded]:
        """Encode what is trained on; `overlap` is what models are judged by.

        Where a corpus is reversed, a pair that is held out may stand in another corpus the other way round.
        """
        folder, data = self.work / "encoded", self.kind.settings.data
        folder.mkdir(exist_ok=True)
        exchanged: tuple[Side, ...] = ("pair",) if any(corpus.reversed for corpus in data.corpora) else ()
        drop_overlap = data.drop_overlap + exchanged if len(accepted.heldout) else ()
        make = partial(Encoder, self.kind, self.tokenizers, overlap, drop_overlap)
        total = sum(block.read for block in accepted.blocks)
        self.on_progress(StageProgress("encoding", 0, total))
        return SharedBlocks(lambda: accepted.select(folder), Encoded).finish(
            make,
            workers=self.workers,
            on_done=lambda records: self.on_progress(StageProgress("encoding", records, total)),
        )

    @property
    def tokenizers(self) -> Path:
        """The folder of the tokenizers."""
        return self.work / "tokenizers"


@dataclass
class _Unread(Generic[R]):
    """All blocks, as they are read."""

    folder: Path
    corpora: Sequence[Corpus[R]]
    size: int
    records: int = 0
    """How many have been read so far."""
    complete: bool = False

    def blocks(self) -> Iterator[Raw[R]]:
        """Read them from the beginning."""
        self.records, self.complete = 0, False
        blocks = ((number, block) for number, one in enumerate(self.corpora) for block in one.source.blocks(self.size))
        for number, (corpus, block) in enumerate(blocks):
            self.records += len(block)
            yield Raw(self.folder / f"{number:06}", corpus, block)
        self.complete = True

    def estimate(self) -> int | None:
        """Say how many records there are in all, by the share of the files that has been read."""
        if self.complete:
            return self.records
        read = sum(corpus.source.read_bytes for corpus in self.corpora)
        total = sum(corpus.source.total_bytes for corpus in self.corpora)
        return round(self.records * max(total / read, 1.0)) if read else None


def _within(numbers: NDArray[np.int64], start: int, size: int) -> NDArray[np.int64]:
    """Return those of the numbers, which are in order, that lie in the `size` from `start`, counted from there."""
    first, last = np.searchsorted(numbers, (start, start + size))
    return numbers[first:last] - start
