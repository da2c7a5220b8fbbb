"""The stages of a preparation, each of which goes on where an earlier run was killed.

Blocks of the corpus are cleaned and put on disk (`sifting`), their hashes are compared (`duplicates`), validation
records and the sample for the tokenizer are drawn (`selection`), and the blocks are encoded (`encoding`). The process
that calls this hands out blocks and does nothing for each line. Its memory holds a few numbers for each block, a bit
for each record, the validation text, and what SentencePiece makes of the sample.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Generic

import numpy as np

from nmt.corpus.overlap import Overlap
from nmt.files import replacing, write_text
from nmt.prepared.accepted import Accepted
from nmt.prepared.corpus import Corpus, Part
from nmt.prepared.duplicates import find_duplicates
from nmt.prepared.encoding import Encoded, Encoding, Selected, read_encoded
from nmt.prepared.selection import OnProgress, Positions, Progress, draw
from nmt.prepared.sifting import Raw, Sifted, Sifter, read_sifted
from nmt.prepared.spool import R, as_npy
from nmt.prepared.tokenizing import tags_of, take_tokenizer, train_tokenizers
from nmt.prepared.work import is_whole, whole
from nmt.subword import Tokenizers, load_tokenizers
from nmt.workers import map_blocks

BLOCK_READ: Final = 20_000
"""Records that are worked on at a time."""

_WARNINGS: Final = "warnings.json"


@dataclass(frozen=True)
class Stages(Generic[R]):
    """The stages of one preparation."""

    work: Path
    """The folder that belongs to these data and settings."""
    corpus: Corpus[R]
    on_progress: OnProgress
    workers: int
    """Processes at most; what comes out does not depend on it."""
    block: int = BLOCK_READ

    def sift(self, parts: Sequence[Part[R]], overlap: Overlap) -> list[Sifted]:
        """Read and clean the training text.

        Args:
            parts: The corpora, in their order.
            overlap: The text that models are judged by, as far as it is known.
        """
        folder, complete = self.work / "sifted", self.work / "sifted.complete"
        folder.mkdir(exist_ok=True)
        if complete.exists():
            names = json.loads(complete.read_bytes())
            blocks = [sifted for name in names if (sifted := read_sifted(folder / name))]
            if len(blocks) == len(names):  # else a power failure has taken some
                return blocks
        self.on_progress(Progress("reading", 0))
        done: dict[str, Sifted] = {}
        make = partial(Sifter, self.corpus, self.corpus.make_judge(overlap))
        unread = _Unread(folder, parts, self.block, done)
        with closing(map_blocks(make, unread, workers=self.workers, few=self.block)) as results:
            for sifted in results:
                done[sifted.folder.name] = sifted
                self.on_progress(Progress("reading", sum(one.read for one in done.values()), unread.estimate()))
        write_text(complete, json.dumps(sorted(done)))
        return [done[name] for name in sorted(done)]

    def compare(self, blocks: Sequence[Sifted]) -> Accepted[R]:
        """Find duplicates."""
        total = sum(block.accepted for block in blocks)
        if not self.corpus.drops_duplicates:
            return Accepted(self.corpus.record, blocks, None)
        if not self._bits.exists():
            self.on_progress(Progress("finding duplicates", 0, total))
            bits = find_duplicates((block.hashes() for block in blocks), total, self.work)
            with replacing(self._bits) as file:
                file.write(as_npy(bits))
        return Accepted(self.corpus.record, blocks, np.load(self._bits))

    def make_tokenizers(
        self, accepted: Accepted[R], heldout: Positions, given: Sequence[Path]
    ) -> tuple[Tokenizers, list[str]]:
        """Train tokenizers on a sample of what is not held out, or take those that are given.

        Returns:
            The tokenizers, whose files are in `tokenizers`, and warnings for the user.
        """
        settings = self.corpus.settings
        if not is_whole(self.tokenizers):
            with whole(self.tokenizers) as folder:
                if given:
                    _, warnings = take_tokenizer(folder, settings.tokenizer, given)
                else:
                    self.on_progress(Progress("training the tokenizer", 0))
                    rng = np.random.default_rng((settings.data.seed, 1))
                    sample = draw(rng, accepted.total - len(heldout), settings.tokenizer.max_training_lines)
                    texts = self.corpus.tokenizer_texts(partial(self._masked, accepted, heldout, sample))
                    _, warnings = train_tokenizers(folder, settings.tokenizer, texts, tags=tags_of(settings))
                write_text(folder / _WARNINGS, json.dumps(warnings))
        return load_tokenizers(self.tokenizers), json.loads((self.tokenizers / _WARNINGS).read_bytes())

    def encode(
        self, accepted: Accepted[R], heldout: Positions, *, tags: Sequence[str | None], overlap: Overlap
    ) -> list[Encoded]:
        """Encode what is trained on.

        Args:
            accepted: All that could be.
            heldout: What is not.
            tags: Those of the corpora.
            overlap: The text that models are judged by.
        """
        folder = self.work / "encoded"
        folder.mkdir(exist_ok=True)
        how = Encoding(
            self.corpus,
            self.tokenizers,
            self._bits if self.corpus.drops_duplicates else None,
            overlap,
            drop_overlap=self.corpus.settings.data.drop_overlap if len(heldout) else (),
        )
        total = sum(block.read for block in accepted.blocks)
        self.on_progress(Progress("encoding", 0, total))
        encoded: dict[str, Encoded] = {}
        waiting = _unencoded(accepted.select(heldout, folder=folder, tags=tags), encoded)
        with closing(map_blocks(how.start, waiting, workers=self.workers, few=self.block)) as results:
            for one in results:
                encoded[one.folder.name] = one
                self.on_progress(Progress("encoding", sum(block.read for block in encoded.values()), total))
        return [encoded[name] for name in sorted(encoded)]

    @property
    def tokenizers(self) -> Path:
        """The folder of the tokenizers."""
        return self.work / "tokenizers"

    @property
    def _bits(self) -> Path:
        return self.work / "duplicates.npy"

    def _masked(self, accepted: Accepted[R], heldout: Positions, sample: Positions) -> Iterator[tuple[str, ...]]:
        """Read the sample, with placeholders."""
        for _, records in accepted.read(sample, heldout=heldout):
            yield from zip(*self.corpus.mask_train(self.corpus.texts(records), None), strict=True)


@dataclass
class _Unread(Generic[R]):
    """The blocks that have not been cleaned yet; those that have been are noted."""

    folder: Path
    parts: Sequence[Part[R]]
    size: int
    done: dict[str, Sifted]
    records: int = 0
    """How many have been read so far, in this run and those before."""
    complete: bool = False

    def __iter__(self) -> Iterator[Raw[R]]:
        blocks = ((part, block) for part, corpus in enumerate(self.parts) for block in corpus.source.blocks(self.size))
        for number, (part, block) in enumerate(blocks):
            self.records += len(block)
            path = self.folder / f"{number:06}"
            sifted = read_sifted(path)
            if sifted is None:
                yield Raw(path, part, block)
            else:
                self.done[path.name] = sifted
        self.complete = True

    def estimate(self) -> int | None:
        """Say how many records there are in all, by the share of the files that has been read."""
        if self.complete:
            return self.records
        read = sum(part.source.read_bytes for part in self.parts)
        total = sum(part.source.total_bytes for part in self.parts)
        return round(self.records * max(total / read, 1.0)) if read else None


def _unencoded(blocks: Iterator[Selected], done: dict[str, Encoded]) -> Iterator[Selected]:
    """Give the blocks that have not been encoded yet, and note those that have."""
    for selected in blocks:
        encoded = read_encoded(selected.folder)
        if encoded is None:
            yield selected
        else:
            done[selected.folder.name] = encoded
