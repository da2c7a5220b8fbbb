"""What the preparation of pairs and that of plain text do each in their own way."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, ClassVar, Final, Generic

import numpy as np
from numpy.typing import NDArray

from nmt.config import Settings
from nmt.corpus.base import R
from nmt.corpus.cleaning import REASONS, Reason, make_cleaner
from nmt.corpus.hashes import Hashes, Keys, Overlap, hash_pairs
from nmt.errors import DataError, counted
from nmt.io.lines import Line, Pair, normaliser
from nmt.prepare.blocks import Fresh
from nmt.prepare.inputs import exchanged
from nmt.prepare.tokenizing import Lines
from nmt.prepared.manifest import SRC, TEXT, TGT, Column, Counts, Tally, TextCounts
from nmt.prepared.statistics import PieceCounts
from nmt.text.placeholders import mask, mask_pair
from nmt.text.tokenizer import JOINT_MODEL, SRC_MODEL, TGT_MODEL

Judge = Callable[[Sequence[R]], list[Reason | None]]
"""Says of each training record why it should be rejected; it can be sent to another process."""
TextColumns = tuple[list[str], ...]
"""The texts of some records: a list of the first ones, and of the second ones where there are two."""
MaskedTexts = Callable[[], Iterator[tuple[str, ...]]]
"""Reads the masked texts of training records anew."""
Pieces = Mapping[str, PieceCounts]
"""Those of each column."""

_CHUNK: Final = 1 << 20


class RecordKind(ABC, Generic[R]):
    """What is done to records, which are pairs or single lines; it can be sent to another process."""

    record: type[R]
    noun: ClassVar[str]
    """What the records are called."""
    complete: ClassVar[str]
    """What a validation record has to be."""
    valid_options: ClassVar[str]
    """The options that name validation text."""
    columns: ClassVar[tuple[Column, ...]]
    """Those of the texts of a record, in their order."""
    reasons: ClassVar[tuple[Reason, ...]]
    """Why a training record may be rejected."""
    is_filtered: ClassVar[bool]
    """Whether training records may be rejected for what they hold."""
    settings: Settings

    @property
    def max_pieces(self) -> float:
        """Most pieces that a text of a training record may have."""
        return self.settings.data.max_pieces if self.is_filtered else inf

    @property
    def drops_duplicates(self) -> bool:
        """Whether a training record is rejected that occurred before."""
        return self.is_filtered and self.settings.data.drop_duplicates

    def read(self, records: Iterable[R]) -> list[R]:
        """Take records that have been read as models will read their text."""
        data = self.settings.data
        if not data.clean_invisible and not data.lowercase:  # they are normalised already
            return list(records)
        normalise = normaliser(data)
        return [self.normalised(record, normalise) for record in records]

    @abstractmethod
    def normalised(self, record: R, normalise: Callable[[str], str]) -> R:
        """Return a record with what `normalise` makes of its texts."""

    @abstractmethod
    def make_judge(self, overlap: Overlap, *, of_reversed: bool = False, of_replayed: bool = False) -> Judge[R]:
        """Make a judge of training records; `overlap` is the text that models are judged by.

        Args:
            of_reversed: It judges pairs whose source is in the language of the targets.
            of_replayed: It judges text of data prepared before, which had its own validation pairs in it.
        """

    def hashes(self, records: Sequence[R]) -> Hashes | None:
        """Return what tells each record from any other, where duplicates are dropped."""
        return None

    def overlap(self, sets: Mapping[str, Iterable[R]]) -> Overlap:
        """Remember text that models are judged by, where training records should have nothing in common with it."""
        return Overlap({})

    def keys(self, records: Sequence[R]) -> Keys | None:
        """Return by what it is found that such text has anything in common with training records."""
        return None

    def heldout_size(self, accepted: int, *, duplicates: int = 0) -> int:
        """Return how many accepted training records are held out for validation; a DataError if there are below ten.

        Args:
            duplicates: How many more were rejected as duplicates, which the error tells.
        """
        size = min(self.settings.data.heldout_pairs, accepted // 10)
        if not size:
            count = counted(accepted, f"training {self.noun.removesuffix('s')}")
            rejected = f", {counted(duplicates, 'duplicate')} left aside," if duplicates else ""
            raise DataError(
                f"{count}{rejected} {'is' if accepted == 1 else 'are'} too few to hold out a tenth for validation; "
                f"give validation text with {self.valid_options}"
            )
        return size

    @abstractmethod
    def hold_out(self, accepted: int, size: int) -> Fresh:
        """Choose `size` of the accepted training records for validation."""

    @abstractmethod
    def texts(self, records: Sequence[R]) -> TextColumns:
        """Return the texts of records."""

    @abstractmethod
    def mask_train(self, texts: TextColumns, tag: str | None) -> TextColumns:
        """Put placeholders into the texts of training records, and the tag of their corpus before them."""

    def mask_valid(self, texts: TextColumns, tags: Sequence[str | None]) -> TextColumns:
        """Put placeholders into the texts of validation records, and before each first text its tag."""
        return self.mask_train(texts, None)

    @abstractmethod
    def tokenizer_texts(self, masked: MaskedTexts) -> Mapping[str, Lines]:
        """Say which of the masked texts the tokenizer of each file is trained on."""

    @abstractmethod
    def count(self, tally: Tally, parts: Mapping[str, Any], train: Pieces, valid: Pieces) -> Counts | TextCounts:
        """Make the counts of the manifest: of the records, of the parts that pairs have, and of the pieces."""


@dataclass(frozen=True)
class PairKind(RecordKind[Pair]):
    """Parallel text: filtered, and held out at random."""

    settings: Settings

    record = Pair
    noun = "pairs"
    complete = "pair with two sides that are not empty"
    valid_options = "--valid-src and --valid-tgt"
    columns = (SRC, TGT)
    reasons = REASONS
    is_filtered = True

    def normalised(self, record: Pair, normalise: Callable[[str], str]) -> Pair:
        """Return a pair with what `normalise` makes of both sides."""
        src, tgt = normalise(record.src), normalise(record.tgt)
        return record if src is record.src and tgt is record.tgt else record._replace(src=src, tgt=tgt)

    def make_judge(self, overlap: Overlap, *, of_reversed: bool = False, of_replayed: bool = False) -> Judge[Pair]:
        """Make the cleaner that the settings ask for; what is replayed has no pair of a validation or test text."""
        data = self.settings.data
        if of_replayed:
            data = data.model_copy(update={"drop_overlap": (*data.drop_overlap, "pair")})
        if of_reversed:
            data = data.model_copy(update={"src_lang": data.tgt_lang, "tgt_lang": data.src_lang})
        return make_cleaner(data, overlap).reasons

    def hashes(self, records: Sequence[Pair]) -> Hashes | None:
        """Hash both sides together."""
        return hash_pairs(records) if self.drops_duplicates else None

    def overlap(self, sets: Mapping[str, Iterable[Pair]]) -> Overlap:
        """Remember both sides and pairs; also exchanged, where a corpus is reversed, or may be in what is replayed."""
        if self.settings.data.replay or any(corpus.reversed for corpus in self.settings.data.corpora):
            sets = {name: [way for pair in pairs for way in (pair, exchanged(pair))] for name, pairs in sets.items()}
        return Overlap.from_sets(sets)

    def keys(self, records: Sequence[Pair]) -> Keys:
        """Hash each side."""
        return Keys.of(records)

    def hold_out(self, accepted: int, size: int) -> Fresh:
        """Choose at random."""
        return Fresh(draw(np.random.default_rng((self.settings.data.seed, 0)), accepted, size))

    def texts(self, records: Sequence[Pair]) -> TextColumns:
        """Return sources and targets."""
        return [pair.src for pair in records], [pair.tgt for pair in records]

    def mask_train(self, texts: TextColumns, tag: str | None) -> TextColumns:
        """Mask what both sides hold alike; the tag is put before the sources."""
        src, tgt = texts
        kinds = self.settings.tokenizer.placeholders
        if kinds:
            pairs = [mask_pair(*pair, kinds) for pair in zip(src, tgt, strict=True)]
            src, tgt = [src for src, _ in pairs], [tgt for _, tgt in pairs]
        return [f"{tag} {text}" for text in src] if tag else src, tgt

    def mask_valid(self, texts: TextColumns, tags: Sequence[str | None]) -> TextColumns:
        """Mask the source as for translation, whatever its target holds, and put its tag before it."""
        src, tgt = texts
        kinds = self.settings.tokenizer.placeholders
        if kinds:
            tgt = [mask_pair(*pair, kinds)[1] for pair in zip(src, tgt, strict=True)]
            src = [mask(text, kinds)[0] for text in src]
        return [f"{tag} {text}" if tag else text for tag, text in zip(tags, src, strict=True)], tgt

    def tokenizer_texts(self, masked: MaskedTexts) -> Mapping[str, Lines]:
        """Both sides for the joint tokenizer, or each for its own."""
        if self.settings.tokenizer.joint:
            return {JOINT_MODEL: lambda: (text for pair in masked() for text in pair)}
        return {SRC_MODEL: lambda: (src for src, _ in masked()), TGT_MODEL: lambda: (tgt for _, tgt in masked())}

    def count(self, tally: Tally, parts: Mapping[str, Any], train: Pieces, valid: Pieces) -> Counts:
        """Count the pieces of both sides."""
        src, tgt = train[SRC.ids], train[TGT.ids]
        return Counts(
            **dict(tally),
            **parts,
            src_pieces=src.total,
            tgt_pieces=tgt.total,
            src_vocabulary=src.vocabulary,
            tgt_vocabulary=tgt.vocabulary,
        )


@dataclass(frozen=True)
class LineKind(RecordKind[Line]):
    """Text that is read on and on: its lines keep their order, may come again, and none is missing but blank ones."""

    settings: Settings

    record = Line
    noun = "lines"
    complete = "line that is not blank"
    valid_options = "--valid-text"
    columns = (TEXT,)
    reasons = ("empty", "too_long")
    is_filtered = False

    def normalised(self, record: Line, normalise: Callable[[str], str]) -> Line:
        """Return a line with what `normalise` makes of it."""
        return Line(normalise(record.text), record.file, record.line, record.fault)

    def make_judge(self, overlap: Overlap, *, of_reversed: bool = False, of_replayed: bool = False) -> Judge[Line]:
        """Make a judge that wants more than white space."""
        return _judge

    def hold_out(self, accepted: int, size: int) -> Fresh:
        """Choose the last ones, which follow from the rest of the text."""
        return Fresh(np.arange(accepted - size, accepted))

    def texts(self, records: Sequence[Line]) -> TextColumns:
        """Return the lines."""
        return ([line.text for line in records],)

    def mask_train(self, texts: TextColumns, tag: str | None) -> TextColumns:
        """Mask what is of the kinds to be masked."""
        kinds = self.settings.tokenizer.placeholders
        return ([mask(text, kinds)[0] for text in texts[0]],) if kinds else texts

    def tokenizer_texts(self, masked: MaskedTexts) -> Mapping[str, Lines]:
        """All lines, for the only tokenizer."""
        return {JOINT_MODEL: lambda: (text for (text,) in masked())}

    def count(self, tally: Tally, parts: Mapping[str, Any], train: Pieces, valid: Pieces) -> TextCounts:
        """Count the pieces, in the validation text the unknown ones too."""
        pieces, judged = train[TEXT.ids], valid[TEXT.ids]
        return TextCounts(
            **dict(tally),
            pieces=pieces.total,
            vocabulary=pieces.vocabulary,
            valid_pieces=judged.total,
            valid_unknown=judged.unknown,
        )


def _judge(lines: Sequence[Line]) -> list[Reason | None]:
    return [line.fault or (None if line.text else "empty") for line in lines]


def draw(rng: np.random.Generator, total: int, size: int) -> NDArray[np.int64]:
    """Choose `size` of the numbers below `total`, or all of them; every set of that size is as likely as any other.

    A chunk of numbers is looked at after the other: how many of the choice fall into it has a hypergeometric
    distribution, and which ones a uniform one. So the memory holds the choice and a chunk, whatever `total` is, which
    may be up to 10**9.

    Returns:
        The choice, in order.
    """
    if size >= total:
        return np.arange(total)
    chosen = [np.zeros(0, dtype=np.int64)]
    for start in range(0, total, _CHUNK):
        here = min(_CHUNK, total - start)
        rest = total - start - here
        count = int(rng.hypergeometric(here, rest, size)) if rest else size
        chosen.append(start + np.sort(rng.choice(here, size=count, replace=False, shuffle=False)))
        size -= count
    return np.concatenate(chosen)
