"""Settings of the search."""

import unicodedata
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from nmt.config.section import Section


def _must_be_a_zero(text: str | None) -> str | None:
    if text is not None and (len(text) != 1 or unicodedata.decimal(text, -1) != 0):
        raise ValueError("expected the zero of a script")
    return text


class SearchSettings(Section):
    """How translations are searched for."""

    beam_size: int = Field(default=5, ge=1, le=1000)
    """Hypotheses kept at each step; 1 is greedy search."""
    length_penalty: float = Field(default=1.0, ge=0.0)
    """Exponent of the length normalisation (Wu et al., 2016, eq. 14); 0: none."""
    coverage_penalty: float = Field(default=0.0, ge=0.0)
    """Weight of the coverage penalty (Wu et al., 2016, eq. 14); 0: none."""
    min_length_ratio: float = Field(default=0.0, ge=0.0)
    """Minimum pieces of a translation per source piece, capped by the maximum."""
    max_length_ratio: float = Field(default=2.0, gt=0.0, le=100.0)
    """Most pieces of a translation: this times those of the source, plus ten. Where the data have more than one target
    piece for each source piece, as from Chinese, a new run has twice their mean ratio by default."""
    lm_weight: float = Field(default=0.1, ge=0.0)
    """Weight of the log-probabilities of a language model, where `--lm` names one (Gulcehre et al., 2015, sec. 4.1);
    `nmt tune` finds it; 0: none."""
    rescore_weight: float = Field(default=1.0, ge=0.0)
    """Weight of the log-probabilities of a model that rescores, where `--right-to-left` names one, beside the model's
    own; 1: both count alike."""
    reverse_weight: float = Field(default=1.0, ge=0.0)
    """Weight of the log-probabilities of the sources, where `--reverse-model` names a model that gives them."""
    memory_pairs: int = Field(default=8, ge=0, le=64)
    """Pairs of a translation memory, where `--memory` names one, that each sentence is translated beside (Dai et al.,
    2023); 0: none, and only exact matches count."""
    memory_least: float = Field(default=0.5, ge=0.0, le=1.0)
    """Least similarity of the source of such a pair to the sentence: the share of the pieces that need no edit."""
    memory_nearest: int = Field(default=4, ge=1, le=64)
    """Places in the targets of such pairs, the nearest ones, that vote at each step for the next piece."""
    memory_reach: float = Field(default=0.02, gt=0.0)
    """Distance from which on a place has no vote: the mean squared difference of what the output layer reads at
    the two. The larger, the more the memory is followed: 0.12, with `memory_nearest` 1, where it knows a domain that
    the model does not."""
    memory_weight: float | None = Field(default=None, ge=0.0, le=1.0)
    """Weight of the vote beside the model's own probabilities; unset: 1 - distance of the nearest place /
    `memory_reach`, at least 0."""
    memory_exact: bool = True
    """The translation of a line that is the source of a pair of the memory is the target of this pair, as it stands."""
    no_repeat_ngram: int = Field(default=0, ge=0)
    """No n-gram of this many pieces is repeated in a translation; 0: off."""
    carry_unknown: bool = True
    """Copy emoji and words with characters that the source vocabulary lacks to their place in the
    translation; a line of nothing else comes back as it is."""
    zero_digit: Annotated[str | None, AfterValidator(_must_be_a_zero)] = None
    """The zero of the digits in which translations have masked numbers, such as that of Arabic. A new run has that of
    its target text; unset: those of the source, or 0 to 9 where the translation has no letter of their script."""
    precision: Literal["auto", "fp32", "bf16", "int8"] = "auto"
    """Arithmetic of the matrix products; auto: the fastest here that loses nothing measurable, int8 on a CPU with AVX2,
    bf16 on a GPU that has it, else fp32."""
    shortlist: int = Field(default=0, ge=0)
    """Pieces scored for each sentence, a multiple of 16: those that `nmt shortlist` expects and the most frequent; 0:
    all."""
    batch_tokens: int = Field(default=0, ge=0)
    """Sentences x beams x longest source of what is translated at once; no translation depends on it. 0: 8,000 on a
    CPU, 64,000 on a GPU."""
