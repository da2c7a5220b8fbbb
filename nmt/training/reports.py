"""What a run tells those who watch it, and what they may ask of it."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from nmt.training.state import TrainingState


@dataclass(frozen=True)
class StepReport:
    """What a progress display shows, as often as `training.log_every` says."""

    step: int
    total_steps: int
    epoch: int
    tokens: int
    """Target pieces that all processes have trained on since this one took the run up."""
    loss: float
    """Training loss in nats a piece, since the report before."""
    tokens_per_second: float
    """Target pieces a second in updates, since the report before."""
    seconds: float
    """Time in updates since then."""
    seconds_per_step: float
    """Wall time of a step, validations and checkpoints included, over what this process has trained."""
    learning_rate: float
    gradient_norm: float

    @property
    def perplexity(self) -> float:
        """Return exp(loss), of a loss that has exploded no more than exp(50)."""
        return math.exp(min(self.loss, 50.0))


@dataclass(frozen=True)
class Scores:
    """What a validation finds."""

    loss: float
    """Cross-entropy in nats a piece, full softmax, no smoothing."""
    bleu: float | None
    """BLEU of greedy translations against the detokenised references; None: a language model translates nothing."""
    others: "Mapping[str, Scores]" = field(default_factory=dict)
    """What it finds on further validation sets, by their names; they are reported, and decide nothing."""
    signature: str | None = None
    """The conditions of `bleu`, as sacrebleu writes them."""

    @property
    def perplexity(self) -> float:
        """Return exp(loss), of a loss that has exploded no more than exp(50)."""
        return math.exp(min(self.loss, 50.0))

    def numbers(self) -> dict[str, float]:
        """Return every number by its name: those of a further set are called "name/loss" and so on."""
        numbers = {"loss": self.loss, "perplexity": self.perplexity}
        if self.bleu is not None:
            numbers["bleu"] = self.bleu
        for name, scores in self.others.items():
            numbers |= {f"{name}/{key}": value for key, value in scores.numbers().items()}
        return numbers


@dataclass(frozen=True)
class ValidationReport:
    """One validation."""

    step: int
    loss: float
    """Cross-entropy in nats a piece, full softmax, no smoothing."""
    perplexity: float
    bleu: float | None
    """BLEU of greedy translations against the detokenised references; None: a language model translates nothing."""
    is_best: bool
    others: Mapping[str, Scores] = field(default_factory=dict)
    """What was found on further validation sets, by their names."""
    signature: str | None = None
    """The conditions of `bleu`, as sacrebleu writes them."""


class Observer(Protocol):
    """Someone who watches a run."""

    def on_step(self, report: StepReport) -> None:
        """Take note of progress."""

    def on_validation(self, report: ValidationReport) -> None:
        """Take note of a validation."""

    def on_message(self, message: str) -> None:
        """Take note of something that a person should read."""


class StopRequest(Protocol):
    """Someone who may want the run to stop after the current step."""

    def is_set(self) -> bool:
        """Tell whether to stop."""
        ...


Validate = Callable[[StopRequest], Scores | None]
"""Scores the model on the validation data; None if asked to stop before the scores are known."""

SaveBest = Callable[[ValidationReport, TrainingState], None]
"""Keeps the weights of the best validation."""
