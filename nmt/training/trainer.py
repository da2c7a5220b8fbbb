"""One training run from prepared data to a model folder: started, or continued where it stood."""

import math
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from nmt.config import Settings
from nmt.config.effects import warnings_of_idle
from nmt.config.load import fit_settings
from nmt.errors import ModelError, counted
from nmt.io.files import is_leftover
from nmt.models.build import count_parameters
from nmt.models.devices import choose_device, choose_precision, prepare_for_training, use_threads
from nmt.models.folder import CARD, CONFIG, ModelFolder, Vocabularies, refuse_more_than_is_there
from nmt.prepared import PreparedData, PreparedText
from nmt.prepared.manifest import TRAIN
from nmt.training.checkpoint import Checkpoints, list_checkpoints
from nmt.training.distributed import Place, Ranks
from nmt.training.language_modelling import LanguageTask
from nmt.training.loop import Trainer
from nmt.training.observers import LOG, Logbook, Observer, Records, Silence, StopRequest, ValidationReport
from nmt.training.resolve import OTHER_DATA
from nmt.training.state import Horizon, Position, TrainingState
from nmt.training.translation import TranslationTask
from nmt.training.update import MovingAverage, Schedule, Updater, make_optimizer

_ALONE = Ranks()


@dataclass(frozen=True)
class TrainingSummary:
    """How a run ended."""

    finished: bool
    """False if it was asked to stop."""
    state: TrainingState
    parameters: int
    padding: float
    """Share of padding among the cells of an epoch."""


def train(
    data: PreparedData | PreparedText,
    model_dir: Path,
    settings: Settings,
    *,
    observer: Observer,
    stop: StopRequest,
    ranks: Ranks = _ALONE,
    changes: Sequence[str] = (),
) -> TrainingSummary:
    """Train a model on prepared data into `model_dir`, continuing the run that is there.

    Args:
        data: Prepared pairs for a translation model, prepared text for a language model.
        stop: Looked at after every step.
        ranks: Where several processes train, each calls this with its own; the first one writes and tells the observer.
        changes: Settings that differ from those the run was begun with, one line each, for the log.

    Raises:
        ConfigError: The settings ask for what the data or this kind of model cannot give.
        ModelError: The folder holds something else, or is in use, or has no checkpoint that can be used.
        TrainingError: The loss exploded, memory ran out, or another process has ended.
    """
    settings = fit_settings(settings, prepared=data.settings)
    if not ranks.is_first:
        return _Run(data, model_dir, settings, Silence(), stop, ranks).go()
    _refuse_foreign(model_dir)
    with Logbook(model_dir, observer, of_text=settings.model.kind == "lm") as logbook:
        for warning in warnings_of_idle(settings, "model", "training", "search"):
            logbook.on_message(f"warning: {warning}")
        for change in changes:
            logbook.on_message(f"setting changed: {change}")
        return _Run(data, model_dir, settings, logbook, stop, ranks).go()


@dataclass
class _Run:
    """What the parts of a run are made from."""

    data: PreparedData | PreparedText
    model_dir: Path
    settings: Settings
    observer: Observer
    stop: StopRequest
    ranks: Ranks

    def __post_init__(self) -> None:
        training = self.settings.training
        self.threads = use_threads(training.threads)
        self.device = choose_device(training.device, index=self.ranks.local_rank)
        self.precision = choose_precision(training.precision, self.device)
        prepare_for_training(self.device)
        place = Place(self.device, self.precision, self.ranks)
        self.task = (
            TranslationTask(self.data, self.settings, place)
            if isinstance(self.data, PreparedData)
            else LanguageTask(self.data, self.settings, place)
        )
        tokenizers = self.task.tokenizers
        sizes = Vocabularies(len(tokenizers.src), len(tokenizers.tgt), tokenizers.joint)
        if checkpoints := list_checkpoints(self.model_dir):  # whoever made the folder chose its settings
            largest = max(checkpoints, key=lambda path: path.stat().st_size if path.is_file() else 0)
            refuse_more_than_is_there(largest, self.settings, sizes)
        else:
            self.task.begin(self.observer.on_message)
        self.model = self.task.model
        self.optimizer = make_optimizer(training, self.model.parameters())
        self.average = MovingAverage(self.model, decay=training.ema_decay) if training.ema_decay else None
        self.checkpoints = Checkpoints(
            self.model_dir,
            self.model,
            self.optimizer,
            average=self.average,
            keep=training.keep_checkpoints,
            carry=self.task.carry,
        )
        files = tokenizers.files
        self.folder = ModelFolder(self.model_dir, settings=self.settings, vocabularies=sizes, tokenizers=files)
        self.parameters = count_parameters(self.model)

    def go(self) -> TrainingSummary:
        """Begin or continue, and train."""
        state = self._begin_or_continue()
        schedule = self._schedule(state)
        if over := self._is_over(state, schedule):
            self.observer.on_message(over)
            return TrainingSummary(True, state, self.parameters, self.task.feed.padding)
        if self.ranks.is_first:
            self.folder.create()
            if not list_checkpoints(self.model_dir):  # from here on the run can be continued
                self.checkpoints.save(state)
        self.observer.on_message(
            f"{self.parameters:,} parameters, {self.task.describe(state.position)}, "
            f"{self.device.type} {self.precision}, {counted(self.threads, 'thread')}"
            + (f", {self.ranks.size} processes" if self.ranks.size > 1 else "")
        )
        steps, warmup = schedule.total_steps, schedule.warmup_steps
        if steps < warmup:
            self.observer.on_message(
                f"warning: the run has {counted(steps, 'step')}, fewer than training.warmup_steps = {warmup:,}: the "
                f"learning rate ends at {schedule.rate(steps):.3g} on its way to {schedule.peak:g}; lower "
                "training.warmup_steps, or train longer"
            )
        tensorboard = self.settings.training.tensorboard
        records = Records(self.model_dir, step=state.step, tensorboard=tensorboard) if self.ranks.is_first else None
        with records or nullcontext():
            finished = self._trainer(state, schedule, records).run()
        return TrainingSummary(finished, state, self.parameters, self.task.feed.padding)

    def _begin_or_continue(self) -> TrainingState:
        if self.ranks.is_first:
            self.checkpoints.clean_up()
        state = self.checkpoints.load_newest(on_damage=self.observer.on_message)
        step = -1 if state is None else state.step
        (first,) = self.ranks.from_first((step,))  # nor does anybody write before all have read
        if first != step:
            raise ModelError(f"{self.model_dir} holds step {step} here, but step {first:.0f} for the first process")
        digest = self.data.manifest.files[TRAIN].sha256
        if state is None:
            return TrainingState(data=digest)
        if state.data != digest:
            raise ModelError(OTHER_DATA.format(model_dir=self.model_dir, which=f" than {self.data.folder}"))
        self.observer.on_message(f"continuing {self.model_dir} at step {state.step:,}")
        return state

    def _is_over(self, state: TrainingState, schedule: Schedule) -> str | None:
        """Say why there is nothing left to do; None: there is."""
        training, step = self.settings.training, state.step
        if state.validated < step == schedule.total_steps:
            return None
        if step >= schedule.total_steps:
            limit = "max_steps" if training.max_steps else "max_epochs"
            return f"the run is already at its last step: {step:,}; raise training.{limit} to go on"
        if 0 < training.patience <= state.stale:
            return (
                f"the run has stopped early at step {step:,}, after {counted(state.stale, 'validation')} without a "
                "better score; raise training.patience to go on"
            )
        return None

    def _trainer(self, state: TrainingState, schedule: Schedule, records: Records | None) -> Trainer:
        training = self.settings.training
        every: int | str = training.log_every
        if every == "tenth":
            epoch = state.position.epoch
            every = max(1, round(self.task.feed.steps_left(Position(epoch), max_epochs=epoch + 1) / 10))

        return Trainer(
            model=self.model,
            updater=Updater(
                loss=self.ranks.wrap(self.task.make_loss(), self.device),
                optimizer=self.optimizer,
                device=self.device,
                precision=self.precision,
                clip_norm=training.clip_norm or math.inf,
                clip_value=training.clip_value or math.inf,
                average=self.average,
                ranks=self.ranks,
                on_message=self.observer.on_message,
                carry=self.task.carry,
            ),
            feed=self.task.feed,
            schedule=schedule,
            settings=training,
            log_every=int(every),
            state=state,
            checkpoints=self.checkpoints,
            validate=self.task.validate,
            save_best=self._save_best,
            records=records,
            observer=self.observer,
            stop=self.stop,
            ranks=self.ranks,
        )

    def _save_best(self, report: ValidationReport, state: TrainingState) -> None:
        counts = {"target_words": state.tokens, "seconds": round(state.seconds, 1), "parameters": self.parameters}
        self.folder.save(self.model, {"step": report.step, **report.scores.summary(), **counts})

    def _schedule(self, state: TrainingState) -> Schedule:
        training = self.settings.training
        wanted = Horizon(training.max_steps, training.max_epochs, self.task.batch_tokens, training.accumulate)
        if state.horizon is None or replace(state.horizon, steps=0) != wanted:
            left = self.task.feed.steps_left(state.position, max_epochs=training.max_epochs)
            state.horizon = replace(wanted, steps=training.max_steps or state.step + left)
        return Schedule(
            training.schedule,
            training.learning_rate,
            training.warmup_steps,
            state.horizon.steps,
            training.decay_after_epochs,
            training.decay_factor,
        )


def _refuse_foreign(model_dir: Path) -> None:
    if model_dir.exists() and not model_dir.is_dir():
        raise ModelError(f"{model_dir} is a file; a model needs a folder")
    if not model_dir.is_dir() or list_checkpoints(model_dir):
        return
    if (model_dir / CARD).exists():
        raise ModelError(f"{model_dir} holds a model without the checkpoint to continue from; choose another folder")
    foreign = [path for path in model_dir.iterdir() if path.name != LOG and not is_leftover(path)]
    if foreign and not (model_dir / CONFIG).exists():
        raise ModelError(f"{model_dir} holds other files; choose a new or empty folder")
