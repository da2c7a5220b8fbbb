"""Settings of how text is cut into pieces."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from nmt.config.section import Section


class TokenizerSettings(Section):
    """How text is cut into pieces (SentencePiece)."""

    kind: Literal["unigram", "bpe", "word", "char", "byte"] = "unigram"
    """Subwords (unigram: Kudo, 2018; byte-pair encoding: Sennrich et al., 2016), words, characters or bytes."""
    file: Path | None = None
    """A tokenizer to use instead of a new one: that of a model or data folder, or a .model (from `data.root`)."""
    src_file: Path | None = None
    """A tokenizer for the source alone; needs `tgt_file` as well, and `joint = false`."""
    tgt_file: Path | None = None
    """A tokenizer for the target alone."""
    vocab_size: int = Field(default=8000, ge=16)
    """Pieces of each vocabulary, specials included; of words or characters at most so many, the most frequent."""
    joint: bool = True
    """One model and vocabulary for both languages; false: one for each. A text alone has one."""
    character_coverage: float = Field(default=1.0, gt=0.9, le=1.0)
    """Share of the characters of the corpus that get a piece; 0.9995 suits Chinese or Japanese."""
    byte_fallback: bool = False
    """Cut characters that have no piece into their UTF-8 bytes instead of `<unk>`; for subwords and characters."""
    min_frequency: int = Field(default=1, ge=1)
    """How often a word, or a character, has to occur to get a piece; for the kinds word and char."""
    symbols: tuple[str, ...] = ()
    """Pieces of your own, such as "<b>", that are never cut and never merged; the tags of corpora need no mention."""
    placeholders: tuple[Literal["number", "url"], ...] = ()
    """What is replaced by [NUM] or [URL] before translation and put back after it."""
    max_training_lines: int = Field(default=500_000, ge=1)
    """Sample size for tokenizer training, in pairs or lines: all of them have to fit into the memory."""
