"""One update: the objective, gradients of one or several batches, clipped, a step, and the average of the weights."""

import inspect
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from itertools import chain
from typing import Final, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Optimizer

from nmt.batching import TrainingBatch
from nmt.config import TrainingSettings
from nmt.errors import TrainingError, is_out_of_memory
from nmt.models.devices import Precision, autocast
from nmt.models.kernels import move_towards, without_autocast
from nmt.training.distributed import Place, Ranks
from nmt.training.feeding import UpdateData
from nmt.training.loss_scale import LossScale
from nmt.training.state import Carry
from nmt.training.threads import Threads

ScheduleKind = Literal["constant", "inverse_sqrt", "cosine", "plateau", "epoch_decay", "step_decay"]

_DIVIDING: Final = "cuda"
"""Where the fused optimisers divide gradients by `grad_scale` while they read them, in the pass that is made anyway."""
_CLIP_EPSILON: Final = 1e-6
"""What torch adds to a norm before it divides by it."""


@dataclass(frozen=True)
class Schedule:
    """The learning rate as a pure function of the step, the plateaus and the epoch."""

    kind: ScheduleKind
    peak: float
    warmup_steps: int
    total_steps: int
    decay_after_epochs: int = 0
    decay_factor: float = 1.0
    decay_after_steps: int = 0
    decay_every_steps: int = 1

    def rate(self, step: int, *, halvings: int = 0, epoch: int = 0) -> float:
        """Return the rate of update number `step`, counted from 1, after `halvings` plateaus and `epoch` epochs."""
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
        if self.kind == "step_decay":  # Wu et al., 2016, sec. 8.3
            times = 1 + (step - 1 - self.decay_after_steps) // self.decay_every_steps
            return self.peak * self.decay_factor ** max(0, times)
        return self.peak * 0.5**halvings


class Objective(Protocol):
    """Something that turns features into a loss."""

    @property
    def passes(self) -> int:
        """How often each pair is read, each time with dropout of its own, but for that of weights."""
        ...

    def __call__(self, passes: Sequence[Tensor], gold: Tensor, output: nn.Linear) -> Tensor:
        """Sum the loss over N pieces: features of each pass [N, F], gold ids [N], the output layer [V, F]."""
        ...


def make_objective(settings: TrainingSettings, counts: NDArray[np.int64]) -> Objective:
    """Make the objective that the settings ask for; `counts` are those of the target pieces, [V]."""
    name = "r_drop" if settings.r_drop else settings.objective
    module = import_module(f"nmt.training.objectives.{name}")
    objective: Objective = getattr(module, name)(settings, counts)
    return objective


def make_optimizer(settings: TrainingSettings, parameters: Iterable[nn.Parameter]) -> Optimizer:
    """Make the update rule, in the library's fused form."""
    spare_compiler()
    rate = settings.learning_rate
    if settings.optimizer == "sgd":
        return torch.optim.SGD(
            parameters, lr=rate, momentum=settings.momentum, weight_decay=settings.weight_decay, fused=True
        )
    kind = torch.optim.AdamW if settings.optimizer == "adamw" else torch.optim.Adam
    return kind(parameters, lr=rate, betas=settings.betas, weight_decay=settings.weight_decay, fused=True)


def spare_compiler() -> None:
    """Let optimisers be made without torch's compiler, which takes nearly as long to load as torch itself.

    It would be loaded to exempt these methods from compiling; torch keeps what is then called in this attribute.
    """
    for method in (Optimizer.add_param_group, Optimizer.zero_grad):
        plain = inspect.unwrap(method)
        setattr(plain, "__dynamo_disable", plain)


@torch.no_grad()
def step(optimizer: Optimizer, *closure: Callable[[], Tensor]) -> None:
    """Do what `optimizer.step(*closure)` does, past the wrapper that loads torch's compiler for it."""
    inspect.unwrap(type(optimizer).step)(optimizer, *closure)


class MovingAverage:
    """An exponential moving average of the weights (Polyak & Juditsky, 1992; Morishita et al., 2017, sec. 3.2).

    Validation and the saved model use it in their place. The decay is min(`decay`, (1 + n) / (10 + n)) after n updates,
    so that the start is soon forgotten.
    """

    def __init__(self, model: nn.Module, *, decay: float) -> None:
        self.decay = decay
        self._averages = {parameter: parameter.detach().clone() for parameter in model.parameters()}

    def of(self, parameter: nn.Parameter) -> Tensor:
        """Return the average of a weight; it is the stored tensor, not a copy."""
        return self._averages[parameter]

    @torch.no_grad()
    def update(self, *, step: int) -> None:
        """Move towards the weights after update number `step`, counted from 1."""
        decay = min(self.decay, (1 + step) / (10 + step))
        move_towards(list(self._averages.values()), list(self._averages), 1 - decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Let the model have the average as its weights for a while."""
        weights = {parameter: parameter.detach().clone() for parameter in self._averages}
        _copy(self._averages)
        try:
            yield
        finally:
            _copy(weights)


@torch.no_grad()
def _copy(values: dict[nn.Parameter, Tensor]) -> None:
    for parameter, value in values.items():  # into the storage they have: fused layers keep theirs in one piece
        parameter.copy_(value)


@dataclass
class Updater:
    """Makes updates. What it is given is all it changes, but for the size of batch that it has learnt to avoid."""

    loss: nn.Module
    """Batches in, their summed loss out; wrapped where several processes train."""
    optimizer: Optimizer
    device: torch.device
    precision: Precision
    clip_norm: float
    """Largest global norm of the gradient, or infinity."""
    clip_value: float
    """Largest absolute value of an entry of the gradient, once its norm is clipped, or infinity."""
    average: MovingAverage | None
    ranks: Ranks
    on_message: Callable[[str], None]
    scale: LossScale | None = None
    """Of the loss, in fp16."""
    carry: Carry | None = None
    """What a language model remembers of the segment before."""
    parts: int = 1
    """Into how many each batch is cut, for as many threads; they suit neither a GPU nor several processes."""
    _largest: float = field(default=math.inf, init=False)
    """Cells of the largest batch that is tried; less once memory has run out."""

    def __post_init__(self) -> None:
        place = Place(self.device, self.precision, self.ranks)
        self._threads = Threads(self.loss, self.parts, place=place, shared=[self.carry])

    def update(self, data: UpdateData, *, step: int, seed: int, rate: float) -> tuple[Tensor, Tensor]:
        """Make update number `step`, counted from 1; `seed` is that of its dropout and samples.

        Returns:
            The summed loss of this process's pieces, and the norm of the gradient before clipping: scalars on the
            device, so that nobody has to wait for them.

        Raises:
            TrainingError: Memory runs out and cannot be spared, or another process has ended.
        """
        with self.ranks.together():
            loss = self._gradients(data, (seed * self.ranks.size + self.ranks.rank) % 2**63)
        try:
            norm = self._step(rate)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            raise TrainingError(
                "out of memory in a step of the optimiser: the model is too large for this device; train a smaller "
                'one in a new folder, or with training.optimizer = "sgd"'
            ) from error
        if self.average is not None:
            self.average.update(step=step)
        return loss, norm

    def _step(self, rate: float) -> Tensor:
        parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        if self.scale is not None:
            self.scale.unscale(self.optimizer)
        norm = self._clip(parameters)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        if self.scale is not None:
            norm = self.scale.step(self.optimizer, norm)
        else:
            step(self.optimizer)
        self.optimizer.zero_grad()
        return norm

    def _clip(self, parameters: Sequence[nn.Parameter]) -> Tensor:
        """Clip the gradient, or let the optimiser do so; return its norm before."""
        norm = torch.nn.utils.get_total_norm([weight.grad for weight in parameters if weight.grad is not None])
        if self.clip_norm < math.inf:  # else nothing is multiplied by one
            if self.clip_value == math.inf and all(weight.device.type == _DIVIDING for weight in parameters):
                divisor = ((norm + _CLIP_EPSILON) / self.clip_norm).clamp(min=1.0)
                self.optimizer.grad_scale = divisor  # type: ignore[attr-defined]
            else:
                torch.nn.utils.clip_grads_with_norm_(parameters, self.clip_norm, norm)
        if self.clip_value < math.inf:
            torch.nn.utils.clip_grad_value_(parameters, self.clip_value)
        return norm

    def _gradients(self, data: UpdateData, seed: int) -> Tensor:
        """Compute the gradient of the mean loss; return the summed loss."""
        remembered = None if self.carry is None else self.carry.state
        while True:
            self._threads.seed(seed)
            if self.carry is not None:  # a try that failed half way has read on
                self.carry.state = remembered
            shares = [[part for batch in self._share(data, i) for part in self._cut(batch)] for i in range(self.parts)]
            try:
                losses = self._threads.each(partial(self._accumulate, pieces=data.pieces), shares)
                self._threads.add_gradients()
                return torch.stack(losses).sum()
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                largest = max(chain(*shares), key=lambda part: (len(part) > 1, part.cells))
                if self.ranks.size > 1 or len(largest) == 1:
                    raise TrainingError(self._out_of_memory(largest)) from None
                self._largest = largest.cells / 2
            # outside of the except block, whose traceback would keep the tensors alive
            self.optimizer.zero_grad()
            self._threads.forget_gradients()
            torch.cuda.empty_cache()
            self.on_message(
                f"out of memory with {largest.describe()}; from now on such a batch is computed in parts, and the "
                "update stays the same"
            )

    def _share(self, data: UpdateData, number: int) -> Sequence[TrainingBatch]:
        """Return what one of the threads computes: whole batches, where there are as many for all of them."""
        batches, parts = data.batches, self.parts
        if parts == 1 or (self.carry is None and len(batches) % parts == 0):
            return batches[number::parts]
        return [part for batch in batches if len(part := batch.part(number, parts))]

    def _accumulate(self, loss: nn.Module, parts: Sequence[TrainingBatch], *, pieces: int) -> Tensor:
        total = torch.zeros((), device=self.device)
        for i, part in enumerate(parts):
            is_last = i == len(parts) - 1
            with nullcontext() if is_last else self.ranks.unsynchronised(loss):
                with autocast(self.device, self.precision):
                    part_loss = loss(part.to(self.device))
                mean = part_loss * (self.ranks.size / pieces)  # processes take the mean of their gradients
                if self.scale is not None:
                    mean = self.scale.of(mean)
                with without_autocast(mean):  # threads never leave it, and it would narrow gradients of wide products
                    mean.backward()
            total += part_loss.detach()
        return total

    def _cut(self, batch: TrainingBatch) -> list[TrainingBatch]:
        if batch.cells <= self._largest or len(batch) == 1:
            return [batch]
        return [part for half in batch.halves() for part in self._cut(half)]

    def _out_of_memory(self, batch: TrainingBatch) -> str:
        shortage = f"out of memory with {batch.describe()}"
        if self.ranks.size > 1:
            advice = f"lower {batch.size_setting} and raise training.accumulate"
            return f"{shortage} in one of {self.ranks.size} processes; {advice}"
        advice = f"train a smaller one in a new folder, or {batch.shorter_advice}"
        return f"{shortage}: the model is too large for this device; {advice}"
