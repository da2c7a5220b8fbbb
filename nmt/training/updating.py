"""One update: gradients of one or several batches, clipped, and a step of the optimiser."""

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from nmt.errors import TrainingError
from nmt.memory import is_out_of_memory
from nmt.models.devices import Precision, autocast
from nmt.training.carry import Carry
from nmt.training.distributed import Ranks
from nmt.training.feeding import Piece, UpdateData
from nmt.training.moving_average import MovingAverage
from nmt.training.optim import step
from nmt.training.stream import Segment
from nmt.wording import counted


@dataclass
class Updater:
    """Makes updates. What it is given is all it changes, but for the size of batch that it has learnt to avoid."""

    loss: nn.Module
    """Batches in, their summed loss out, or segments in and out with a state; wrapped where several processes train."""
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
            The summed loss of this process's words, and the norm of the gradient before clipping: scalars on the
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
            pieces = [piece for batch in data.batches for piece in self._cut(batch)]
            try:
                return self._accumulate(pieces, data.words)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                largest = max(pieces, key=lambda piece: (len(piece) > 1, _cells(piece)))
                if self.ranks.size > 1 or len(largest) == 1:
                    raise TrainingError(self._out_of_memory(largest)) from None
                self._largest = _cells(largest) / 2
            # outside of the except block, whose traceback would keep the tensors alive
            self.optimizer.zero_grad()
            torch.cuda.empty_cache()
            self.on_message(
                f"{_shortage(largest)}; from now on such a batch is computed in parts, and the update stays the same"
            )

    def _accumulate(self, pieces: Sequence[Piece], words: int) -> Tensor:
        total = torch.zeros((), device=self.device)
        for i, piece in enumerate(pieces):
            is_last = i == len(pieces) - 1
            with nullcontext() if is_last else self.ranks.unsynchronised(self.loss):
                with autocast(self.device, self.precision):
                    loss = self._loss_of(piece.to(self.device))
                mean = loss * (self.ranks.size / words)  # processes take the mean of their gradients
                mean.backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        return total

    def _loss_of(self, piece: Piece) -> Tensor:
        if not isinstance(piece, Segment) or self.carry is None:
            loss: Tensor = self.loss(piece)
            return loss
        loss, state = self.loss(piece, self.carry.before(piece))
        self.carry.after(piece, state)
        return loss

    def _cut(self, batch: Piece) -> list[Piece]:
        if _cells(batch) <= self._largest or len(batch) == 1:
            return [batch]
        return [piece for half in batch.halves() for piece in self._cut(half)]

    def _out_of_memory(self, batch: Piece) -> str:
        is_text = isinstance(batch, Segment)
        if self.ranks.size > 1:
            size = "training.segment_steps" if is_text else "training.batch_tokens"
            advice = f"lower {size} and raise training.accumulate"
            return f"{_shortage(batch)} in one of {self.ranks.size} processes; {advice}"
        shorter = "lower training.segment_steps" if is_text else "prepare the data with a lower data.max_pieces"
        advice = f"train a smaller one in a new folder, or {shorter}"
        return f"{_shortage(batch)}: the model is too large for this device; {advice}"


def _shortage(batch: Piece) -> str:
    if isinstance(batch, Segment):
        rows = "one text" if len(batch) == 1 else f"{len(batch)} texts"
        return f"out of memory with {counted(batch.outputs.shape[1], 'piece')} of {rows}"
    pairs = "one pair" if len(batch) == 1 else f"{len(batch)} pairs"
    src, tgt = batch.src.ids.shape[1], batch.tgt.outputs.shape[1]
    return f"out of memory with {pairs} of up to {src} source and {tgt} target pieces"


def _cells(batch: Piece) -> int:
    if isinstance(batch, Segment):
        return batch.outputs.numel()
    return batch.src.ids.numel() + batch.tgt.outputs.numel()
