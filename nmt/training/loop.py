"""The training loop: updates, validated, recorded and saved as they come."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from nmt.config import TrainingSettings
from nmt.errors import TrainingError
from nmt.models.language_model import LanguageModel
from nmt.models.seq2seq import Seq2Seq
from nmt.training.checkpoint import Checkpoints
from nmt.training.distributed import Ranks
from nmt.training.feeding import UpdateData
from nmt.training.observers import (
    Observer,
    Records,
    SaveBest,
    Scores,
    StepReport,
    StopRequest,
    Validate,
    ValidationReport,
)
from nmt.training.state import Position, TrainingState
from nmt.training.update import Schedule, Updater

_NEAR_ZERO = 1.0
"""Below this a BLEU says nothing of how good a model is: chance matches, or words that its tokenizer does not find."""
_WARNED_AT = 3
"""Validations of such a BLEU and a lower loss each, before a warning."""


class Updates(Protocol):
    """Something that cuts the data into updates."""

    def updates(self, position: Position) -> Iterator[UpdateData]:
        """Yield updates from `position` on, without end."""
        ...


@dataclass
class Trainer:
    """One run. Everything it needs is given; what changes is in `state`, the weights and the optimiser.

    Where several processes train, each of them runs this loop; the first one validates, records and saves.
    """

    model: Seq2Seq | LanguageModel
    updater: Updater
    feed: Updates
    schedule: Schedule
    settings: TrainingSettings
    log_every: int
    """Steps between records."""
    state: TrainingState
    checkpoints: Checkpoints
    validate: Validate
    save_best: SaveBest
    records: Records | None
    """None in all processes but the first."""
    observer: Observer
    stop: StopRequest
    ranks: Ranks

    def run(self) -> bool:
        """Train to the last step, or until validation stops getting better; return False if asked to stop before.

        Raises:
            TrainingError: The loss is not a number or explodes; the last checkpoint stays as it was.
        """
        self._meter = _Meter(self.state, self.model.device, first=self.ranks.is_first)
        self._rate = 0.0
        self._near_zero = 0
        if self._validation_is_due():  # a stop has cut it short
            if not self._validate():
                return False
            self._save()
        updates = self.feed.updates(self.state.position)
        while not self._is_over():
            if self.ranks.any(self.stop.is_set()):
                self._check()
                self._save()
                return False
            with self._meter.timed(self.state):
                self._update(next(updates))
            if self._due(self.log_every):
                self._record()
            if self._validation_is_due() and not self._validate():
                self._save()
                return False
            if self._due(self.settings.checkpoint_every):
                self._check()
                self._save()
        return True

    def _is_over(self) -> bool:
        return self.state.step >= self.schedule.total_steps or 0 < self.settings.patience <= self.state.stale

    def _due(self, every: int) -> bool:
        return self._is_over() or self.state.step % every == 0

    def _validation_is_due(self) -> bool:
        return self.state.validated < self.state.step and self._due(self.settings.validate_every)

    def _update(self, data: UpdateData) -> None:
        state = self.state
        self._rate = self.schedule.rate(state.step + 1, halvings=state.halvings, epoch=state.position.epoch)
        seed = step_seed(self.settings.seed, state.step)
        loss, norm = self.updater.update(data, step=state.step + 1, seed=seed, rate=self._rate)
        self._meter.add(loss, norm)
        state.step, state.position = state.step + 1, data.after
        state.tokens, state.window_tokens = state.tokens + data.pieces, state.window_tokens + data.pieces

    def _record(self) -> None:
        self._check()
        state, meter = self.state, self._meter
        report = StepReport(
            step=state.step,
            total_steps=self.schedule.total_steps,
            epoch=state.position.epoch,
            tokens=state.tokens - meter.first_tokens,
            loss=state.window_loss / state.window_tokens,
            tokens_per_second=meter.tokens_per_second(state),
            seconds=state.seconds - meter.first_seconds,
            seconds_per_step=meter.seconds_per_step(state),
            learning_rate=self._rate,
            gradient_norm=float(meter.norm),
        )
        meter.restart(state)
        values = {name: value for name, value in vars(report).items() if name not in ("step", "total_steps")}
        if self.records is not None:
            self.records.add("train", state.step, values)
        self.observer.on_step(report)

    def _check(self) -> None:
        """Refuse to go on from broken weights; a uniform guess costs log V, and twice that is far from learning."""
        state, meter, limit = self.state, self._meter, 2 * math.log(self.model.output.out_features) + 2
        meter.read(state, self.ranks)
        norm, loss = float(meter.norm), state.window_loss / max(1, state.window_tokens)
        if math.isfinite(loss) and math.isfinite(norm) and abs(loss) <= limit:  # smoothed, it may explode downwards
            return
        found = f"{loss:.3g} nats a piece" if math.isfinite(loss) and math.isfinite(norm) else "not a number"
        raise TrainingError(
            f"the training loss is {found} at step {state.step} (gradient norm {norm:.3g}); try a lower "
            f"training.learning_rate (now {self.settings.learning_rate:g}), a longer training.warmup_steps (now "
            f'{self.settings.warmup_steps}) or training.precision = "fp32"; {self.checkpoints.model_dir} holds the '
            "last good state"
        )

    def _validate(self) -> bool:
        """Validate, and keep the weights if they are the best so far; return False if asked to stop before the end."""
        self._check()
        state = self.state
        average = self.updater.average
        with average.in_place() if average is not None else nullcontext():
            found = self._scores()
            if found is None:
                return False
            report = self._judge(found)
            if report.is_best and self.ranks.is_first:
                self.save_best(report, state)
        if self.records is not None:
            self.records.add("valid", state.step, found.numbers())
        self.observer.on_validation(report)
        return True

    def _scores(self) -> Scores | None:
        """Let the first process validate, and tell all what it has found; None: it was asked to stop."""
        found = self.validate(self.stop) if self.ranks.is_first else None
        mine = (0.0, 0.0, 0.0) if found is None else (1.0, found.loss, math.nan if found.bleu is None else found.bleu)
        known, loss, bleu = self.ranks.from_first(mine)
        others = {} if found is None else found.others  # which only the first process tells of
        signature = None if found is None else found.signature
        return Scores(loss, None if math.isnan(bleu) else bleu, others, signature) if known else None

    def _judge(self, found: Scores) -> ValidationReport:
        state, loss = self.state, found.loss
        score = -loss if found.bleu is None or self.settings.best_by == "loss" else found.bleu
        is_best = state.best_score is None or score > state.best_score
        by_bleu = found.bleu is not None and self.settings.best_by == "bleu"
        if by_bleu and max(score, state.best_score or 0.0) < _NEAR_ZERO:
            is_best = state.best_loss is None or loss < state.best_loss
            self._note_near_zero(is_best)
        state.validated = state.step
        state.stale = 0 if is_best else state.stale + 1
        if is_best:
            state.best_score, state.best_step = score, state.step
        self._note_plateau(loss)
        return ValidationReport(state.step, loss, found.perplexity, found.bleu, is_best, found.others, found.signature)

    def _note_near_zero(self, is_best: bool) -> None:
        self._near_zero += is_best
        if is_best and self._near_zero == _WARNED_AT:
            self.observer.on_message(
                f"warning: validation BLEU has stayed below {_NEAR_ZERO:g} while the loss fell; until it rises, the "
                "best model is that of the lowest loss; whether BLEU finds the words of the target is up to "
                f'training.bleu_tokenizer (now "{self.settings.bleu_tokenizer}")'
            )

    def _note_plateau(self, loss: float) -> None:
        state = self.state
        if state.best_loss is None or loss < state.best_loss:
            state.best_loss, state.plateau = loss, 0
            return
        state.plateau += 1
        if self.settings.schedule == "plateau" and state.plateau >= self.settings.plateau_patience:
            state.halvings, state.plateau = state.halvings + 1, 0

    def _save(self) -> None:
        carry = self.updater.carry
        carried = {} if carry is None else carry.tensors()
        if self.ranks.is_first:
            self.checkpoints.save(self.state, carried)


class _Meter:
    """The loss since the last record, kept on the device, and how fast this process trains."""

    def __init__(self, state: TrainingState, device: torch.device, *, first: bool) -> None:
        before = state.window_loss if first else 0.0  # a checkpoint holds the sum of all processes
        self.loss = torch.tensor(before, dtype=torch.float64, device=device)
        self.norm = torch.zeros((), device=device)
        self.start = time.perf_counter()
        self.first_step, self.first_tokens, self.first_seconds = state.step, state.tokens, state.seconds
        self.last_tokens, self.last_seconds = state.tokens, state.seconds

    def add(self, loss: Tensor, norm: Tensor) -> None:
        self.loss += loss
        self.norm = norm

    @contextmanager
    def timed(self, state: TrainingState) -> Iterator[None]:
        before = time.perf_counter()
        yield
        state.seconds += time.perf_counter() - before

    def read(self, state: TrainingState, ranks: Ranks) -> None:
        """Put the loss of all processes into the state; a GPU's work is over and timed when this returns."""
        with self.timed(state):
            state.window_loss = ranks.sum(self.loss.item())

    def restart(self, state: TrainingState) -> None:
        self.loss.zero_()
        state.window_loss, state.window_tokens = 0.0, 0
        self.last_tokens, self.last_seconds = state.tokens, state.seconds

    def tokens_per_second(self, state: TrainingState) -> float:
        return (state.tokens - self.last_tokens) / max(1e-9, state.seconds - self.last_seconds)

    def seconds_per_step(self, state: TrainingState) -> float:
        return (time.perf_counter() - self.start) / max(1, state.step - self.first_step)


def step_seed(seed: int, step: int) -> int:
    """Mix run seed and step into the seed of that step's dropout and samples."""
    return (seed * 1_000_003 + step) % 2**63
