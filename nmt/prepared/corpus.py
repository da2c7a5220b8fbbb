"""What the preparation of pairs and that of plain text do each in their own way."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic

from nmt.config import Settings
from nmt.corpus.cleaning import Reason
from nmt.corpus.overlap import Keys, Overlap
from nmt.corpus.sources.blocks import Source
from nmt.errors import DataError
from nmt.prepared.columns import Column
from nmt.prepared.duplicates import Hashes
from nmt.prepared.manifest import CorpusCount, Counts, OverlapCount, Tally, TextCounts, ValidCount
from nmt.prepared.pieces import PieceCounts
from nmt.prepared.selection import Positions
from nmt.prepared.spool import R
from nmt.prepared.tokenizing import Lines

Judge = Callable[[Sequence[R]], list[Reason | None]]
"""Says of each training record why it should be rejected; it can be sent to another process."""
Texts = tuple[list[str], ...]
"""The texts of some records: a list of the first ones, and of the second ones where there are two."""
MaskedTexts = Callable[[], Iterator[tuple[str, ...]]]
"""Reads the masked texts of training records anew."""


@dataclass(frozen=True)
class Part(Generic[R]):
    """One of the corpora that are trained on."""

    name: str
    source: Source[R]
    weight: float = 1.0
    tag: str | None = None
    """What is put before each of its first texts."""


Read = Callable[[], Iterable[R]]
"""Reads records anew."""


@dataclass(frozen=True)
class ValidPart(Generic[R]):
    """One of the sets that are validated on."""

    name: str
    read: Read[R]
    tag: str | None = None
    """What is put before each of its first texts."""


@dataclass(frozen=True)
class Sources(Generic[R]):
    """What is read."""

    train: tuple[Part[R], ...]
    valid: tuple[ValidPart[R], ...]
    """The first one decides; none: records are held out."""
    test: Read[R] | None
    """The test text, where it matters what training records have in common with it."""


@dataclass(frozen=True)
class ValidationSet(Generic[R]):
    """Records that are not trained on, none of them with an empty text."""

    name: str
    records: list[R]
    tags: Sequence[str | None]
    """What is put before the first text of each record."""
    dropped: int = 0
    """Records of the set that had one."""


@dataclass(frozen=True)
class Found:
    """What has been counted."""

    tally: Tally
    corpora: tuple[CorpusCount, ...]
    validation: tuple[ValidCount, ...]
    overlap: dict[str, OverlapCount]
    train: Mapping[str, PieceCounts]
    """The pieces of each column."""
    valid: Mapping[str, PieceCounts]


class Corpus(ABC, Generic[R]):
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
    settings: Settings

    @property
    @abstractmethod
    def max_pieces(self) -> float:
        """Most pieces that a text of a training record may have."""

    @property
    @abstractmethod
    def drops_duplicates(self) -> bool:
        """Whether a training record is rejected that occurred before."""

    def read(self, records: Iterable[R]) -> list[R]:
        """Clean records that have been read of what nobody sees, where that is wanted."""
        return list(map(self.clean, records)) if self.settings.data.clean_invisible else list(records)

    @abstractmethod
    def clean(self, record: R) -> R:
        """Clean the texts of a record (`nmt.corpus.invisible`)."""

    @abstractmethod
    def make_judge(self, overlap: Overlap) -> Judge[R]:
        """Make a judge of training records; `overlap` is the text that models are judged by."""

    @abstractmethod
    def hashes(self, records: Sequence[R]) -> Hashes:
        """Return what tells each record from any other."""

    @abstractmethod
    def overlap(self, sets: Mapping[str, Iterable[R]]) -> Overlap:
        """Remember text that models are judged by."""

    @abstractmethod
    def keys(self, records: Sequence[R]) -> Keys | None:
        """Return by what it is found that such text has anything in common with training records."""

    @abstractmethod
    def hold_out(self, accepted: int, size: int) -> Positions:
        """Choose `size` of the accepted training records for validation."""

    @abstractmethod
    def texts(self, records: Sequence[R]) -> Texts:
        """Return the texts of records."""

    @abstractmethod
    def mask_train(self, texts: Texts, tag: str | None) -> Texts:
        """Put placeholders into the texts of training records, and the tag of their corpus before them."""

    @abstractmethod
    def mask_valid(self, texts: Texts, tags: Sequence[str | None]) -> Texts:
        """Put placeholders into the texts of validation records, and before each first text its tag."""

    @abstractmethod
    def tokenizer_texts(self, masked: MaskedTexts) -> Mapping[str, Lines]:
        """Say which of the masked texts the tokenizer of each file is trained on."""

    @abstractmethod
    def count(self, found: Found) -> Counts | TextCounts:
        """Make the counts of the manifest."""


def heldout_size(accepted: int, corpus: Corpus[R]) -> int:
    """Return how many of the accepted training records are held out for validation.

    Raises:
        DataError: There are fewer than ten.
    """
    size = min(corpus.settings.data.heldout_pairs, accepted // 10)
    if not size:
        raise DataError(
            f"{accepted} training {corpus.noun} are too few to hold out a tenth for validation; "
            f"give validation text with {corpus.valid_options}"
        )
    return size
