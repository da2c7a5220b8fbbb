"""What hypotheses are ranked by: by probability alone, the best is too often too short, or says something twice."""

from dataclasses import dataclass
from typing import Final, Self

from torch import Tensor

from nmt.config import SearchSettings

_FRACTIONS: Final = 2**32
"""Logarithms of coverage are added up as whole numbers, of parts of one: a sum that no order of its terms changes."""


@dataclass(frozen=True)
class Scoring:
    """Score = log-probability / length penalty + coverage penalty (Wu et al., 2016, eq. 14)."""

    length_penalty: float = 0.0
    """Alpha: the length penalty is ((5 + |Y|) / 6) ** alpha; |Y| counts `</s>`."""
    coverage_penalty: float = 0.0
    """Beta: the coverage penalty is beta times the sum of log(min(how much was read of it, 1)) over the source."""

    @classmethod
    def of(cls, settings: SearchSettings) -> Self:
        """Take the penalties from the settings."""
        return cls(settings.length_penalty, settings.coverage_penalty)

    def __post_init__(self) -> None:
        for name, value in (("length", self.length_penalty), ("coverage", self.coverage_penalty)):
            if value < 0:
                raise ValueError(f"the {name} penalty must not be negative, found {value}")

    def divisors(self, lengths: Tensor) -> Tensor:
        """Return the length penalty of each length: float64, never falling with the length."""
        # not `**`: that computes the last few of a tensor in another way, and rounds them otherwise
        return ((5 + lengths.double()) / 6).log_().mul_(self.length_penalty).exp_()

    def score(self, log_probs: Tensor, lengths: Tensor, coverage: Tensor | None) -> Tensor:
        """Score hypotheses.

        Args:
            log_probs: [B, N].
            lengths: Steps that they took, [B, N].
            coverage: How much was read of each source position in all, [B, N, S]; -1 on padding.

        Returns:
            Scores, [B, N] float64.
        """
        scores = log_probs.double() / self.divisors(lengths)
        if coverage is None:
            return scores
        logs = coverage.double().clamp(min=1e-6, max=1.0).log_().masked_fill_(coverage < 0, 0.0)
        total = logs.mul_(_FRACTIONS).round_().long().sum(dim=2)  # [B, N]
        return scores + self.coverage_penalty / _FRACTIONS * total.double()

    def attainable(self, log_probs: Tensor, longest: Tensor) -> Tensor:
        """Return what no continuation of hypotheses [B, N] of at most `longest` steps [B, 1] can outdo: [B, N]."""
        return log_probs.double() / self.divisors(longest)
