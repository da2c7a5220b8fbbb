"""The training loop: updates, validated, recorded and saved as they come."""

import math
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from time import perf_counter

import torch
from torch import Tensor

from nmt.batching import Batch, Segment
from nmt.config import TrainingSettings
from nmt.errors import TrainingError
from nmt.io.background import Background
from nmt.models.build import count_parameters
from nmt.models.devices import give_back_memory
from nmt.models.language_model import LanguageModel
from nmt.models.seq2seq import Seq2Seq
from nmt.training.checkpoint import Checkpoints
from nmt.training.distributed import Ranks
from nmt.training.feeding import Feed, UpdateData
from nmt.training.observers import Observer, Records, Scores, StepProgress, StepReport, StopRequest, ValidationReport
from nmt.training.planning import Forecast, Pace, resident_bytes
from nmt.training.state import TrainingState
from nmt.training.text_feeding import TextFeed
from nmt.training.update import Schedule, Updater

_NEAR_ZERO = 1.0
"""Below this a BLEU says nothing of how good a model is: chance matches, or words that its tokenizer does not find."""
_WARNED_AT = 3
"""Validations of such a BLEU and a lower loss each, before a warning."""
_KEPT = 100
"""Updates for which a CPU's memory is kept once it is freed."""
_UNTIMED = 2
"""Updates of a process that take longer than those to come."""
_TIMED = 5.0
"""Seconds of updates that tell how long a run will take."""
_LAST = 25.0
"""Seconds that a stopped run may take to validate: `torchrun` kills its processes 30 seconds after it is stopped."""


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
    model_writer: Callable[[TrainingState, Mapping[str, object]], Callable[[], None]]
    """Copies the weights, and returns what keeps them, with what there is to say of them."""
    pace: Pace
    records: Records | None
    """None in all processes but the first."""
    observer: Observer
    stop: StopRequest
    ranks: Ranks
    background: Background = field(default_factory=Background, init=False)
    """Where files are written."""
    _checkpoint: "Future[None] | None" = field(default=None, init=False)
    """The last one, written or not."""
    _score: float = field(default=-math.inf, init=False)
    """What the last validation says of the model in one number: the larger, the better."""

    def run(self) -> bool:
        """Train to the last step, or until validation stops getting better; return False if asked to stop before.

        Raises:
            TrainingError: The loss is not a number or explodes; the last checkpoint stays as it was.
        """
        with self.background:
            self._begin()
            finished = self._train()
            if not finished and self.state.step and not self.state.validated:
                self._leave_model()
        self.ranks.from_first((0.0,))  # torchrun ends all processes once one has ended
        return finished

    def rehearse(self, seconds: float) -> float:
        """Time updates for so long, and return their target pieces a second; nothing is recorded or saved.

        They are made twice, and timed the second time: then libraries and memory are ready for batches of these sizes.
        Who is asked to stop has nothing to save yet, and is interrupted.
        """
        start = self.state
        for _ in range(2):
            self.state = replace(start)
            self._begin()
            updates = self.feed.updates(start.position)
            while not self.ranks.any(self._is_timed(seconds / 2)):
                if self.ranks.any(self.stop.is_set()):
                    raise KeyboardInterrupt
                self._update(updates)
                self._show("timing")
            self._check()
            self._keep_pace()
        return self._meter.speed

    def _begin(self) -> None:
        device = self.model.device
        before = self.state.window_loss if self.ranks.is_first else 0.0  # a checkpoint holds the sum of all processes
        loss, norm = torch.tensor(before, dtype=torch.float64, device=device), torch.zeros((), device=device)
        first, last, timed = (replace(self.state) for _ in range(3))
        self._meter = _Meter(perf_counter(), loss, norm, first, last, timed)
        self._near_zero = 0

    def _train(self) -> bool:
        if self._validation_is_due():  # a stop has cut it short
            if not self._validate():
                return False
            self.save()
        updates = self.feed.updates(self.state.position)
        while not self._is_over():
            if self.ranks.any(self.stop.is_set()):
                self._check()
                self.save()
                return False
            self._update(updates)
            self.background.check()
            if self._due(self.log_every):
                self._record()
            self._tell()
            if self._validation_is_due() and not self._validate():
                self.save()
                return False
            if self._due(self.settings.checkpoint_every):
                self._check()
                self.save()
        return True

    def _is_over(self) -> bool:
        return self.state.step >= self.schedule.total_steps or 0 < self.settings.patience <= self.state.stale

    def _due(self, every: int) -> bool:
        return self._is_over() or self.state.step % every == 0

    def _validation_is_due(self) -> bool:
        return self.state.validated < self.state.step and self._due(self.settings.validate_every)

    @contextmanager
    def _timed(self) -> Iterator[None]:
        before = perf_counter()
        yield
        self.state.seconds += perf_counter() - before

    def _update(self, updates: Iterator[UpdateData]) -> None:
        state, meter = self.state, self._meter
        self._rate = self.schedule.rate(state.step + 1, halvings=state.halvings, epoch=state.position.epoch)
        seed = (self.settings.seed * 1_000_003 + state.step) % 2**63  # of this step's dropout and samples
        with self._timed():
            data = next(updates)
            loss, meter.norm = self.updater.update(data, step=state.step + 1, seed=seed, rate=self._rate)
            meter.loss += loss
        state.step, state.position = state.step + 1, data.after
        state.tokens, state.window_tokens = state.tokens + data.pieces, state.window_tokens + data.pieces
        if state.step % _KEPT == 0:
            self._make_room()
        if state.step == meter.first.step + _UNTIMED:
            meter.timed = replace(state)
            self.pace.memory = self.pace.memory or resident_bytes()

    def _make_room(self) -> None:
        if self.model.device.type == "cpu":
            give_back_memory()

    def _is_timed(self, seconds: float) -> bool:
        timed = self._meter.timed
        return self.state.step > self._meter.first.step + _UNTIMED and self.state.seconds >= timed.seconds + seconds

    def _keep_pace(self) -> None:
        state, timed = self.state, self._meter.timed
        self.pace.made = state.step - self._meter.first.step
        if state.step > timed.step:
            self.pace.step = (state.seconds - timed.seconds) / (state.step - timed.step)
            self._meter.speed = (state.tokens - timed.tokens) / max(1e-9, state.seconds - timed.seconds)

    def _tell(self) -> None:
        """Tell the observer where the run stands; and once, how long it will take."""
        goes_on = self.state.step < self.schedule.total_steps
        if goes_on and not self._meter.is_forecast and self.ranks.any(self._is_timed(_TIMED)):  # their clocks differ
            self._check()
            self._forecast()
        self._keep_pace()
        self._show()

    def _show(self, activity: str = "") -> None:
        state, meter = self.state, self._meter
        alone_on_cpu = self.model.device.type == "cpu" and self.ranks.size == 1  # elsewhere one would have to wait
        self.observer.on_progress(
            StepProgress(
                step=state.step,
                total_steps=self.schedule.total_steps,
                loss=float(meter.loss) / state.window_tokens if alone_on_cpu and state.window_tokens else None,
                tokens_per_second=meter.speed,
                seconds_left=self.pace.seconds(state.step, self.schedule.total_steps),
                activity=activity,
            )
        )

    def _forecast(self) -> None:
        self._keep_pace()
        self._meter.is_forecast = True
        parameters = count_parameters(self.model)
        found = Forecast.of(self.pace, step=self.state.step, steps=self.schedule.total_steps, parameters=parameters)
        self.observer.on_message(found.describe())
        for warning in found.warnings((Segment if isinstance(self.model, LanguageModel) else Batch).size_setting):
            self.observer.on_message(f"warning: {warning}")

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
            seconds_per_step=(perf_counter() - meter.start) / max(1, state.step - meter.first.step),
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
        news = self.updater.scale.news() if self.updater.scale is not None else None
        if news:
            self.observer.on_message(news)

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
        self._show("validating")
        self.background.wait()
        self._make_room()  # what updates take is no use here, nor the other way round
        state, before, is_first = self.state, perf_counter(), self.pace.validation is None
        with self._averaged():
            found = self._scores()
            if found is None:
                return False
            report = ValidationReport(state.step, found, self._is_best(found))
            if report.is_best and self.ranks.is_first:
                self.background.begin(self.model_writer(state, found.summary()))
        self.pace.validation = perf_counter() - before
        self._make_room()
        if self.records is not None:
            self.records.add("valid", state.step, found.numbers())
        self.observer.on_validation(report)
        if is_first and self._meter.is_forecast and not self._is_over():
            self._forecast()
        return True

    def _averaged(self) -> AbstractContextManager[None]:
        average = self.updater.average
        return average.in_place() if average is not None else nullcontext()

    def _leave_model(self) -> None:
        """Keep the model of a run that is stopped before its first validation, with what a short one finds.

        It does not count: the run goes on from its checkpoint as if there had been none.
        """
        state = self.state
        if self.ranks.is_first:
            self.observer.on_message(
                f"no validation has kept a model yet: validating that of step {state.step:,}, for {_LAST:.0f} s at "
                "most; once more stops at once"
            )
            self._show("validating")
            with self._averaged():
                found = self.validate(_Deadline(perf_counter() + _LAST))
                scores = {} if found is None else found.summary()
                self.background.begin(self.model_writer(state, {"unfinished": True, **scores}))
            told = "not validated, as that takes longer" if found is None else f"validation loss {found.loss:.4f}"
            bleu = "" if found is None or found.bleu is None else f", BLEU {found.bleu:.2f}"
            self.observer.on_message(f"the model is that of step {state.step:,}, unfinished: {told}{bleu}")

    def _scores(self) -> Scores | None:
        """Let the first process validate, and tell all what it has found; None: it was asked to stop."""
        found = self.validate(self.stop) if self.ranks.is_first else None
        settings, mine = self.settings, (0.0, 0.0, 0.0, 0.0)
        if found is not None:
            bleu = math.nan if found.bleu is None else found.bleu
            mine = (1.0, found.loss, bleu, found.score(settings.best_by, settings.validation_weights or {}))
        known, loss, bleu, self._score = self.ranks.from_first(mine)
        if found is None and known:  # the other scores stay with the first process
            return Scores(loss, None if math.isnan(bleu) else bleu)
        return found

    def _is_best(self, found: Scores) -> bool:
        """Tell whether these scores are the best so far, and count the validations without a better one."""
        state, loss, settings = self.state, found.loss, self.settings
        has_lower_loss = state.best_loss is None or loss < state.best_loss
        by_bleu, score = found.bleu is not None and settings.best_by == "bleu", self._score
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

    def save(self) -> None:
        """Have a checkpoint of the state as it is now written, once the one before is; every process takes part."""
        before = perf_counter()
        carry = self.updater.carry
        carried = {} if carry is None else carry.tensors()
        if self.ranks.is_first:
            if self._checkpoint is not None:
                self._checkpoint.result()
            self._checkpoint = self.background.begin(self.checkpoints.writer(self.state, carried))
        self.pace.checkpoint = perf_counter() - before


@dataclass(frozen=True)
class _Deadline:
    """Asks to stop from some time on."""

    end: float

    def is_set(self) -> bool:
        """Tell whether it is that late."""
        return perf_counter() >= self.end


@dataclass
class _Meter:
    """The loss since the last record, kept on the device, and where this process took up the run."""

    start: float
    loss: Tensor
    norm: Tensor
    """Of the last gradient."""
    first: TrainingState
    """The counters when this process took up the run."""
    last: TrainingState
    """The counters at the last record."""
    timed: TrainingState
    """The counters since which updates take as long as those to come."""
    speed: float = 0.0
    """Target pieces a second in updates since then."""
    is_forecast: bool = False
    """Whether it has been told how long the run will take."""
