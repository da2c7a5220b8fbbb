"""What a run is going to do, and how much time and memory that takes: told before the first step and after a few."""

import math
import resource
import sys
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nmt.config import Settings, TrainingSettings
from nmt.config.choices import GPU_BATCH, batch_for_gpu
from nmt.config.training import seconds_of
from nmt.errors import ConfigError, clock, counted
from nmt.io.limits import container_memory
from nmt.training.distributed import Ranks
from nmt.training.observers import LOG, METRICS
from nmt.training.update import Schedule

_MOST_STEPS: Final = 2**40
_FEWEST_STEPS: Final = 10
"""Of a run of so much time: one of them is the warm-up."""
_SLACK: Final = 1.1
"""Times as long as it took now, loading and all, a run may take the next time."""
_IDLE_TOKENS: Final = 4000
"""Of a batch: with fewer, a GPU waits for the host that launches its kernels."""
_BYTES_OF_A_PARAMETER: Final = 20
"""Beside training: a checkpoint as it is written, 12 bytes, and what validation makes of the weights."""


@dataclass
class Pace:
    """How many seconds the parts of a run take, as far as that is known."""

    validate_every: int
    checkpoint_every: int
    validation_steps: float = 0.0
    """Updates that take as long as a validation: an estimate, for as long as none has been timed."""
    step: float = 0.0
    validation: float | None = None
    checkpoint: float = 0.0
    made: int = 0
    """Updates that this process has made."""
    made_of: int = 1
    """Updates of an epoch."""
    memory: int = 0
    """Bytes of this process after its first updates."""

    def seconds(self, first: int, last: int) -> float:
        """Return the time from after step `first` to the end of a run of `last` steps."""
        validation = self.validation_steps * self.step if self.validation is None else self.validation
        validations, checkpoints = (times(first, last, every) for every in (self.validate_every, self.checkpoint_every))
        return (last - first) * self.step + validations * validation + checkpoints * self.checkpoint

    def steps_within(self, seconds: float, *, first: int) -> int:
        """Return the last step of a run that goes on after step `first` for so long; a run has one at least."""
        last = range(first, first + _MOST_STEPS)
        fitting = bisect_right(last, seconds, key=lambda step: self.seconds(first, step))
        return max(1, last[max(0, fitting - 1)])

    def describe_fit(self, steps: int, *, first: int, time: str, left: float) -> str:
        """Say how many fit into the seconds left of a time; of a run that begins, too few are a ConfigError."""
        if not first and steps < _FEWEST_STEPS:
            whole = seconds_of(time) - left + self.seconds(0, _FEWEST_STEPS)
            raise ConfigError(
                f"training.time = {time} is too short: a run has {_FEWEST_STEPS} steps at least, and one takes "
                f"{self.step:.3g} s beside loading and validation; give it {math.ceil(_SLACK * whole)}s or more"
            )
        fit = f"{counted(steps, 'step')} of {self.step:.3g} s fit"
        return f"{fit}; the run keeps that number, also where it is continued"


def times(first: int, last: int, every: int) -> int:
    """Count the steps after `first` that are multiples of `every`, or the `last` one."""
    return last // every - first // every + (last % every > 0) if last > first else 0


@dataclass(frozen=True)
class Forecast:
    """How much time and memory the rest of a run takes, as far as that is known."""

    steps_left: int
    seconds: float
    seconds_per_step: float
    seconds_per_validation: float | None
    """None: no validation has been timed, and `seconds` has an estimate."""
    memory_now: int
    """Bytes of this process."""
    memory_most: int
    """The most so far, or what will be needed, whichever is more."""
    memory_free: int | None
    """What the machine has left, or the container where that is less; None: nobody knows."""

    @classmethod
    def of(cls, pace: Pace, *, step: int, steps: int, parameters: int) -> "Forecast":
        """Look ahead from a step of a run, which trains a model of so many parameters.

        Libraries keep something for every size of batch: that grows about as the root of the number of updates until
        the first epoch is over (measured in `nmt demo`: 0.37 GB after the first, 0.83 after 100, 1.08 after 250).
        """
        now, free, most = resident_bytes(), None, _peak_bytes()
        with suppress(OSError):  # only Linux tells
            lines = Path("/proc/meminfo").read_text().splitlines()
            free = next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")), None)
        if (limit := container_memory()) is not None:
            free = limit - now if free is None else min(free, limit - now)
        grown = max(0, now - pace.memory) if pace.memory else 0
        further = math.sqrt(max(1.0, min(pace.made_of, steps - step + pace.made) / max(1, pace.made))) - 1
        most = max(most, now + round(grown * further) + _BYTES_OF_A_PARAMETER * parameters)
        return cls(steps - step, pace.seconds(step, steps), pace.step, pace.validation, now, most, free)

    def describe(self) -> str:
        """Say it in a line."""
        known = self.seconds_per_validation
        validation = "validations estimated" if known is None else f"{known:.3g} s a validation"
        return (
            f"{counted(self.steps_left, 'step')} to go, about {clock(self.seconds)} ({self.seconds_per_step:.3g} s a "
            f"step, {validation}); memory {_size(self.memory_now)} now, about {_size(self.memory_most)} at most"
        )

    def warnings(self, size_setting: str) -> list[str]:
        """Say that the memory will not do, if so; `size_setting` is the one that says how large a batch is."""
        if self.memory_free is None or self.memory_most - self.memory_now <= self.memory_free:
            return []
        return [
            f"the run may need {_size(self.memory_most)} of memory, but has {_size(self.memory_now)}, and this machine "
            f"or its container only {_size(max(0, self.memory_free))} more; lower {size_setting}, or train a smaller "
            "model in a new folder"
        ]


@dataclass(frozen=True)
class RunPlan:
    """What a run is going to do from where it stands."""

    parameters: int
    data: str
    """What an epoch consists of."""
    place: str
    """Device, precision and threads."""
    model_dir: Path
    target_pieces: int
    """Of an epoch."""
    step: int
    """Updates made already."""
    steps: int
    """Updates when the run is over."""
    epochs: float
    """To come."""
    validations: int
    """To come."""
    checkpoints: int
    """To come."""

    def describe(self) -> list[str]:
        """Say it in two lines."""
        begin = f"from step {self.step:,} to {self.steps:,}" if self.step else counted(self.steps, "step")
        epochs = f"{self.epochs:.3g} epoch{'' if self.epochs == 1 else 's'}"
        saved = f"{counted(self.validations, 'validation')}, {counted(self.checkpoints, 'checkpoint')}"
        return [
            f"{self.parameters:,} parameters, {self.data}, {self.place}",
            f"{begin}, {epochs}, {saved}; the best model, checkpoints/, {LOG} and {METRICS} go to {self.model_dir}",
        ]


def suited_to_gpu(
    settings: Settings, *, pieces: int, begun: bool, ranks: Ranks, on_message: Callable[[str], None]
) -> Settings:
    """Choose the size of a batch for a new run on a GPU whose epochs have so many target pieces, unless it is set; of
    several processes, the first one tells whether the run has `begun` before."""
    training, (tokens, why) = settings.training, batch_for_gpu(pieces)
    (told,) = ranks.from_first((float(begun),))
    if told or "batch_tokens" in training.model_fields_set or tokens <= training.batch_tokens:
        return settings
    on_message(f"training.batch_tokens is not set: {tokens:,} on a GPU, {why}")
    changed = training.model_copy(update={"batch_tokens": tokens})
    return settings.model_copy(update={"training": changed})


def misfits(
    training: TrainingSettings, schedule: Schedule, *, epoch: int, processes: int, gpu_tokens: int | None
) -> Iterator[str]:
    """Tell of settings that do not suit the length of the run, or where it runs, and of what cannot be had there; an
    `epoch` has so many steps, and each GPU gets `gpu_tokens` of a batch."""
    steps = schedule.total_steps
    yield from _misfits_of_rate(training, schedule, epoch)
    if processes > 1 and training.threads not in ("auto", 1):
        yield (
            f"warning: training.threads = {training.threads} has no effect on several processes, which compute "
            "their parts of a batch in one thread each; start more processes instead"
        )
    if steps < training.validate_every and not training.time:
        yield (
            f"warning: the run has {counted(steps, 'step')}, fewer than training.validate_every = "
            f"{training.validate_every:,}: it validates only once, at its end; lower training.validate_every"
        )
    if gpu_tokens is not None and gpu_tokens < _IDLE_TOKENS:
        yield (
            f"a GPU that gets {gpu_tokens:,} pieces at a time waits for most of a step: where the data are large, "
            f"batches of {_IDLE_TOKENS:,} to {GPU_BATCH:,} and a higher training.learning_rate train faster"
        )
    if gpu_tokens is not None:
        yield "a continued run ends like an unbroken one, on a GPU as far as its libraries repeat their last bits"


def _misfits_of_rate(training: TrainingSettings, schedule: Schedule, epoch: int) -> Iterator[str]:
    """Tell of a warm-up and of decays that do not suit the length of the run, or each other."""
    steps = schedule.total_steps
    if steps < schedule.warmup_steps:
        yield (
            f"warning: the run has {counted(steps, 'step')}, fewer than training.warmup_steps = "
            f"{schedule.warmup_steps:,}: the learning rate ends at {schedule.rate(steps):.3g} on its way to "
            f"{schedule.peak:g}; lower training.warmup_steps, or train longer"
        )
    if schedule.warmup_steps < training.warmup_steps:
        rises = f"rises for {counted(schedule.warmup_steps, 'step')}"
        how = rises if schedule.warmup_steps else "is at its peak from the first step on"
        yield (
            f"the learning rate {how}: training.warmup_steps = {training.warmup_steps:,} is more than a tenth of the "
            f"run ({training.time or counted(steps, 'step')})"
        )
    if schedule.kind == "step_decay" and steps <= schedule.decay_after_steps:
        yield (
            f"warning: the run has {counted(steps, 'step')}, no more than training.decay_after_steps = "
            f"{schedule.decay_after_steps:,}: the learning rate never falls; lower training.decay_after_steps"
        )
    yield from _decay_in_warmup(schedule, epoch)


def _decay_in_warmup(schedule: Schedule, epoch: int) -> Iterator[str]:
    """Tell of a rate that falls before it has risen."""
    if schedule.kind == "step_decay":
        setting, after, first = "decay_after_steps", f"{schedule.decay_after_steps:,}", schedule.decay_after_steps
    elif schedule.kind == "epoch_decay":
        setting, first = "decay_after_epochs", schedule.decay_after_epochs * epoch
        after = f"{schedule.decay_after_epochs:,}, {counted(first, 'step')},"
    else:
        return
    last = schedule.warmup_steps
    if first < last < schedule.total_steps:
        top, next_one = schedule.rate(last), schedule.rate(last + 1, epoch=last // epoch)
        yield (
            f"warning: training.{setting} = {after} lies within the warm-up of {last:,} steps: the learning rate ends "
            f"it at {top:.3g} and goes on at {next_one:.3g}; raise training.{setting}, which counts the warm-up too"
        )


def resident_bytes() -> int:
    """Return the memory of this process; where nobody tells, the most that it has had."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except OSError:  # only Linux tells
        return _peak_bytes()


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _size(number: int) -> str:
    return f"{number / 1e9:.2f} GB"
