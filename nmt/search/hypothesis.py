"""What a search returns."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Hypothesis:
    """A finished hypothesis."""

    ids: tuple[int, ...]
    """The words, without `</s>`."""
    log_probability: float
    """Natural logarithm of the probability of the words and of `</s>`, where the hypothesis got to one."""
    score: float
    """The log-probability over the length penalty: what hypotheses are ranked by."""
