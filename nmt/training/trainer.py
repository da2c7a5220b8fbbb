"""One training run from prepared data to a model folder: started, or continued where it stood."""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from time import perf_counter

from nmt.config import Settings, TrainingSettings
from nmt.config.effects import warnings_of_idle
from nmt.config.load import change_settings, fit_settings
from nmt.config.training import seconds_of
from nmt.errors import ConfigError, ModelError, counted
from nmt.io.limits import usable_cores
from nmt.models.build import count_parameters
from nmt.models.devices import choose_device, choose_training_precision, prepare_for_training
from nmt.models.folder import ModelFolder, Vocabularies, refuse_more_than_is_there
from nmt.prepared import PreparedData, PreparedText
from nmt.prepared.manifest import TRAIN
from nmt.training.checkpoint import Checkpoints, list_checkpoints, refuse_foreign
from nmt.training.distributed import Place, Ranks
from nmt.training.inheriting import lineage
from nmt.training.language_modelling import LanguageTask
from nmt.training.loop import Trainer
from nmt.training.loss_scale import LossScale
from nmt.training.observers import Logbook, Observer, Records, Silence, StopRequest
from nmt.training.planning import Forecast, Pace, RunPlan, misfits, suited_to_gpu, times
from nmt.training.resolve import OTHER_DATA
from nmt.training.state import Horizon, Position, TrainingState
from nmt.training.threads import most_threads
from nmt.training.translation import TranslationTask
from nmt.training.update import MovingAverage, Schedule, Updater, make_optimizer

_ALONE = Ranks()
_MEASURED = 10.0
"""Seconds of updates that tell how long a run takes, at most."""
_COMPARED = 1.0
"""Seconds of updates with each number of threads that tell which is faster."""
_LONG = 500
"""Updates of a run that is worth comparing them."""
_GAIN = 1.05
"""How much faster several threads have to be than one, which has the other cores left for other programs."""


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
    begun: float | None = None,
) -> TrainingSummary:
    """Train a model on prepared data into `model_dir`, continuing the run that is there.

    Args:
        data: Prepared pairs for a translation model, prepared text for a language model.
        stop: Looked at after every step.
        ranks: Where several processes train, each calls this with its own; the first one writes and tells the observer.
        changes: Lines for the log, of settings that differ from those the run was begun with, or from its parent's.
        begun: From when on `training.time` counts, by `time.perf_counter`; None: from now.

    Raises:
        ConfigError: The settings ask for what the data or this kind of model cannot give.
        ModelError: The folder holds something else, or is in use, or has no checkpoint that can be used.
        TrainingError: The loss exploded, memory ran out, or another process has ended.
    """
    settings = fit_settings(settings, prepared=data.settings)
    _join(ranks, settings.training)
    begun = perf_counter() if begun is None else begun
    if not ranks.is_first:
        return _Run(data, model_dir, settings, Silence(), stop, ranks, begun).go()
    refuse_foreign(model_dir)
    with Logbook(model_dir, observer, of_text=settings.model.kind == "lm") as logbook:
        _tell_of(settings, changes, logbook)
        return _Run(data, model_dir, settings, logbook, stop, ranks, begun).go()


def rehearse(
    data: PreparedData | PreparedText,
    model_dir: Path,
    settings: Settings,
    *,
    observer: Observer,
    ranks: Ranks = _ALONE,
    changes: Sequence[str] = (),
    seconds: float = _MEASURED,
) -> tuple[RunPlan, Forecast] | None:
    """Find out what `train` would do and, by some updates of a model that is then forgotten, how long that would take
    and how much memory; nothing is written.

    Args:
        seconds: How long updates are timed.

    Returns:
        The plan and the forecast; None where the run is over already.
    """
    settings = fit_settings(settings, prepared=data.settings)
    _join(ranks, settings.training)
    refuse_foreign(model_dir)
    if not ranks.is_first:
        observer = Silence()
    _tell_of(settings, changes, observer)
    return _Run(data, model_dir, settings, observer, Event(), ranks, perf_counter()).rehearse(seconds)


def epochs_within(
    data: PreparedData | PreparedText, model_dir: Path, settings: Settings, *, ranks: Ranks = _ALONE
) -> float:
    """Time some updates of a run that would begin, as all processes do; return how many epochs its `training.time` has
    room for."""
    seconds = seconds_of(settings.training.time)
    epoch = change_settings(settings, "training", {"time": "", "max_steps": 0, "max_epochs": 1})
    found = rehearse(data, model_dir, epoch, observer=Silence(), ranks=ranks, seconds=min(_COMPARED, seconds / 60))
    assert found, "a run that would begin is not over"
    plan, forecast = found
    (epochs,) = ranks.from_first((seconds / (plan.steps * forecast.seconds_per_step),))
    return epochs


def _join(ranks: Ranks, training: TrainingSettings) -> None:
    if training.placement and ranks.size > 1:
        raise ConfigError(
            f"training.placement spreads the model of one process over devices, but {ranks.size} processes train: "
            "leave it unset, or start one"
        )
    ranks.join(choose_device(training.device, index=ranks.local_rank))


def _tell_of(settings: Settings, changes: Sequence[str], observer: Observer) -> None:
    for warning in warnings_of_idle(settings, "model", "training", "search"):
        observer.on_message(f"warning: {warning}")
    for change in changes:
        observer.on_message(change)


@dataclass
class _Run:
    """What the parts of a run are made from."""

    data: PreparedData | PreparedText
    model_dir: Path
    settings: Settings
    observer: Observer
    stop: StopRequest
    ranks: Ranks
    begun: float

    def __post_init__(self) -> None:
        training = self.settings.training
        self.device = choose_device(training.device, index=self.ranks.local_rank)
        self.precision = choose_training_precision(training.precision, self.device)
        prepare_for_training(self.device, self.precision)
        place = Place(self.device, self.precision, self.ranks)
        checkpoints = list_checkpoints(self.model_dir)
        if self.device.type == "cuda" and isinstance(self.data, PreparedData):
            begun, told = bool(checkpoints), self.observer.on_message
            self.settings = suited_to_gpu(
                self.settings, pieces=self.data.pieces, begun=begun, ranks=self.ranks, on_message=told
            )
        self.task = (
            TranslationTask(self.data, self.settings, place)
            if isinstance(self.data, PreparedData)
            else LanguageTask(self.data, self.settings, place)
        )
        tokenizers = self.task.tokenizers
        sizes = Vocabularies.of(tokenizers)
        if checkpoints:  # whoever made the folder chose its settings
            largest = max(checkpoints, key=lambda path: path.stat().st_size if path.is_file() else 0)
            refuse_more_than_is_there(largest, self.settings, sizes)
        else:
            self.task.begin(self.observer.on_message)
        self.model = self.task.model
        self.optimizer = make_optimizer(training, self.model.parameters())
        self.average = MovingAverage(self.model, decay=training.ema_decay) if training.ema_decay else None
        self.scale = LossScale(self.device) if self.precision == "fp16" else None
        self.checkpoints = Checkpoints(
            self.model_dir,
            self.model,
            self.optimizer,
            average=self.average,
            keep=training.keep_checkpoints,
            carry=self.task.carry,
            scale=self.scale,
        )
        files = tokenizers.files
        self.folder = ModelFolder(self.model_dir, settings=self.settings, vocabularies=sizes, tokenizers=files)
        self.parameters = count_parameters(self.model)
        self.pace = Pace(training.validate_every, training.checkpoint_every)

    def go(self) -> TrainingSummary:
        """Begin or continue, and train."""
        if self.ranks.is_first:
            self.checkpoints.clean_up()
        state = self._begin_or_continue()
        before, schedule = state.horizon, self._schedule(state)
        if over := self._is_over(state, schedule):
            self.observer.on_message(over)
            return TrainingSummary(True, state, self.parameters, self.task.feed.padding)
        self._choose_parts(state, steps=schedule.total_steps - state.step)
        if self.ranks.is_first:
            self.folder.create()
        for line in self._plan(state, schedule).describe():
            self.observer.on_message(line)
        self._warn(state, schedule)
        training = self.settings.training
        step, curves = state.step, training.tensorboard
        records = Records(self.model_dir, step=step, tensorboard=curves) if self.ranks.is_first else None
        with records or nullcontext():
            trainer = self._trainer(state, schedule, records)
            if step == 0 or (training.time and state.horizon != before):  # from here on the run can be continued
                trainer.save()
            finished = trainer.run()
        return TrainingSummary(finished, state, self.parameters, self.task.feed.padding)

    def rehearse(self, seconds: float) -> tuple[RunPlan, Forecast] | None:
        """Find out what `go` would do, and how long that would take."""
        state = self._begin_or_continue()
        before, schedule = state.horizon, self._schedule(state)
        if over := self._is_over(state, schedule):
            self.observer.on_message(over)
            return None
        self._choose_parts(state, steps=schedule.total_steps - state.step)
        plan = self._plan(state, schedule)
        self._warn(state, schedule)
        if not self.settings.training.time or state.horizon == before:  # else it has been measured just now
            self._measure(state, seconds)
        return plan, Forecast.of(self.pace, step=plan.step, steps=plan.steps, parameters=self.parameters)

    def _plan(self, state: TrainingState, schedule: Schedule) -> RunPlan:
        step, steps, training = state.step, schedule.total_steps, self.settings.training
        return RunPlan(
            parameters=self.parameters,
            data=self.task.describe(state.position),
            place=f"{self.device.type} {self.precision}, {self._threads(state)}",
            model_dir=self.model_dir,
            target_pieces=self.task.pieces,
            step=step,
            steps=steps,
            epochs=(steps - step) / self._steps_of_epoch(state),
            validations=times(step, steps, training.validate_every),
            checkpoints=times(step, steps, training.checkpoint_every),
        )

    def _threads(self, state: TrainingState) -> str:
        if self.ranks.size > 1:
            return f"1 thread, {self.ranks.size} processes"
        parts = self._parts(state)
        if parts == 1:
            return "1 thread"
        share = {2: "half", 3: "a third", 4: "a quarter"}.get(parts, f"1/{parts}")
        return f"{parts} threads on {counted(usable_cores(), 'core')}, each computes {share} of every update"

    def _parts(self, state: TrainingState) -> int:
        """Return into how many parts each update is cut, for as many threads."""
        return 1 if self.device.type != "cpu" or self.ranks.size > 1 else state.parts

    def _choose_parts(self, state: TrainingState, *, steps: float) -> None:
        """Choose that number for a run with so many steps to go; once "auto" has chosen it, the run keeps it."""
        training = self.settings.training
        if training.threads != "auto":
            state.parts = training.threads
            return
        if state.parts or self.device.type != "cpu" or self.ranks.size > 1:
            return
        state.parts = most = most_threads(tokens=self.task.batch_tokens * training.accumulate)
        if most == 1 or steps < _LONG:
            return
        speeds = [self._measure(replace(state, parts=parts), _COMPARED) for parts in (1, most)]
        state.parts = most if speeds[1] > _GAIN * speeds[0] else 1
        self.observer.on_message(
            f"in {counted(most, 'thread')} {speeds[1]:,.0f} pieces/s, in one {speeds[0]:,.0f}: using {state.parts}"
        )

    def _steps_of_epoch(self, state: TrainingState) -> int:
        epoch = state.position.epoch
        return self.task.feed.steps_left(Position(epoch), max_epochs=epoch + 1)

    def _warn(self, state: TrainingState, schedule: Schedule) -> None:
        """Tell of settings that do not suit the run."""
        training, processes, epoch = self.settings.training, self.ranks.size, self._steps_of_epoch(state)
        tokens = self.task.batch_tokens // processes if self.device.type == "cuda" else None
        for line in misfits(training, schedule, epoch=epoch, processes=processes, gpu_tokens=tokens):
            self.observer.on_message(line)

    def _measure(self, state: TrainingState, seconds: float) -> float:
        """Time updates for so long, and undo them; return how many target pieces they had a second."""
        training = self.settings.training
        schedule = Schedule("constant", training.learning_rate, training.warmup_steps, 1)
        with self.checkpoints.undone():
            return self._trainer(replace(state), schedule, None).rehearse(seconds)

    def _begin_or_continue(self) -> TrainingState:
        state = self.checkpoints.load_newest(on_damage=self.observer.on_message)
        step = -1 if state is None else state.step
        (first,) = self.ranks.from_first((step,))  # nor does anybody write before all have read
        if first != step:
            raise ModelError(f"{self.model_dir} holds step {step} here, but step {first:.0f} for the first process")
        digest = self.data.manifest.files[TRAIN].sha256
        if state is None:
            parent = self.settings.training.parent
            return TrainingState(data=digest, parents=lineage(parent) if parent else ())
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
            limit = "time" if training.time else "max_steps" if training.max_steps else "max_epochs"
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
            every = max(1, round(self._steps_of_epoch(state) / 10))
        self.pace.made_of = self._steps_of_epoch(state)
        self.pace.validation_steps = self.task.pieces_of_validation * self.pace.made_of / self.task.pieces
        return Trainer(
            model=self.model,
            updater=Updater(
                loss=self.ranks.wrap(self.task.make_loss(), self.device),
                optimizer=self.optimizer,
                device=self.model.device,
                precision=self.precision,
                clip_norm=training.clip_norm or math.inf,
                clip_value=training.clip_value or math.inf,
                average=self.average,
                ranks=self.ranks,
                on_message=self.observer.on_message,
                scale=self.scale,
                carry=self.task.carry,
                parts=self._parts(state),
            ),
            feed=self.task.feed,
            schedule=schedule,
            settings=training,
            log_every=int(every),
            state=state,
            checkpoints=self.checkpoints,
            validate=self.task.validate,
            model_writer=self._model_writer,
            pace=self.pace,
            records=records,
            observer=self.observer,
            stop=self.stop,
            ranks=self.ranks,
        )

    def _model_writer(self, state: TrainingState, told: Mapping[str, object]) -> Callable[[], None]:
        counts = {"target_words": state.tokens, "seconds": round(state.seconds, 1), "parameters": self.parameters}
        parents = {"parents": state.parents} if state.parents else {}
        return self.folder.writer(self.model, {"step": state.step, **told, **counts, **parents})

    def _schedule(self, state: TrainingState) -> Schedule:
        training, seconds = self.settings.training, seconds_of(self.settings.training.time)
        limits = (0, 0) if seconds else (training.max_steps, training.max_epochs)
        wanted = Horizon(*limits, self.task.batch_tokens, training.accumulate, seconds=seconds)
        if state.horizon is None or replace(state.horizon, steps=0) != wanted:
            if seconds:
                steps = self._steps_within(state, seconds)
            else:
                left = self.task.feed.steps_left(state.position, max_epochs=training.max_epochs)
                steps = training.max_steps or state.step + left
            state.horizon = replace(wanted, steps=steps)
        steps, warmup = state.horizon.steps, training.warmup_steps
        warmup = min(warmup, steps // 10) if seconds or training.parent else warmup
        by_epoch = training.decay_after_epochs, training.decay_factor
        by_step = training.decay_after_steps, training.decay_every_steps
        return Schedule(training.schedule, training.learning_rate, warmup, steps, *by_epoch, *by_step)

    def _steps_within(self, state: TrainingState, seconds: int) -> int:
        """Measure how many steps the run has if it is to take so long in all."""
        self._choose_parts(state, steps=math.inf)
        time = self.settings.training.time
        self.observer.on_message(f"timing some steps, to see how many fit into {time}")
        self._measure(state, min(_MEASURED, seconds / 15))
        left = seconds - state.seconds - (perf_counter() - self.begun)
        (steps,) = self.ranks.from_first((float(self.pace.steps_within(left, first=state.step)),))
        if steps > state.step:
            self.observer.on_message(self.pace.describe_fit(int(steps), first=state.step, time=time, left=left))
        return int(steps)
