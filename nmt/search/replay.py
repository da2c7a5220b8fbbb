"""Steps of a search that are recorded for each shape of a batch, and replayed.

A step is some hundred small kernels; on a GPU it takes longer to start them one by one than to run them. A CUDA graph
starts all of them at once, but on the memory on which it was recorded: so what steps begin from is copied into tensors
that stay, and what they make of it is left there.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

import torch
from torch import nn

from nmt.models.recording import CudaGraphs, Recorder
from nmt.models.tensors import tensors_of, with_tensors

_RECORDINGS: Final = 32
"""Shapes that are remembered, each with the memory of its tensors; the one that was not met for longest goes first."""

_MET_BEFORE: Final = 2
"""Times that steps of a shape are made one by one before they are recorded: to record them takes the host about as long
as that, so a search that is soon over is no slower for it (docs/decisions/0029)."""

T = TypeVar("T")


def recorder_for(device: torch.device) -> Recorder | None:
    """Return what records the steps of a search on a device; None: they are made one by one there."""
    return CudaGraphs() if device.type == "cuda" else None


class Replayed(Generic[T]):
    """What `advance` does, recorded where a shape is met again and again.

    `advance` makes, of a value that holds tensors, one that holds as many of the same shapes and types, and it does not
    look into them. What this returns is overwritten by the next call.
    """

    def __init__(self, advance: Callable[[T], T], record: Recorder) -> None:
        self._advance = advance
        self._record = record
        self._met: OrderedDict[Any, Callable[[T], T] | int] = OrderedDict()
        """What replays the steps of each shape, or how often it was met so far."""

    def __call__(self, value: T) -> T:
        """Advance."""
        shapes = tuple((tensor.shape, tensor.dtype) for tensor in tensors_of(value))
        met = self._met.pop(shapes, 0)
        if not isinstance(met, int):
            value = met(value)
        elif met < _MET_BEFORE:
            value, met = self._advance(value), met + 1
        else:
            value, met = self._recorded(value)
        self._met[shapes] = met
        if len(self._met) > _RECORDINGS:
            self._met.popitem(last=False)
        return value

    def _recorded(self, value: T) -> tuple[T, Callable[[T], T]]:
        """Advance `value` and record how: return what was made of it, and what advances others of the same shapes."""
        # weights are the same at all times
        own = [tensor if isinstance(tensor, nn.Parameter) else tensor.clone() for tensor in tensors_of(value)]
        kept = with_tensors(value, own)

        def work() -> None:
            made = tensors_of(self._advance(kept))
            # all are copied before the first one is written: what was made may be a part of what was there before
            changed = [(old, new.clone()) for old, new in zip(own, made, strict=True) if new is not old]
            for old, new in changed:
                if old.shape != new.shape or old.dtype != new.dtype:
                    raise ValueError(f"a step made {new.dtype} {list(new.shape)} of {old.dtype} {list(old.shape)}")
                old.copy_(new)

        replay = self._record(work)

        def again(other: T) -> T:
            for mine, given in zip(own, tensors_of(other), strict=True):
                if mine is not given:
                    mine.copy_(given)
            replay()
            return with_tensors(other, own)

        return kept, again
