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

from nmt.models.tensors import tensors_of, with_tensors

_RECORDINGS: Final = 32
"""Shapes that are remembered, each with the memory of its tensors; the one that was not met for longest goes first."""

T = TypeVar("T")
Work = Callable[[], None]
Recorder = Callable[[Work], Work]
"""Does work, which reads and writes the same tensors whenever it is done, and returns what does it again."""


class CudaGraphs:
    """Records work on a GPU as CUDA graphs, which share the memory of what exists only while they run."""

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, work: Work) -> Work:
        """Do `work`, which must not wait for the device, and return what does it again."""
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            work()  # recording runs nothing, and libraries set themselves up the first time
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, stream=stream, capture_error_mode="thread_local"):
            work()
        return graph.replay


class Replayed(Generic[T]):
    """What `advance` does, recorded the second time that a shape is met.

    `advance` makes, of a value that holds tensors, one that holds as many of the same shapes and types, and it does not
    look into them. What this returns is overwritten by the next call.
    """

    def __init__(self, advance: Callable[[T], T], record: Recorder) -> None:
        self._advance = advance
        self._record = record
        self._met: OrderedDict[Any, Callable[[T], T] | None] = OrderedDict()
        """What replays the steps of each shape; None for a shape met once."""

    def __call__(self, value: T) -> T:
        """Advance."""
        shapes = tuple((tensor.shape, tensor.dtype) for tensor in tensors_of(value))
        known, again = shapes in self._met, self._met.pop(shapes, None)
        if again:
            value = again(value)
        elif known:
            value, again = self._recorded(value)
        else:
            value = self._advance(value)
        self._met[shapes] = again
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
