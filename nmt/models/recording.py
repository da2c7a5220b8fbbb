"""Work of many small kernels that a GPU is given at once: recorded as a CUDA graph, and loops over time that are so."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from typing import Any, Final

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from nmt.errors import is_out_of_memory

Work = Callable[[], None]
Recorder = Callable[[Work], Work]
"""Does work, which reads and writes the same tensors whenever it is done, and returns what does it again."""

_RECORDINGS: Final = 256
"""Shapes that are remembered; the one that was not met for longest goes first."""
_MET_BEFORE: Final = 2
"""Times that a shape is met before it is recorded, which takes longer than to compute it."""
_ALIGNED: Final = 512
"""Bytes at multiples of which tensors begin."""


class CudaGraphs:
    """Records work on a GPU as CUDA graphs, which share a stream to be recorded on and the memory of what exists only
    while they run.

    `torch.cuda.graph` would wait for the device and empty all caches of memory first, those of a training beside too.
    """

    def __init__(self, device: torch.device | None = None) -> None:
        """Record on a `device`; None: on the current one."""
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._pool = torch.cuda.graph_pool_handle()
        self._latest: torch.cuda.CUDAGraph | None = None
        """Kept, as nothing more can be recorded into the memory of graphs that are all gone."""

    def __call__(self, work: Work) -> Work:
        """Do `work`, which must not wait for the device, and return what does it again: itself, where recordings find
        no memory."""
        graph, current = torch.cuda.CUDAGraph(), torch.cuda.current_stream(self._stream.device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            work()  # recording runs nothing, and libraries set themselves up the first time
            is_recorded = self._record(graph, work)
        current.wait_stream(self._stream)
        return graph.replay if is_recorded else work

    def _record(self, graph: torch.cuda.CUDAGraph, work: Work) -> bool:
        """Record work on the current stream; False: torch gives back nothing of what it keeps for other work while it
        records, and the rest of the memory does not suffice."""
        graph.capture_begin(self._pool, capture_error_mode="thread_local")
        self._latest = graph
        try:
            work()
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            return False
        finally:
            graph.capture_end()
        return True


class Recordings:
    """What computations make of tensors, recorded where a shape is met again and again.

    Recorded work has its memory for good, so all shapes have the same: what goes in is copied to it, and what comes
    out is copied from it. None of it is needed longer. Threads have it one after the other.
    """

    def __init__(self, record: Recorder) -> None:
        self._record = record
        self._memory = torch.empty(0, dtype=torch.uint8)
        self._met: OrderedDict[Any, Callable[[Sequence[Tensor]], list[Tensor]] | int] = OrderedDict()
        """What replays each shape, or how often it was met so far."""
        self._lock = threading.RLock()  # a backward pass within one may go on with parts of the other

    def __call__(self, name: object, compute: Callable[..., Sequence[Tensor]], given: Sequence[Tensor]) -> list[Tensor]:
        """Return what `compute`, which has this name, makes of tensors; it looks into none of them."""
        kind = given[0].device.type
        arithmetic = torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)
        shapes = (name, arithmetic, *((tensor.shape, tensor.dtype) for tensor in given))
        with self._lock, torch.inference_mode(False), torch.no_grad():  # the memory is for training too
            return self._made(shapes, compute, given)

    def _made(self, shapes: object, compute: Callable[..., Sequence[Tensor]], given: Sequence[Tensor]) -> list[Tensor]:
        met = self._met.pop(shapes, 0)
        if isinstance(met, int):
            made = list(compute(*given))
            met = met + 1 if met < _MET_BEFORE else self._recorded(compute, given, made)
        else:
            made = met(given)
        self._met[shapes] = met
        if len(self._met) > _RECORDINGS:
            self._met.popitem(last=False)
        return made

    def _recorded(
        self, compute: Callable[..., Sequence[Tensor]], given: Sequence[Tensor], made: Sequence[Tensor]
    ) -> Callable[[Sequence[Tensor]], list[Tensor]]:
        """Record what made something of something, and return what does so for others of the same shapes."""
        places = self._places((*given, *made))
        read, written = places[: len(given)], places[len(given) :]

        def copy_all(to: Sequence[Tensor], tensors: Sequence[Tensor]) -> None:
            for place, tensor in zip(to, tensors, strict=True):
                place.copy_(tensor)

        copy_all(read, given)
        replay = self._record(lambda: copy_all(written, compute(*read)))

        def again(others: Sequence[Tensor]) -> list[Tensor]:
            copy_all(read, others)
            replay()
            return [tensor.clone() for tensor in written]

        return again

    def _places(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Lay out tensors of these shapes and types in the memory, one after the other."""
        *starts, end = accumulate((-(-tensor.nbytes // _ALIGNED) * _ALIGNED for tensor in tensors), initial=0)
        if len(self._memory) < end:
            self._memory = tensors[0].new_empty(end, dtype=torch.uint8)
            # others would keep the memory that they have: they are made anew when their shapes come again
            self._met.update({shapes: _MET_BEFORE for shapes, met in self._met.items() if not isinstance(met, int)})
        return [
            self._memory[start : start + tensor.nbytes].view(tensor.dtype).view(tensor.shape)
            for start, tensor in zip(starts, tensors, strict=True)
        ]


def loop(steps: Any, *given: Tensor, results: int = 1) -> Any:
    """Apply a function of autograd that loops over time and has so many results; recorded on a GPU."""
    if given[0].device.type != "cuda":
        return steps.apply(*given)
    made = recorded(steps, _recordings_for(given[0]), *given, results=results)
    return made[0] if results == 1 else made


def recorded(steps: Any, recordings: Recordings, *given: Tensor, results: int) -> Sequence[Tensor]:
    """Apply it by recordings: of both passes where gradients are wanted, else of one that keeps nothing."""
    if torch.is_grad_enabled():
        return RecordedLoop.apply(steps, recordings, results, *given)  # type: ignore[no-any-return, no-untyped-call]

    def compute(*tensors: Tensor) -> Sequence[Tensor]:
        made = steps.forward(_Kept(), *tensors)
        return made if results > 1 else (made,)

    return recordings((steps, "without gradients"), compute, given)


def recomputed(name: object, compute: Callable[..., Tensor], *given: Tensor) -> Tensor:
    """Return what `compute`, which has this name, makes of tensors on a GPU, and record that and its backward pass."""
    return Recomputed.apply(name, compute, _recordings_for(given[0]), *given)  # type: ignore[no-any-return, no-untyped-call]


def is_recorded(x: Tensor, *others: Tensor) -> bool:
    """Whether what is `recomputed` of `x` and others is recorded: in training on a GPU, a single one."""
    return x.device.type == "cuda" and torch.is_grad_enabled() and all(other.device == x.device for other in others)


def _recordings_for(x: Tensor) -> "Recordings":
    return recordings_of(x.device, torch.cuda.current_stream(x.device).cuda_stream)


@cache
def recordings_of(device: torch.device, stream: int) -> Recordings:
    """Return the recordings of a stream: what two of them do at a time has memory of its own."""
    return Recordings(CudaGraphs(device))


@dataclass
class _Kept:
    """What a forward pass keeps for its backward pass: tensors alone."""

    saved_tensors: tuple[Tensor, ...] = ()

    def save_for_backward(self, *tensors: Tensor) -> None:
        self.saved_tensors = tensors


class RecordedLoop(torch.autograd.Function):
    """A function of autograd both of whose passes are recorded."""

    @staticmethod
    def forward(ctx: Any, steps: Any, recordings: Recordings, results: int, *given: Tensor) -> tuple[Tensor, ...]:
        """Do what `steps` does of what is given; it has so many results."""

        def compute(*tensors: Tensor) -> tuple[Tensor, ...]:
            kept = _Kept()
            made = steps.forward(kept, *tensors)
            return *(made if results > 1 else (made,)), *kept.saved_tensors

        made = recordings((steps, "forward"), compute, given)
        ctx.steps, ctx.recordings = steps, recordings
        ctx.save_for_backward(*made[results:])
        return tuple(made[:results])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        """Do what its backward pass does."""
        saved, steps = ctx.saved_tensors, ctx.steps

        def compute(*tensors: Tensor) -> tuple[Tensor, ...]:
            made: tuple[Tensor, ...] = steps.backward(_Kept(tensors[: len(saved)]), *tensors[len(saved) :])
            return made

        return None, None, None, *ctx.recordings((steps, "backward"), compute, (*saved, *outer))


class Recomputed(torch.autograd.Function):
    """Any function of tensors with one result, both of whose passes are recorded.

    What autograd keeps of a pass cannot be given to another one, so the backward pass begins with the function itself.
    Autocast is as it was; what it casts, it casts wherever it meets it, for casts that it remembers belong to others.
    """

    @staticmethod
    def forward(
        ctx: Any, name: object, compute: Callable[..., Tensor], recordings: Recordings, *given: Tensor
    ) -> Tensor:
        """Compute it of what is given, all of which it depends on."""
        device = given[0].device.type
        kind = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None

        def computed(*tensors: Tensor) -> Tensor:
            with torch.autocast(device, kind, enabled=kind is not None, cache_enabled=False):
                return compute(*tensors)

        ctx.name, ctx.computed, ctx.recordings = (name, kind), computed, recordings
        ctx.save_for_backward(*given)
        return recordings((ctx.name, "forward"), lambda *tensors: [computed(*tensors)], given)[0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor | None, ...]:
        """Compute it once more, and go back through that."""
        computed, needed = ctx.computed, ctx.needs_input_grad[3:]

        def gradients(outer: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
            given = [tensor.detach().requires_grad_(needs) for tensor, needs in zip(tensors, needed, strict=True)]
            with torch.enable_grad():
                made = computed(*given)
            wanted = [tensor for tensor in given if tensor.requires_grad]
            return torch.autograd.grad(made, wanted, outer, materialize_grads=True)

        found = iter(ctx.recordings((ctx.name, needed, "backward"), gradients, (outer, *ctx.saved_tensors)))
        return None, None, None, *(next(found) if needs else None for needs in needed)
