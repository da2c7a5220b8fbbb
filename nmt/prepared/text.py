"""Plain text, as the preparation of a language model's data sees it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import inf
from typing import Final

import numpy as np

from nmt.config import Settings
from nmt.corpus.placeholders import mask
from nmt.corpus.reading import Line, read_text
from nmt.prepared.corpus import Column, Corpus, Judge, MaskedTexts
from nmt.prepared.encoding import PieceCounts
from nmt.prepared.inputs import TextInputs
from nmt.prepared.manifest import VOCABULARY, Tally, TextCounts
from nmt.prepared.selection import Chosen
from nmt.prepared.tokenizing import Lines
from nmt.subword import JOINT_MODEL

TEXT: Final = Column("ids", "text", VOCABULARY)


@dataclass(frozen=True)
class TextCorpus(Corpus[Line]):
    """Text that is read on and on: its lines keep their order, and none is missing but blank ones."""

    inputs: TextInputs
    settings: Settings

    record = Line
    noun = "lines"
    complete = "line that is not blank"
    valid_options = "--valid-text"
    columns = (TEXT,)
    reasons = ("empty",)
    max_pieces = inf

    def read_train(self) -> Iterator[Line]:
        """Read every line."""
        return read_text(self.inputs.train, self.settings.data.on_bad_utf8)

    def read_valid(self) -> Iterator[Line] | None:
        """Read the lines of the validation file."""
        valid = self.inputs.valid
        return read_text([valid], self.settings.data.on_bad_utf8) if valid else None

    def make_judge(self) -> Judge[Line]:
        """Make a judge that wants more than white space."""
        return lambda line: None if line.text else "empty"

    def hold_out(self, accepted: int, size: int) -> Chosen:
        """Choose the last ones, which follow from the rest of the text."""
        return np.arange(accepted) >= accepted - size

    def texts(self, record: Line) -> tuple[str, ...]:
        """Return the line."""
        return (record.text,)

    def mask_train(self, record: Line) -> tuple[str, ...]:
        """Mask what is of the kinds to be masked."""
        return (mask(record.text, self.settings.tokenizer.placeholders)[0],)

    def mask_valid(self, record: Line) -> tuple[str, ...]:
        """Mask as for training."""
        return self.mask_train(record)

    def tokenizer_texts(self, masked: MaskedTexts) -> Mapping[str, Lines]:
        """All lines, for the only tokenizer."""
        return {JOINT_MODEL: lambda: (text for (text,) in masked())}

    def count(self, tally: Tally, train: Mapping[str, PieceCounts], valid: Mapping[str, PieceCounts]) -> TextCounts:
        """Count the pieces, in the validation text the unknown ones too."""
        pieces, heard = train[TEXT.ids], valid[TEXT.ids]
        return TextCounts(
            **dict(tally),
            pieces=pieces.total,
            vocabulary=pieces.vocabulary,
            valid_pieces=heard.total,
            valid_unknown=heard.unknown,
        )
