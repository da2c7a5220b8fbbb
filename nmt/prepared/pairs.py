"""Pairs, as the preparation of translation data sees them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from nmt.config import Settings
from nmt.corpus.cleaning import REASONS, Cleaner
from nmt.corpus.placeholders import mask, mask_pair
from nmt.corpus.reading import Pair
from nmt.prepared.corpus import Column, Corpus, Judge, MaskedTexts
from nmt.prepared.encoding import PieceCounts
from nmt.prepared.inputs import PairInputs
from nmt.prepared.manifest import SRC_VOCABULARY, TGT_VOCABULARY, Counts, Tally
from nmt.prepared.selection import Chosen, choose
from nmt.prepared.tokenizing import Lines
from nmt.subword import JOINT_MODEL, SRC_MODEL, TGT_MODEL

SRC: Final = Column("src", "src_text", SRC_VOCABULARY)
TGT: Final = Column("tgt", "tgt_text", TGT_VOCABULARY)


@dataclass(frozen=True)
class PairCorpus(Corpus[Pair]):
    """Parallel text: filtered, and held out at random."""

    inputs: PairInputs
    settings: Settings

    record = Pair
    noun = "pairs"
    complete = "pair with two sides that are not empty"
    valid_options = "--valid-src and --valid-tgt"
    columns = (SRC, TGT)
    reasons = REASONS

    @property
    def max_pieces(self) -> float:
        """As `data.max_pieces` says."""
        return self.settings.data.max_pieces

    def read_train(self) -> Iterator[Pair]:
        """Read every pair."""
        return self.inputs.train.pairs(self.settings.data.on_bad_utf8)

    def read_valid(self) -> Iterator[Pair] | None:
        """Read the pairs of the validation files."""
        valid = self.inputs.valid
        return valid.pairs(self.settings.data.on_bad_utf8) if valid else None

    def make_judge(self) -> Judge[Pair]:
        """Make a judge that knows pairs again."""
        data = self.settings.data
        cleaner = Cleaner(
            max_characters=data.max_characters,
            max_length_ratio=data.max_length_ratio,
            drop_copies=data.drop_copies,
            drop_duplicates=data.drop_duplicates,
        )
        return lambda pair: cleaner.reason(pair.src, pair.tgt)

    def hold_out(self, accepted: int, size: int) -> Chosen:
        """Choose at random."""
        return choose(np.random.default_rng((self.settings.data.seed, 0)), np.ones(accepted, dtype=np.bool_), size)

    def texts(self, record: Pair) -> tuple[str, ...]:
        """Return source and target."""
        return record.src, record.tgt

    def mask_train(self, record: Pair) -> tuple[str, ...]:
        """Mask what both sides hold alike."""
        return mask_pair(record.src, record.tgt, self.settings.tokenizer.placeholders)

    def mask_valid(self, record: Pair) -> tuple[str, ...]:
        """Mask the source as for translation, whatever its target holds."""
        kinds = self.settings.tokenizer.placeholders
        return mask(record.src, kinds)[0], mask_pair(record.src, record.tgt, kinds)[1]

    def tokenizer_texts(self, masked: MaskedTexts) -> Mapping[str, Lines]:
        """Both sides for the joint tokenizer, or each for its own."""
        if self.settings.tokenizer.joint:
            return {JOINT_MODEL: lambda: (text for pair in masked() for text in pair)}
        return {SRC_MODEL: lambda: (src for src, _ in masked()), TGT_MODEL: lambda: (tgt for _, tgt in masked())}

    def count(self, tally: Tally, train: Mapping[str, PieceCounts], valid: Mapping[str, PieceCounts]) -> Counts:
        """Count the pieces of both sides."""
        src, tgt = train[SRC.ids], train[TGT.ids]
        return Counts(
            **dict(tally),
            src_pieces=src.total,
            tgt_pieces=tgt.total,
            src_vocabulary=src.vocabulary,
            tgt_vocabulary=tgt.vocabulary,
        )
