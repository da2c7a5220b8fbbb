"""Pairs, as the preparation of translation data sees them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nmt.config import Settings
from nmt.corpus.cleaning import REASONS, make_cleaner
from nmt.corpus.invisible import clean
from nmt.corpus.overlap import Keys, Overlap, hash_pairs
from nmt.corpus.placeholders import mask, mask_pair
from nmt.corpus.reading import Pair
from nmt.prepare.blocks import Fresh
from nmt.prepare.duplicates import Hashes
from nmt.prepare.kinds import Found, Judge, MaskedTexts, RecordKind, TextColumns, draw
from nmt.prepare.tokenizing import Lines
from nmt.prepared.columns import SRC, TGT
from nmt.prepared.manifest import Counts
from nmt.subword import JOINT_MODEL, SRC_MODEL, TGT_MODEL


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

    @property
    def max_pieces(self) -> float:
        """As `data.max_pieces` says."""
        return self.settings.data.max_pieces

    @property
    def drops_duplicates(self) -> bool:
        """As `data.drop_duplicates` says."""
        return self.settings.data.drop_duplicates

    def clean(self, record: Pair) -> Pair:
        """Clean both sides."""
        src, tgt = clean(record.src), clean(record.tgt)
        return record if src is record.src and tgt is record.tgt else record._replace(src=src, tgt=tgt)

    def make_judge(self, overlap: Overlap) -> Judge[Pair]:
        """Make the cleaner that the settings ask for."""
        return make_cleaner(self.settings.data, overlap).reasons

    def hashes(self, records: Sequence[Pair]) -> Hashes:
        """Hash both sides together."""
        return hash_pairs(records)

    def overlap(self, sets: Mapping[str, Iterable[Pair]]) -> Overlap:
        """Remember both sides and pairs."""
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
        masked = [mask_pair(*pair, kinds)[1] for pair in zip(src, tgt, strict=True)]
        read = (mask(text, kinds)[0] for text in src)
        return [f"{tag} {text}" if tag else text for tag, text in zip(tags, read, strict=True)], masked

    def tokenizer_texts(self, masked: MaskedTexts) -> Mapping[str, Lines]:
        """Both sides for the joint tokenizer, or each for its own."""
        if self.settings.tokenizer.joint:
            return {JOINT_MODEL: lambda: (text for pair in masked() for text in pair)}
        return {SRC_MODEL: lambda: (src for src, _ in masked()), TGT_MODEL: lambda: (tgt for _, tgt in masked())}

    def count(self, found: Found) -> Counts:
        """Count the pieces of both sides."""
        src, tgt = found.train[SRC.ids], found.train[TGT.ids]
        return Counts(
            **dict(found.tally),
            corpora=found.corpora,
            validation=found.validation,
            overlap=found.overlap,
            src_pieces=src.total,
            tgt_pieces=tgt.total,
            src_vocabulary=src.vocabulary,
            tgt_vocabulary=tgt.vocabulary,
        )
