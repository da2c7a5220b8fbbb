"""The stages of a preparation, each of which goes on where an earlier run was killed.

Blocks of the corpora are cleaned and put on disk (`sift`), their hashes are compared (`duplicates`), validation records
and the sample for the tokenizer are drawn (`kinds`), and the blocks are encoded (`encode`). The process that calls this
hands out blocks and does nothing for each line. Its memory holds a few numbers for each block, a bit for each record,
the validation text, and what SentencePiece makes of the sample.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from nmt.corpus.hashes import Bits, Overlap, find_duplicates, read_bits
from nmt.io.files import replacing, write_text
from nmt.io.workers import map_blocks
from nmt.prepare.blocks import BlockResult, Fresh, R, Rows, Trained, as_npy, is_whole, whole
from nmt.prepare.encode import Encoded, Encoder, Selected
from nmt.prepare.inputs import Corpus
from nmt.prepare.kinds import RecordKind, draw
from nmt.prepare.sift import Raw, Sifted, Sifter
from nmt.prepare.tokenizing import tags_of, take_tokenizer, train_tokenizers
from nmt.text.tokenizer import Tokenizers, load_tokenizers

BLOCK_READ: Final = 20_000
"""Records that are worked on at a time."""

_WARNINGS: Final = "warnings.json"

Done = TypeVar("Done", bound=BlockResult)
Waiting = TypeVar("Waiting", Raw[Any], Selected)


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
    """Blocks that have been through the first stage, and which of their records are duplicates."""

    record: type[R]
    corpora: Sequence[Corpus[R]]
    blocks: Sequence[Sifted]
    duplicates: Bits | None
    """Of the accepted records of all blocks; None: duplicates are kept."""

    @cached_property
    def total(self) -> int:
        """How many records there are, duplicates left aside."""
        return sum(len(fresh) for _, fresh, _ in self._rows())

    def read(self, chosen: Trained, *, heldout: Fresh) -> Iterator[tuple[Corpus[R], list[R]]]:
        """Read chosen records, block by block, and say of which corpus they are."""
        start = 0
        for selected in self.select(heldout, folder=Path()):
            here = _within(chosen, start, len(selected.rows))
            start += len(selected.rows)
            if len(here):
                sifted = selected.sifted
                yield self.corpora[sifted.corpus], sifted.records(self.record, Rows(selected.rows[here]))

    def read_heldout(self, heldout: Fresh) -> Iterator[tuple[Corpus[R], list[R]]]:
        """Read the records that are held out, as `read` does."""
        return self.read(Trained(heldout), heldout=Fresh(heldout[:0]))  # without any held out, these are the same

    def select(self, heldout: Fresh, *, folder: Path) -> Iterator[Selected]:
        """Say of each block what is trained on; its ids will have a folder of their own in `folder`."""
        start = 0
        for number, (sifted, fresh, duplicates) in enumerate(self._rows()):
            rows = np.delete(fresh, _within(heldout, start, len(fresh)))
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
        make = partial(Sifter, self.kind, self.kind.make_judge(overlap))
        blocks = self._finish("reading", make, unread, Sifted, unread.estimate)
        write_text(complete, json.dumps([sifted.folder.name for sifted in blocks]))
        return blocks

    def compare(self, blocks: Sequence[Sifted]) -> Accepted[R]:
        """Find duplicates."""
        path, bits = self.work / "duplicates.npy", None
        if self.kind.drops_duplicates:
            if not path.exists():
                total = sum(block.accepted for block in blocks)
                self.on_progress(StageProgress("finding duplicates", 0, total))
                found = find_duplicates((block.hashes() for block in blocks), total, self.work)
                with replacing(path) as file:
                    file.write(as_npy(found))
            bits = np.load(path)
        return Accepted(self.kind.record, self.corpora, blocks, bits)

    def make_tokenizers(
        self, accepted: Accepted[R], heldout: Fresh, given: Sequence[Path]
    ) -> tuple[Tokenizers, list[str]]:
        """Train tokenizers on a sample of what is not held out, or take those that are given.

        Returns:
            The tokenizers, whose files are in `tokenizers`, and warnings for the user.
        """
        settings = self.kind.settings
        if not is_whole(self.tokenizers):
            with whole(self.tokenizers) as folder:
                if given:
                    _, warnings = take_tokenizer(folder, settings.tokenizer, given)
                else:
                    self.on_progress(StageProgress("training the tokenizer", 0))
                    rng = np.random.default_rng((settings.data.seed, 1))
                    drawn = draw(rng, accepted.total - len(heldout), settings.tokenizer.max_training_lines)
                    texts = self.kind.tokenizer_texts(partial(self._masked, accepted, heldout, Trained(drawn)))
                    _, warnings = train_tokenizers(folder, settings.tokenizer, texts, tags=tags_of(settings))
                write_text(folder / _WARNINGS, json.dumps(warnings))
        return load_tokenizers(self.tokenizers), json.loads((self.tokenizers / _WARNINGS).read_bytes())

    def encode(self, accepted: Accepted[R], heldout: Fresh, overlap: Overlap) -> list[Encoded]:
        """Encode what is trained on: what is accepted and not held out; `overlap` is what models are judged by."""
        folder = self.work / "encoded"
        folder.mkdir(exist_ok=True)
        drop_overlap = self.kind.settings.data.drop_overlap if len(heldout) else ()
        make = partial(Encoder.load, self.kind, self.tokenizers, overlap, drop_overlap)
        total = sum(block.read for block in accepted.blocks)
        self.on_progress(StageProgress("encoding", 0, total))
        return self._finish("encoding", make, accepted.select(heldout, folder=folder), Encoded, lambda: total)

    @property
    def tokenizers(self) -> Path:
        """The folder of the tokenizers."""
        return self.work / "tokenizers"

    def _finish(
        self, stage: str, make: Callable[[], Callable[[Waiting], Done]], blocks: Iterable[Waiting], kind: type[Done],
        total: Callable[[], int | None],
    ) -> list[Done]:  # fmt: skip
        """Do what an earlier run has not done; return what has become of all blocks, in their order."""
        done: dict[str, Done] = {}

        def unfinished() -> Iterator[Waiting]:
            for block in blocks:
                if found := kind.find(block.folder):
                    done[block.folder.name] = found
                else:
                    yield block

        with closing(map_blocks(make, unfinished(), workers=self.workers, few=self.block)) as results:
            for result in results:
                done[result.folder.name] = result
                self.on_progress(StageProgress(stage, sum(one.read for one in done.values()), total()))
        return [done[name] for name in sorted(done)]

    def _masked(self, accepted: Accepted[R], heldout: Fresh, sample: Trained) -> Iterator[tuple[str, ...]]:
        """Read the sample, with placeholders."""
        for _, records in accepted.read(sample, heldout=heldout):
            yield from zip(*self.kind.mask_train(self.kind.texts(records), None), strict=True)


@dataclass
class _Unread(Generic[R]):
    """All blocks, as they are read."""

    folder: Path
    corpora: Sequence[Corpus[R]]
    size: int
    records: int = 0
    """How many have been read so far."""
    complete: bool = False

    def __iter__(self) -> Iterator[Raw[R]]:
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
