"""Plain text, as the preparation of a language model's data sees it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf

import numpy as np

from nmt.config import Settings
from nmt.corpus.cleaning import Reason
from nmt.corpus.invisible import clean
from nmt.corpus.overlap import Overlap
from nmt.corpus.placeholders import mask
from nmt.corpus.reading import Line
from nmt.prepare.blocks import Fresh
from nmt.prepare.duplicates import Hashes
from nmt.prepare.kinds import Found, Judge, MaskedTexts, RecordKind, TextColumns
from nmt.prepare.tokenizing import Lines
from nmt.prepared.columns import TEXT
from nmt.prepared.manifest import TextCounts
from nmt.subword import JOINT_MODEL


@dataclass(frozen=True)
class LineKind(RecordKind[Line]):
    """Text that is read on and on: its lines keep their order, and none is missing but blank ones."""

    settings: Settings

    record = Line
    noun = "lines"
    complete = "line that is not blank"
    valid_options = "--valid-text"
    columns = (TEXT,)
    reasons = ("empty", "too_long")
    max_pieces = inf
    drops_duplicates = False

    def clean(self, record: Line) -> Line:
        """Clean the line."""
        return Line(clean(record.text), record.file, record.line, record.fault)

    def make_judge(self, overlap: Overlap) -> Judge[Line]:
        """Make a judge that wants more than white space."""
        return _judge

    def hashes(self, records: Sequence[Line]) -> Hashes:
        """Return none: lines may come again."""
        return np.zeros(0, dtype=np.uint64)

    def overlap(self, sets: Mapping[str, Iterable[Line]]) -> Overlap:
        """Remember nothing: text may hold anything."""
        return Overlap.from_sets({})

    def keys(self, records: Sequence[Line]) -> None:
        """Return nothing: text may hold anything."""
        return

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

    def mask_valid(self, texts: TextColumns, tags: Sequence[str | None]) -> TextColumns:
        """Mask as for training."""
        return self.mask_train(texts, None)

    def tokenizer_texts(self, masked: MaskedTexts) -> Mapping[str, Lines]:
        """All lines, for the only tokenizer."""
        return {JOINT_MODEL: lambda: (text for (text,) in masked())}

    def count(self, found: Found) -> TextCounts:
        """Count the pieces, in the validation text the unknown ones too."""
        pieces, heard = found.train[TEXT.ids], found.valid[TEXT.ids]
        return TextCounts(
            **dict(found.tally),
            pieces=pieces.total,
            vocabulary=pieces.vocabulary,
            valid_pieces=heard.total,
            valid_unknown=heard.unknown,
        )


def _judge(lines: Sequence[Line]) -> list[Reason | None]:
    return [line.fault or (None if line.text else "empty") for line in lines]
