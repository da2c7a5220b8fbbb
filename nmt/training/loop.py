"""The training loop: updates, validated, recorded and saved as they come."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from nmt.config import TrainingSettings
from nmt.errors import TrainingError
from nmt.models.language_model import LanguageModel
from nmt.models.seq2seq import Seq2Seq
from nmt.training.checkpoint import Checkpoints
from nmt.training.distributed import Ranks
from nmt.training.feeding import Feed, UpdateData
from nmt.training.observers import Observer, Records, Scores, StepReport, StopRequest, ValidationReport
from nmt.training.state import TrainingState
from nmt.training.text_feeding import TextFeed
from nmt.training.update import Schedule, Updater

_NEAR_ZERO = 1.0
"""Below this a BLEU says nothing of how good a model is: chance matches, or words that its tokenizer does not find."""
_WARNED_AT = 3
"""Validations of such a BLEU and a lower loss each, before a warning."""


@dataclass
class Trainer:
    """One run. Everything it needs is given; what changes is in `state`, the weights and the optimiser.

    Where several processes train, each of them runs this loop; the first one validates, records and saves.
    """

    model: Seq2Seq | LanguageModel
    updater: Updater
    feed: Feed | TextFeed
    schedule: Schedule
    settings: TrainingSettings
    log_every: int
    """Steps between records."""
    state: TrainingState
    checkpoints: Checkpoints
    validate: Callable[[StopRequest], Scores | None]
    """Scores the model on the validation data; None if asked to stop before the scores are known."""
    save_best: Callable[[ValidationReport, TrainingState], None]
    """Keeps the weights of the best validation."""
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
        device = self.model.device
        before = self.state.window_loss if self.ranks.is_first else 0.0  # a checkpoint holds the sum of all processes
        loss, norm = torch.tensor(before, dtype=torch.float64, device=device), torch.zeros((), device=device)
        self._meter = _Meter(loss, norm, first=replace(self.state), last=replace(self.state))
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
            with self._timed():
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

    @contextmanager
    def _timed(self) -> Iterator[None]:
        before = time.perf_counter()
        yield
        self.state.seconds += time.perf_counter() - before

    def _update(self, data: UpdateData) -> None:
        state, meter = self.state, self._meter
        self._rate = self.schedule.rate(state.step + 1, halvings=state.halvings, epoch=state.position.epoch)
        seed = (self.settings.seed * 1_000_003 + state.step) % 2**63  # of this step's dropout and samples
        loss, meter.norm = self.updater.update(data, step=state.step + 1, seed=seed, rate=self._rate)
        meter.loss += loss
        state.step, state.position = state.step + 1, data.after
        state.tokens, state.window_tokens = state.tokens + data.pieces, state.window_tokens + data.pieces

    def _record(self) -> None:
        self._check()
        state, meter = self.state, self._meter
        report = StepReport(
            step=state.step,
            total_steps=self.schedule.total_steps,
            epoch=state.position.epoch,
            tokens=state.tokens - meter.first.tokens,
            loss=state.window_loss / state.window_tokens,
            tokens_per_second=(state.tokens - meter.last.tokens) / max(1e-9, state.seconds - meter.last.seconds),
            seconds=state.seconds - meter.first.seconds,
            seconds_per_step=(time.perf_counter() - meter.start) / max(1, state.step - meter.first.step),
            learning_rate=self._rate,
            gradient_norm=float(meter.norm),
        )
        meter.loss.zero_()
        meter.last = replace(state)
        state.window_loss, state.window_tokens = 0.0, 0
        values = {name: value for name, value in vars(report).items() if name not in ("step", "total_steps")}
        if self.records is not None:
            self.records.add("train", state.step, values)
        self.observer.on_step(report)

    def _check(self) -> None:
        """Refuse to go on from broken weights; a uniform guess costs log V, and twice that is far from learning."""
        state, meter, limit = self.state, self._meter, 2 * math.log(self.model.output.out_features) + 2
        with self._timed():  # a GPU's work is over when the loss is read
            state.window_loss = self.ranks.sum(meter.loss.item())
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
            report = ValidationReport(state.step, found, self._is_best(found))
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
        if found is None and known:  # the other scores stay with the first process
            return Scores(loss, None if math.isnan(bleu) else bleu)
        return found

    def _is_best(self, found: Scores) -> bool:
        """Tell whether these scores are the best so far, and count the validations without a better one."""
        state, loss, settings = self.state, found.loss, self.settings
        has_lower_loss = state.best_loss is None or loss < state.best_loss
        by_bleu = found.bleu is not None and settings.best_by == "bleu"
        score = -loss if found.bleu is None or settings.best_by == "loss" else found.bleu
        is_best = state.best_score is None or score > state.best_score
        if by_bleu and max(score, state.best_score or 0.0) < _NEAR_ZERO:
            is_best = has_lower_loss
            self._near_zero += is_best
            if is_best and self._near_zero == _WARNED_AT:
                self.observer.on_message(
                    f"warning: validation BLEU has stayed below {_NEAR_ZERO:g} while the loss fell; until it rises, "
                    "the best model is that of the lowest loss; which tokenizer BLEU uses is set by "
                    f'training.bleu_tokenizer (now "{settings.bleu_tokenizer}")'
                )
        state.validated = state.step
        state.stale = 0 if is_best else state.stale + 1
        if is_best:
            state.best_score, state.best_step = score, state.step
        state.plateau = 0 if has_lower_loss else state.plateau + 1
        if has_lower_loss:
            state.best_loss = loss
        elif settings.schedule == "plateau" and state.plateau >= settings.plateau_patience:
            state.halvings, state.plateau = state.halvings + 1, 0
        return is_best

    def _save(self) -> None:
        carry = self.updater.carry
        carried = {} if carry is None else carry.tensors()
        if self.ranks.is_first:
            self.checkpoints.save(self.state, carried)


@dataclass
class _Meter:
    """The loss since the last record, kept on the device, and where this process took up the run."""

    loss: Tensor
    norm: Tensor
    """Of the last gradient."""
    first: TrainingState
    """The counters when this process took up the run."""
    last: TrainingState
    """The counters at the last record."""
    start: float = field(default_factory=time.perf_counter)
