"""One update: gradients of one or several batches, clipped, and a step of the optimiser."""

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from nmt.batching import TrainingBatch
from nmt.errors import TrainingError
from nmt.memory import is_out_of_memory
from nmt.models.devices import Precision, autocast
from nmt.training.carry import Carry
from nmt.training.distributed import Ranks
from nmt.training.feeding import UpdateData
from nmt.training.moving_average import MovingAverage
from nmt.training.optim import step


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
    carry: Carry | None = None
    """What a language model remembers of the segment before."""
    _largest: float = field(default=math.inf, init=False)
    """Cells of the largest batch that is tried; less once memory has run out."""

    def update(self, data: UpdateData, *, step: int, seed: int, rate: float) -> tuple[Tensor, Tensor]:
        """Make update number `step`, counted from 1.

        Args:
            data: Its batches.
            step: Its number.
            seed: Seed of its dropout and samples.
            rate: Its learning rate.

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
        norm = torch.nn.utils.clip_grad_norm_(parameters, self.clip_norm)
        if self.clip_value < math.inf:
            torch.nn.utils.clip_grad_value_(parameters, self.clip_value)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        step(self.optimizer)
        self.optimizer.zero_grad()
        return norm

    def _gradients(self, data: UpdateData, seed: int) -> Tensor:
        """Compute the gradient of the mean loss; return the summed loss."""
        remembered = None if self.carry is None else self.carry.state
        while True:
            torch.manual_seed(seed)
            if self.carry is not None:  # a try that failed half way has read on
                self.carry.state = remembered
            parts = [part for batch in data.batches for part in self._cut(batch)]
            try:
                return self._accumulate(parts, data.pieces)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                largest = max(parts, key=lambda part: (len(part) > 1, part.cells))
                if self.ranks.size > 1 or len(largest) == 1:
                    raise TrainingError(self._out_of_memory(largest)) from None
                self._largest = largest.cells / 2
            # outside of the except block, whose traceback would keep the tensors alive
            self.optimizer.zero_grad()
            torch.cuda.empty_cache()
            self.on_message(
                f"out of memory with {largest.describe()}; from now on such a batch is computed in parts, and the "
                "update stays the same"
            )

    def _accumulate(self, parts: Sequence[TrainingBatch], pieces: int) -> Tensor:
        total = torch.zeros((), device=self.device)
        for i, part in enumerate(parts):
            is_last = i == len(parts) - 1
            with nullcontext() if is_last else self.ranks.unsynchronised(self.loss):
                with autocast(self.device, self.precision):
                    loss = self.loss(part.to(self.device))
                mean = loss * (self.ranks.size / pieces)  # processes take the mean of their gradients
                mean.backward()
            total += loss.detach()
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
