"""Settings of the text and of how it is cut into pieces."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from nmt.config.section import Section


class DataSettings(Section):
    """Which text is read, and which pairs are kept."""

    root: Path = Path()
    """The folder that relative paths below start from."""
    train_src: tuple[Path, ...] = ()
    """Source side of the training text, one or several files (.gz .xz .bz2 .zst are read as they are)."""
    train_tgt: tuple[Path, ...] = ()
    """Target side of the training text, line by line the translation of `train_src`."""
    train_tsv: tuple[Path, ...] = ()
    """Training text as source <tab> target lines, instead of or beside the file pairs."""
    train_text: tuple[Path, ...] = ()
    """Training text of a language model, one or several files, instead of pairs; its lines keep their order."""
    valid_src: Path | None = None
    """Source side of the validation text; without it, `heldout_pairs` are taken from the training text."""
    valid_tgt: Path | None = None
    """Target side of the validation text."""
    valid_text: Path | None = None
    """Validation text of a language model; without it, lines at the end of the training text are held out."""
    test_src: Path | None = None
    """Source side of the test text, translated and scored by `nmt run`."""
    test_tgt: Path | None = None
    """Target side of the test text."""
    test_text: Path | None = None
    """Test text of a language model, whose perplexity `nmt run` reports."""
    heldout_pairs: int = Field(default=1000, ge=1)
    """Pairs, or lines of a text, held out for validation when no validation files are given (at most a tenth)."""
    max_characters: int = Field(default=1000, ge=1)
    """Longest side of a training pair, in characters; longer pairs are rejected, but no line of a text."""
    max_pieces: int = Field(default=128, ge=1)
    """Longest side of a training pair, in pieces; longer pairs are rejected, but no line of a text."""
    max_length_ratio: float = Field(default=6.0, ge=1.0)
    """Largest ratio of the characters of the longer to the shorter side."""
    drop_duplicates: bool = True
    """Reject a pair that has been seen before."""
    drop_copies: bool = True
    """Reject a pair whose source is its target."""
    on_bad_utf8: Literal["error", "replace"] = "error"
    """What bytes that are not UTF-8 lead to: an error that names the line, or U+FFFD in their place."""
    seed: int = Field(default=1, ge=0)
    """Seed of the held-out choice and of the sample that the tokenizer is trained on."""


class TokenizerSettings(Section):
    """How text is cut into pieces (SentencePiece)."""

    kind: Literal["unigram", "bpe", "word", "char"] = "unigram"
    """Subwords of a unigram model (Kudo, 2018), of byte-pair encoding (Sennrich et al., 2016), words, characters."""
    file: Path | None = None
    """A tokenizer to use instead of a new one: that of a model or data folder, or a .model (from `data.root`)."""
    vocab_size: int = Field(default=8000, ge=16)
    """Pieces of each vocabulary, specials included; of words or characters at most so many, the most frequent."""
    joint: bool = True
    """One model and vocabulary for both languages; false: one for each. A text alone has one."""
    character_coverage: float = Field(default=1.0, gt=0.9, le=1.0)
    """Share of the characters of the corpus that get a piece; 0.9995 suits Chinese or Japanese."""
    placeholders: tuple[Literal["number", "url"], ...] = ()
    """What is replaced by [NUM] or [URL] before translation and put back after it."""
    max_training_lines: int = Field(default=2_000_000, ge=1)
    """Sample size for tokenizer training, in pairs or lines."""
