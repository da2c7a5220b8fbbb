"""Settings of the text and its tokenizer: where it is, which of it is kept, and how it is cut into pieces."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from nmt.config.section import Expected, Section
from nmt.text.vocab import SPACE_MARK, breaks_lines, fault_of_symbol, is_reserved


def _must_be_a_piece(tag: str) -> str:
    if is_reserved(tag) or SPACE_MARK in tag or breaks_lines(tag):
        raise ValueError(f"found the tag {tag!r}, which no piece of a tokenizer can be; choose another name")
    return tag


def _must_fit_a_line(name: str) -> str:
    if breaks_lines(name):
        raise ValueError(f"found the name {name!r}, expected no control characters and no line ends")
    return name


Tag = Annotated[str, Field(pattern=r"^<[^\s<>]+>$"), AfterValidator(_must_be_a_piece)]
Files = Annotated[tuple[str, ...], BeforeValidator(lambda files: (files,) if isinstance(files, str) else files)]
"""One file needs no list."""


class CorpusSettings(Section):
    """One corpus of many: where it is, and what it counts for."""

    src: Files = ()
    """Source side, text files or patterns such as "part-*.en.gz"; with `tgt`, instead of `path`."""
    tgt: Files = ()
    """Target side, as many files as `src`, line by line their translations."""
    path: Files = ()
    """Files or patterns that hold both sides, their format told by their names; or "hf:NAME", "hf:NAME:CONFIG"."""
    src_field: str | None = None
    """Where the source is: a column or field, "translation.en" for nested ones, or a TMX language; else a guess."""
    tgt_field: str | None = None
    """Where the target is."""
    split: str | None = None
    """Split of a Hugging Face dataset; "train" for training, "validation" for validation."""
    name: Annotated[str, AfterValidator(_must_fit_a_line)] | None = None
    """What reports call it; else what its first file is called."""
    tag: Tag | None = None
    """A piece such as "<news>" put before each of its source sentences."""
    reversed: bool = False
    """Read from target to source: beside the same pairs as they stand, each with its tag, one model learns both
    directions."""


class TrainingCorpusSettings(CorpusSettings):
    """A corpus to train on."""

    weight: float = Field(default=1.0, gt=0.0, le=100.0)
    """How often each pair is seen per epoch: 2: twice; 0.5: half of them, sampled anew in each epoch."""


OF_PAIRS: Final = (
    *("train_src", "train_tgt", "train_tsv", "corpora", "replay"),
    *("valid_src", "valid_tgt", "validation"),
)
"""The settings of the data that name pairs, which text for a language model does without."""


class DataSettings(Section):
    """Which text is read, and which pairs are kept."""

    root: Path = Path()
    """The folder that relative paths below start at: the working folder by default; in a recipe, from its folder."""
    train_src: tuple[Path, ...] = ()
    """Source side of the training text, one or several files (.gz .xz .bz2 .zst are read as they are)."""
    train_tgt: tuple[Path, ...] = ()
    """Target side of the training text, line by line the translation of `train_src`."""
    train_tsv: tuple[Path, ...] = ()
    """Training text as source <tab> target lines, instead of or beside the file pairs."""
    corpora: tuple[TrainingCorpusSettings, ...] = ()
    """Further corpora of pairs, in other formats too, each with its weight and tag: [[data.corpora]] in a recipe."""
    replay: Path | None = None
    """Data prepared before, whose text is read again beside this one, so that a model that learnt from it forgets less:
    its corpora, but for pairs of a validation or test text, and under the name "replay" its first validation set, held
    out or given."""
    replay_share: float = Field(default=0.5, gt=0.0, lt=1.0)
    """Share of the pairs of an epoch that are of `replay`, sampled anew in each."""
    train_text: tuple[Path, ...] = ()
    """Training text of a language model, one or several files, instead of pairs; its lines keep their order."""
    valid_src: Path | None = None
    """Source side of the validation text; without it, `heldout_pairs` are taken from the training text."""
    valid_tgt: Path | None = None
    """Target side of the validation text."""
    validation: tuple[CorpusSettings, ...] = ()
    """Further sets of validation pairs, each with its tag; the first set chooses the best model."""
    valid_text: Path | None = None
    """Validation text of a language model; without it, lines at the end of the training text are held out."""
    test_src: Path | None = None
    """Source side of the test text, translated and scored by `nmt run`."""
    test_tgt: Path | None = None
    """Target side of the test text."""
    test_tag: Tag | None = None
    """A piece such as "<news>" put before each source sentence of the test text by `nmt run`."""
    test_text: Path | None = None
    """Test text of a language model, whose perplexity `nmt run` reports."""
    src_lang: str | None = None
    """Language of the source, such as "en": finds it in TMX files and datasets, and says what script it should have."""
    tgt_lang: str | None = None
    """Language of the target."""
    heldout_pairs: int = Field(default=1000, ge=1)
    """Pairs, or lines of a text, held out for validation when no validation files are given (at most a tenth)."""
    max_characters: int = Field(default=1000, ge=1)
    """Longest side of a training pair, in characters; longer pairs are rejected. Of a text no line is, but for those of
    more than a MiB, which are no lines of anything."""
    max_pieces: int = Field(default=128, ge=1)
    """Longest side of a training pair, in pieces; longer pairs are rejected, but no line of a text."""
    max_length_ratio: float = Field(default=6.0, ge=1.0)
    """Largest ratio of the characters of the longer to the shorter side."""
    drop_duplicates: bool = True
    """Reject a pair that has been seen before."""
    drop_copies: bool = True
    """Reject a pair whose source is its target."""
    max_repeats: int = Field(default=0, ge=0)
    """Most times in a row that a word or a phrase may stand in one side of a pair and not in the other; 0: off."""
    drop_overlap: tuple[Literal["source", "target", "pair"], ...] = ()
    """Reject pairs whose source, target or both are in the validation or test text."""
    min_script_share: float = Field(default=0.0, ge=0.0, le=1.0)
    """Smallest share of letters of the script of `src_lang`, or `tgt_lang`; 0: off."""
    max_symbol_share: float = Field(default=1.0, ge=0.0, le=1.0)
    """Largest share of digits, punctuation and symbols in a side, spaces left aside; 1: off."""
    identify_languages: bool = False
    """Reject pairs with a side in another language than `src_lang`, `tgt_lang` (optional extra `langid`)."""
    on_bad_utf8: Literal["error", "replace"] = "error"
    """What bytes that are not UTF-8 lead to: an error that names the line, or U+FFFD in their place."""
    on_bad_record: Literal["error", "skip"] = "error"
    """What a line of TSV or JSON, a unit of TMX or an entry of PO leads to that has not the form it should have: an
    error that names it, or that it is left out and counted as broken."""
    clean_invisible: bool = True
    """Read blanks of every kind as spaces, and leave out soft hyphens, zero-width spaces, control characters and the
    like, in the text that is prepared and in that which the model translates (docs/cleaning.md has the rule)."""
    lowercase: bool = False
    """Read all text in small letters, that which the model translates too, so that it writes small letters only: as in
    papers that report lower-cased scores. `nmt run` and `nmt tune` then score without regard to case."""
    seed: int = Field(default=1, ge=0)
    """Seed of the held-out choice and of the sample that the tokenizer is trained on."""


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
    vocab_size: Annotated[
        Annotated[int, Field(ge=16)] | Literal["auto"], Expected('a number of pieces, 16 or more, or "auto"')
    ] = 8000
    """Pieces of each vocabulary, specials included; of words or characters at most so many, the most frequent. auto: as
    many as suit the number of pairs, for unigram and bpe; so does `nmt prepare` with pairs where no recipe is given."""
    tgt_vocab_size: Annotated[Annotated[int, Field(ge=16)] | None, Expected("a number of pieces, 16 or more")] = None
    """Pieces of the vocabulary of the target, where it has one of its own (`joint = false`); unset: `vocab_size`."""
    joint: bool = True
    """One model and vocabulary for both languages; false: one for each. A text alone has one."""
    character_coverage: float = Field(default=1.0, ge=0.98, le=1.0)
    """Share of the characters of the corpus that get a piece; 0.9995 suits Chinese or Japanese."""
    byte_fallback: bool = False
    """Cut characters that have no piece into their UTF-8 bytes instead of `<unk>`; for subwords and characters."""
    min_frequency: int = Field(default=1, ge=1)
    """How often a word, or a character, has to occur to get a piece; for the kinds word and char."""
    symbols: tuple[str, ...] = ()
    """User-defined pieces, such as "<b>", that are never cut and never merged; tags need no mention here."""
    placeholders: tuple[Literal["number", "url"], ...] = ()
    """What is replaced by [NUM] or [URL] before translation and put back after it."""
    max_training_lines: int = Field(default=500_000, ge=1)
    """Sample size for tokenizer training, in pairs or lines: all of them have to fit into the memory."""

    @field_validator("symbols")
    @classmethod
    def _symbols_must_be_pieces(cls, symbols: tuple[str, ...]) -> tuple[str, ...]:
        for symbol in symbols:
            if fault := fault_of_symbol(symbol):
                raise ValueError(fault)
        return tuple(dict.fromkeys(symbols))

    @model_validator(mode="after")
    def _values_must_agree(self) -> Self:
        for fault in self._faults():
            raise ValueError(fault)
        return self

    def _faults(self) -> Iterator[str]:
        if (self.src_file is None) != (self.tgt_file is None):
            found, missing = ("src_file", "tgt_file") if self.src_file else ("tgt_file", "src_file")
            yield f"tokenizer.{found} is the tokenizer of one side: name the other with tokenizer.{missing}"
        if self.src_file is not None and self.file is not None:
            yield "tokenizer.file is for both sides: leave it out, or tokenizer.src_file and tgt_file"
        if self.src_file is not None and self.joint:
            yield "tokenizer.src_file and tgt_file are two tokenizers: they need tokenizer.joint = false"
        if self.file or self.src_file:  # these know their kind, and are not trained
            return
        if self.vocab_size == "auto" and self.kind not in ("unigram", "bpe"):
            yield f'tokenizer.vocab_size = "auto" is for unigram and bpe, found tokenizer.kind = "{self.kind}"'
        if self.byte_fallback and self.kind in ("word", "byte"):
            yield (
                "tokenizer.byte_fallback cuts characters without a piece into bytes: it needs a tokenizer of the kind "
                f'unigram, bpe or char, found tokenizer.kind = "{self.kind}"'
            )
        if self.min_frequency > 1 and self.kind not in ("word", "char"):
            yield (
                "tokenizer.min_frequency leaves out rare words or characters: it needs a tokenizer of the kind word or "
                f'char, found tokenizer.kind = "{self.kind}"'
            )
