"""The training loop: batches in, updates out, validated, recorded and saved as it goes."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch.optim import Optimizer

from nmt.batching import Batch, FlatSequences, Rows, plan_epoch, source_batch, target_batch
from nmt.config import TrainingSettings
from nmt.errors import TrainingError
from nmt.models.devices import Precision, autocast
from nmt.models.seq2seq import Seq2Seq
from nmt.training.checkpoint import TrainingState, save_checkpoint
from nmt.training.objectives import Objective
from nmt.training.optim import Schedule
from nmt.training.records import Records


@dataclass(frozen=True)
class StepReport:
    """What a progress display shows, every `training.log_every` steps."""

    step: int
    total_steps: int
    epoch: int
    tokens: int
    """Target words that this process has trained on."""
    loss: float
    """Training loss in nats a word, over the last `log_every` steps."""
    tokens_per_second: float
    """Target words a second in updates, over what this process has trained."""
    seconds_per_step: float
    """Wall time of a step, validations and checkpoints included, over what this process has trained."""
    learning_rate: float
    gradient_norm: float


@dataclass(frozen=True)
class ValidationReport:
    """One validation."""

    step: int
    loss: float
    """Cross-entropy in nats a word, full softmax, no smoothing."""
    perplexity: float
    bleu: float
    """BLEU of greedy translations against the detokenised references."""
    is_best: bool


class Observer(Protocol):
    """Someone who watches a run."""

    def on_step(self, report: StepReport) -> None:
        """Take note of progress."""

    def on_validation(self, report: ValidationReport) -> None:
        """Take note of a validation."""

    def on_message(self, message: str) -> None:
        """Take note of something that a person should read."""


class Validate(Protocol):
    """Scores a model on the validation pairs."""

    def __call__(self, model: Seq2Seq) -> tuple[float, float]:
        """Return the cross-entropy in nats a word, and BLEU."""
        ...


class StopRequest(Protocol):
    """Someone who may want the run to stop after the current step."""

    def is_set(self) -> bool:
        """Tell whether to stop."""
        ...


class SaveBest(Protocol):
    """Keeps the weights of the best validation."""

    def __call__(self, model: Seq2Seq, report: ValidationReport, state: TrainingState) -> None:
        """Save them."""
        ...


@dataclass(frozen=True)
class TrainingPairs:
    """The corpus, and how sources are read."""

    src: FlatSequences
    tgt: FlatSequences
    reverse_source: bool

    def batch(self, rows: Rows) -> Batch:
        """Pad the pairs of `rows`."""
        return Batch(source_batch(self.src, rows, reverse_source=self.reverse_source), target_batch(self.tgt, rows))


@dataclass
class Trainer:
    """One run. Everything it needs is given; what changes is in `state`, the weights and the optimiser."""

    model: Seq2Seq
    objective: Objective
    optimizer: Optimizer
    schedule: Schedule
    pairs: TrainingPairs
    settings: TrainingSettings
    precision: Precision
    state: TrainingState
    checkpoint: Path
    validate: Validate
    save_best: SaveBest
    records: Records
    observer: Observer
    stop: StopRequest

    def run(self) -> bool:
        """Train to the last step, or until validation stops getting better; return False if asked to stop before.

        Raises:
            TrainingError: The loss is not a number or explodes; the last checkpoint stays as it was.
        """
        pace, norm = _Pace(self.state), 0.0
        for rows in self._remaining_batches():
            if self.stop.is_set():
                self._check(norm)
                self._save()
                return False
            norm = self._update(rows)
            if self._due(self.settings.log_every):
                self._check(norm)
                self._record(norm, pace)
            if self._due(self.settings.validate_every):
                self._check(norm)
                self._validate()
            if self._due(self.settings.checkpoint_every):
                self._check(norm)
                self._save()
        return True

    def _due(self, every: int) -> bool:
        over = self.state.step == self.schedule.total_steps or self._patience_is_over()
        return over or self.state.step % every == 0

    def _remaining_batches(self) -> Iterator[Rows]:
        """Yield the batches from where the state stands, and move it along."""
        state, lengths = self.state, (self.pairs.src.lengths, self.pairs.tgt.lengths)
        while state.step < self.schedule.total_steps and not self._patience_is_over():
            plan = plan_epoch(
                *lengths, batch_tokens=self.settings.batch_tokens, seed=self.settings.seed, epoch=state.epoch
            )
            for rows in plan.batches[state.batch :]:
                yield rows
                if state.step >= self.schedule.total_steps or self._patience_is_over():
                    return
            state.epoch, state.batch = state.epoch + 1, 0

    def _update(self, rows: Rows) -> float:
        """Make one update; return the gradient norm before clipping."""
        state, before = self.state, time.perf_counter()
        torch.manual_seed(step_seed(self.settings.seed, state.step))
        batch = self.pairs.batch(rows)
        tokens = int(self.pairs.tgt.lengths[rows].sum()) + len(rows)
        batch = batch.to(self.model.device)
        with autocast(self.model.device, self.precision):
            features = self.model(batch).flatten(0, 1)  # [B * T, F]
            real = batch.tgt.weights.flatten().nonzero().squeeze(1)  # [N]
            loss = self.objective(features[real], batch.tgt.outputs.flatten()[real], self.model.output)
        (loss / tokens).backward()  # type: ignore[no-untyped-call]
        limit = self.settings.clip_norm or math.inf
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), limit)
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule.rate(state.step + 1, halvings=state.halvings)
        self.optimizer.step()
        self.optimizer.zero_grad()
        state.step, state.batch = state.step + 1, state.batch + 1
        state.tokens, state.window_tokens = state.tokens + tokens, state.window_tokens + tokens
        state.window_loss += float(loss.detach())
        state.seconds += time.perf_counter() - before
        return float(norm)

    def _record(self, norm: float, pace: "_Pace") -> None:
        state = self.state
        report = StepReport(
            step=state.step,
            total_steps=self.schedule.total_steps,
            epoch=state.epoch,
            tokens=state.tokens - pace.tokens,
            loss=state.window_loss / state.window_tokens,
            tokens_per_second=pace.tokens_per_second(state),
            seconds_per_step=pace.seconds_per_step(state),
            learning_rate=self.schedule.rate(state.step, halvings=state.halvings),
            gradient_norm=norm,
        )
        state.window_loss, state.window_tokens = 0.0, 0
        values = {name: value for name, value in vars(report).items() if name not in ("step", "total_steps")}
        self.records.add("train", state.step, values)
        self.observer.on_step(report)

    def _check(self, norm: float) -> None:
        """Refuse to go on from broken weights; a uniform guess costs log V, and twice that is far from learning."""
        state, limit = self.state, 2 * math.log(self.model.output.out_features) + 2
        loss = state.window_loss / max(1, state.window_tokens)
        if math.isfinite(loss) and math.isfinite(norm) and loss <= limit:
            return
        found = f"{loss:.3g} nats a word" if math.isfinite(loss) and math.isfinite(norm) else "not a number"
        raise TrainingError(
            f"the training loss is {found} at step {state.step} (gradient norm {norm:.3g}); try a lower "
            f"training.learning_rate (now {self.settings.learning_rate:g}), a longer training.warmup_steps (now "
            f'{self.settings.warmup_steps}) or training.precision = "fp32"; {self.checkpoint} holds the last good state'
        )

    def _validate(self) -> None:
        state = self.state
        loss, bleu = self.validate(self.model)
        score = bleu if self.settings.best_by == "bleu" else -loss
        is_best = state.best_score is None or score > state.best_score
        report = ValidationReport(state.step, loss, math.exp(min(loss, 50.0)), bleu, is_best)
        state.stale = 0 if is_best else state.stale + 1
        if is_best:
            state.best_score, state.best_step = score, state.step
            self.save_best(self.model, report, state)
        self._note_plateau(loss)
        values = {"loss": loss, "perplexity": report.perplexity, "bleu": bleu}
        self.records.add("valid", state.step, values)
        self.observer.on_validation(report)

    def _note_plateau(self, loss: float) -> None:
        state = self.state
        if state.best_loss is None or loss < state.best_loss:
            state.best_loss, state.plateau = loss, 0
            return
        state.plateau += 1
        if self.settings.schedule == "plateau" and state.plateau >= self.settings.plateau_patience:
            state.halvings, state.plateau = state.halvings + 1, 0

    def _patience_is_over(self) -> bool:
        return 0 < self.settings.patience <= self.state.stale

    def _save(self) -> None:
        save_checkpoint(self.checkpoint, self.model, self.optimizer, self.state)


class _Pace:
    """How fast this process trains, from where it took the run up."""

    def __init__(self, state: TrainingState) -> None:
        self.wall = time.perf_counter()
        self.step, self.tokens, self.seconds = state.step, state.tokens, state.seconds

    def tokens_per_second(self, state: TrainingState) -> float:
        return (state.tokens - self.tokens) / max(1e-9, state.seconds - self.seconds)

    def seconds_per_step(self, state: TrainingState) -> float:
        return (time.perf_counter() - self.wall) / max(1, state.step - self.step)


def step_seed(seed: int, step: int) -> int:
    """Mix run seed and step into the seed of that step's dropout and samples."""
    return (seed * 1_000_003 + step) % 2**63
