"""What a search is given, and what it returns."""

from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class Sentence:
    """A source to translate."""

    ids: tuple[int, ...]
    """Its pieces, without `</s>`."""
    number: int = 0
    """Tells it from the others of a search; random numbers depend on it."""
    prefix: tuple[int, ...] = ()
    """The words that its translation has to begin with."""
    required: tuple[tuple[int, ...], ...] = ()
    """Sequences of words that have to appear in its translation."""


@dataclass(frozen=True)
class Hypothesis:
    """A finished hypothesis."""

    ids: tuple[int, ...]
    """The words, without `</s>`."""
    log_probability: float
    """Natural logarithm of the probability of the words and of `</s>`, where the hypothesis got to one; with a language
    model, that of the translation model plus the weighted one of the language model."""
    score: float
    """The log-probability over the length penalty, and the coverage penalty: what hypotheses are ranked by."""
    attention: Tensor | None = field(default=None, compare=False)
    """How much each word read of each source position, [T, S] float32, where it was asked for."""
