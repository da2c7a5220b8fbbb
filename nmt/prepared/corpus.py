"""What the preparation of pairs and that of plain text do each in their own way."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Generic

from nmt.config import Settings
from nmt.corpus.cleaning import Reason
from nmt.errors import DataError
from nmt.prepared.encoding import PieceCounts
from nmt.prepared.manifest import Counts, Tally, TextCounts
from nmt.prepared.selection import Chosen
from nmt.prepared.spool import R
from nmt.prepared.tokenizing import Lines

Judge = Callable[[R], Reason | None]
"""Says why a training record should be rejected; it may remember those before."""
MaskedTexts = Callable[[], Iterator[tuple[str, ...]]]
"""Reads the masked texts of training records anew."""


@dataclass(frozen=True)
class Column:
    """Where one of the texts of the records goes."""

    ids: str
    """The Arrow column of its ids."""
    text: str
    """The Arrow column of the text itself, where it is for validation."""
    vocabulary: str
    """The file of its pieces and how often each occurs."""


class Corpus(ABC, Generic[R]):
    """Text as records, which are pairs or single lines."""

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

    @abstractmethod
    def read_train(self) -> Iterator[R]:
        """Read the training text."""

    @abstractmethod
    def read_valid(self) -> Iterator[R] | None:
        """Read the validation text, if there is any."""

    @abstractmethod
    def make_judge(self) -> "Judge[R]":
        """Make a judge of the training records."""

    @abstractmethod
    def hold_out(self, accepted: int, size: int) -> Chosen:
        """Choose `size` of the accepted training records for validation."""

    @abstractmethod
    def texts(self, record: R) -> tuple[str, ...]:
        """Return the texts of a record."""

    @abstractmethod
    def mask_train(self, record: R) -> tuple[str, ...]:
        """Return the texts of a training record, with placeholders."""

    @abstractmethod
    def mask_valid(self, record: R) -> tuple[str, ...]:
        """Return the texts of a validation record, with placeholders."""

    @abstractmethod
    def tokenizer_texts(self, masked: MaskedTexts) -> Mapping[str, Lines]:
        """Say which of the masked texts the tokenizer of each file is trained on."""

    @abstractmethod
    def count(
        self, tally: Tally, train: Mapping[str, PieceCounts], valid: Mapping[str, PieceCounts]
    ) -> Counts | TextCounts:
        """Put the pieces of the id columns beside the count of the records."""


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
