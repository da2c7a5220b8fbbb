"""Update rules and learning-rate schedules."""

import inspect
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn
from torch.optim import Optimizer

from nmt.config import TrainingSettings

ScheduleKind = Literal["constant", "inverse_sqrt", "cosine", "plateau", "epoch_decay"]


@dataclass(frozen=True)
class Schedule:
    """The learning rate as a pure function of the step, the plateaus and the pass."""

    kind: ScheduleKind
    peak: float
    warmup_steps: int
    total_steps: int
    decay_after_epochs: int = 0
    decay_factor: float = 1.0

    def rate(self, step: int, *, halvings: int = 0, epoch: int = 0) -> float:
        """Return the rate of update number `step`, counted from 1, after `halvings` plateaus and `epoch` passes."""
        if step <= self.warmup_steps:
            return self.peak * step / self.warmup_steps
        if self.kind == "inverse_sqrt":  # Vaswani et al., 2017, sec. 5.3, with its peak at the end of the warm-up
            return self.peak * math.sqrt(max(1, self.warmup_steps) / step)
        if self.kind == "cosine":  # Loshchilov & Hutter, 2017, sec. 3, without restarts
            first = max(1, self.warmup_steps)  # at the peak; the step after the last one would be at zero
            done = (step - first) / max(1, self.total_steps + 1 - first)
            return self.peak * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
        if self.kind == "epoch_decay":  # Zaremba et al., 2015, sec. 4.1
            return self.peak * self.decay_factor ** max(0, epoch + 1 - self.decay_after_epochs)
        return self.peak * 0.5**halvings


def make_optimizer(settings: TrainingSettings, parameters: Iterable[nn.Parameter]) -> Optimizer:
    """Make the update rule, in the library's fused form."""
    _leave_compiler_out()
    rate = settings.learning_rate
    if settings.optimizer == "sgd":
        return torch.optim.SGD(
            parameters, lr=rate, momentum=settings.momentum, weight_decay=settings.weight_decay, fused=True
        )
    kind = torch.optim.AdamW if settings.optimizer == "adamw" else torch.optim.Adam
    return kind(parameters, lr=rate, betas=settings.betas, weight_decay=settings.weight_decay, fused=True)


@torch.no_grad()
def step(optimizer: Optimizer) -> None:
    """Do what `optimizer.step()` does, past the wrapper that loads torch's compiler for it."""
    inspect.unwrap(type(optimizer).step)(optimizer)


def _leave_compiler_out() -> None:
    """Keep torch from loading its compiler, which takes nearly as long as torch itself and has nothing to do here.

    It would be loaded to exempt these methods from compiling; torch keeps what is then called in this attribute.
    """
    for method in (Optimizer.add_param_group, Optimizer.zero_grad):
        plain = inspect.unwrap(method)
        setattr(plain, "__dynamo_disable", plain)
