"""Settings of the search."""

import unicodedata
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from nmt.config.section import Section


def _must_be_a_zero(text: str) -> str:
    if len(text) != 1 or unicodedata.decimal(text, -1) != 0:
        raise ValueError("expected the zero of a script")
    return text


class SearchSettings(Section):
    """How translations are searched for."""

    beam_size: int = Field(default=5, ge=1, le=1000)
    """Hypotheses kept at each step; 1 is greedy search."""
    length_penalty: float = Field(default=1.0, ge=0.0)
    """Exponent of the length normalisation (Wu et al., 2016, eq. 14); 0: none."""
    coverage_penalty: float = Field(default=0.0, ge=0.0)
    """Weight of the coverage penalty (Wu et al., 2016, eq. 14) in a beam search; 0: none."""
    min_length_ratio: float = Field(default=0.0, ge=0.0)
    """Shortest output in pieces: this times the source length, and no more than the longest allows."""
    max_length_ratio: float = Field(default=2.0, gt=0.0, le=100.0)
    """Longest output in pieces: this times the source length, plus ten. Where the data have more than one target piece
    for each source piece, as from Chinese, a new run has twice their mean ratio by default."""
    lm_weight: float = Field(default=0.1, ge=0.0)
    """Weight of what a language model says, where `nmt translate --lm` names one (Gulcehre et al., 2015, sec. 4.1)."""
    no_repeat_ngram: int = Field(default=0, ge=0)
    """No sequence of so many pieces comes twice in a translation; 0: any may."""
    carry_unknown: bool = True
    """Carry over what the vocabulary of the source lacks, emoji and words of other scripts, to its place in the
    translation; a line of nothing else comes back as it is."""
    zero_digit: Annotated[str, AfterValidator(_must_be_a_zero)] | None = None
    """The zero of the digits in which translations have masked numbers, such as that of Arabic. A new run has that of
    its target text; unset: those of the source, or 0 to 9 where the translation has no letter of their script."""
    precision: Literal["auto", "fp32", "bf16", "int8"] = "auto"
    """Arithmetic of the matrix products; auto: bf16 where the hardware has it. int8 is for CPUs."""
    shortlist: int = Field(default=0, ge=0)
    """Pieces scored for each sentence, a multiple of 16: what `nmt shortlist` expects and the most frequent; 0: all."""
    batch_tokens: int = Field(default=8000, ge=1)
    """What is searched at once: sentences times beams times the longest source; no translation depends on it."""
