"""What the preparation of pairs and that of plain text do each in their own way."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Generic

import numpy as np
from numpy.typing import NDArray

from nmt.config import Settings
from nmt.corpus.cleaning import Reason
from nmt.corpus.overlap import Keys, Overlap
from nmt.errors import DataError
from nmt.prepare.blocks import Fresh, R
from nmt.prepare.duplicates import Hashes
from nmt.prepare.tokenizing import Lines
from nmt.prepared.columns import Column
from nmt.prepared.manifest import CorpusCount, Counts, OverlapCount, Tally, TextCounts, ValidCount
from nmt.prepared.pieces import PieceCounts

Judge = Callable[[Sequence[R]], list[Reason | None]]
"""Says of each training record why it should be rejected; it can be sent to another process."""
TextColumns = tuple[list[str], ...]
"""The texts of some records: a list of the first ones, and of the second ones where there are two."""
MaskedTexts = Callable[[], Iterator[tuple[str, ...]]]
"""Reads the masked texts of training records anew."""

_CHUNK: Final = 1 << 20


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

    def heldout_size(self, accepted: int) -> int:
        """Return how many of the accepted training records are held out for validation.

        Raises:
            DataError: There are fewer than ten.
        """
        size = min(self.settings.data.heldout_pairs, accepted // 10)
        if not size:
            raise DataError(
                f"{accepted} training {self.noun} are too few to hold out a tenth for validation; "
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

    @abstractmethod
    def mask_valid(self, texts: TextColumns, tags: Sequence[str | None]) -> TextColumns:
        """Put placeholders into the texts of validation records, and before each first text its tag."""

    @abstractmethod
    def tokenizer_texts(self, masked: MaskedTexts) -> Mapping[str, Lines]:
        """Say which of the masked texts the tokenizer of each file is trained on."""

    @abstractmethod
    def count(self, found: Found) -> Counts | TextCounts:
        """Make the counts of the manifest."""


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
