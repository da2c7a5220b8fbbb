"""Settings of how text is cut into pieces."""

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from nmt.config.section import Section, is_reserved


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
    character_coverage: float = Field(default=1.0, ge=0.98, le=1.0)
    """Share of the characters of the corpus that get a piece; 0.9995 suits Chinese or Japanese."""
    byte_fallback: bool = False
    """Cut characters that have no piece into their UTF-8 bytes instead of `<unk>`; for subwords and characters."""
    min_frequency: int = Field(default=1, ge=1)
    """How often a word, or a character, has to occur to get a piece; for the kinds word and char."""
    symbols: tuple[str, ...] = ()
    """Pieces of your own, such as "<b>", that are never cut and never merged; tags need no mention here."""
    placeholders: tuple[Literal["number", "url"], ...] = ()
    """What is replaced by [NUM] or [URL] before translation and put back after it."""
    max_training_lines: int = Field(default=500_000, ge=1)
    """Sample size for tokenizer training, in pairs or lines: all of them have to fit into the memory."""

    @field_validator("symbols")
    @classmethod
    def _symbols_must_be_pieces(cls, symbols: tuple[str, ...]) -> tuple[str, ...]:
        for symbol in symbols:
            if len(symbol) < 2 or "\u2581" in symbol or any(one.isspace() for one in symbol):
                raise ValueError(f"found the symbol {symbol!r}, expected two characters or more and no space in them")
            if is_reserved(symbol):
                raise ValueError(f"found the symbol {symbol!r}, which is the name of a special piece or of a byte")
        return tuple(dict.fromkeys(symbols))

    @model_validator(mode="after")
    def _files_must_fit_the_vocabularies(self) -> "TokenizerSettings":
        if (self.src_file is None) != (self.tgt_file is None):
            found, missing = ("src_file", "tgt_file") if self.src_file else ("tgt_file", "src_file")
            raise ValueError(f"tokenizer.{found} is the tokenizer of one side: name the other with tokenizer.{missing}")
        if self.src_file is not None and self.file is not None:
            raise ValueError("tokenizer.file is for both sides: leave it out, or tokenizer.src_file and tgt_file")
        if self.src_file is not None and self.joint:
            raise ValueError("tokenizer.src_file and tgt_file are two tokenizers: they need tokenizer.joint = false")
        return self

    @model_validator(mode="after")
    def _training_must_fit_the_kind(self) -> "TokenizerSettings":
        if self.file or self.src_file:  # these know their kind, and are not trained
            return self
        if self.byte_fallback and self.kind in ("word", "byte"):
            raise ValueError(
                "tokenizer.byte_fallback cuts characters without a piece into bytes: it needs a tokenizer of the kind "
                f'unigram, bpe or char, found tokenizer.kind = "{self.kind}"'
            )
        if self.min_frequency > 1 and self.kind not in ("word", "char"):
            raise ValueError(
                "tokenizer.min_frequency leaves out rare words or characters: it needs a tokenizer of the kind word or "
                f'char, found tokenizer.kind = "{self.kind}"'
            )
        return self
