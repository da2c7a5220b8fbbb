"""What of torch.cuda and of cuDNN the code may ask for, without a device: streams that do nothing, recordings that only
count, and cuDNN's recurrent layers, whose outputs have the right shapes and types.

Only for a process of its own, into which `tests/cudafake/guard.py` was loaded.
"""

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch._subclasses import fake_tensor
from torch.overrides import TorchFunctionMode
from torch.utils import _foreach_utils

from tests.cudafake import streams
from tests.cudafake.recorder import capture, note, note_wait

CUDNN_VERSION: Final = 92000
"""What torch 2.13 brings: it has recurrent layers in bf16 (9.13 and newer have)."""


class Stream(streams.Stream):
    """A stream, or an event."""

    def synchronize(self) -> None:
        note_wait("synchronize")


class Graph:
    """A recording, which runs nothing: how often it is made and replayed is noted. No one may wait while it is made."""

    def capture_begin(self, *arguments: Any, **options: Any) -> None:
        note("record")
        capture.is_on = True

    def capture_end(self) -> None:
        capture.is_on = False

    def replay(self) -> None:
        note("replay")


@contextmanager
def _graph(graph: Graph, *arguments: Any, **options: Any) -> Iterator[None]:
    note_wait("torch.cuda.graph")  # it synchronises, and empties the caches
    graph.capture_begin()
    try:
        yield
    finally:
        graph.capture_end()


class Library(TorchFunctionMode):
    """Recurrent layers as torch hands them to cuDNN; and pinned memory."""

    def __torch_function__(self, func: Any, types: object, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        name, kwargs = getattr(func, "__name__", ""), kwargs or {}
        if name == "pin_memory":
            pinned = func(*args, **kwargs)
            pinned.was_pinned = True  # the recorder asks
            return pinned
        if name in _CALLS and args[0].device.type == "cuda":
            return _CALLS[name](*args, **kwargs)
        return func(*args, **kwargs)


def _layer(mode: int, inputs: Tensor, *rest: Any) -> tuple[Tensor, ...]:
    """Do what `torch.lstm` and the others do."""
    state, weights, has_biases, layers, dropout, train, bidirectional, batch_first = rest
    hidden, memory = state if isinstance(state, tuple | list) else (state, None)
    assert has_biases
    if torch.is_autocast_enabled("cuda"):
        # torch's wrapper for autocast (_cudnn_rnn_cast_reflatten) casts to float16, whatever type was asked for
        inputs, hidden, memory, *weights = (
            None if tensor is None else tensor.to(torch.float16) for tensor in (inputs, hidden, memory, *weights)
        )
        buffer = torch.cat([weight.detach().flatten() for weight in weights])
    else:
        buffer = _flat_buffer(weights)
    if buffer is None:
        note("weights are not in one piece")
        buffer = torch.cat([weight.detach().flatten() for weight in weights])
    types = {tensor.dtype for tensor in (inputs, hidden, memory, *weights) if tensor is not None}
    if len(types) > 1:
        raise RuntimeError(f"cuDNN wants inputs, state and weights of one type, got {types}")
    with torch.autocast("cuda", enabled=False):
        made = torch.ops.aten._cudnn_rnn(
            *(inputs, list(weights), 4, buffer, hidden, memory, mode, hidden.shape[2], 0, layers),
            *(batch_first, dropout, train, bidirectional, [], None),
        )
    return made[: 2 if memory is None else 3]  # type: ignore[no-any-return]


_CALLS: Final = {
    "rnn_relu": partial(_layer, 0),
    "rnn_tanh": partial(_layer, 1),
    "lstm": partial(_layer, 2),
    "gru": partial(_layer, 3),
}


def _flat_buffer(weights: Sequence[Tensor]) -> Tensor | None:
    """Return the buffer that holds all weights one after the other, as cuDNN wants them; None: there is none."""
    storage, first = weights[0].untyped_storage(), weights[0].storage_offset()
    *offsets, end = itertools.accumulate((weight.numel() for weight in weights), initial=first)
    for weight, offset in zip(weights, offsets, strict=True):
        is_there = weight.untyped_storage()._cdata == storage._cdata and weight.storage_offset() == offset
        if not (is_there and weight.is_contiguous()):
            return None
    return weights[0].detach().as_strided((end - first,), (1,), first)


@torch.no_grad()
def _flatten_parameters(module: nn.RNNBase) -> None:
    """Put the weights into one buffer, where they are on the device."""
    weights: list[Any] = module._flat_weights
    if any(weight is None or weight.device.type != "cuda" for weight in weights) or _flat_buffer(weights) is not None:
        return
    buffer, first = weights[0].new_empty(sum(weight.numel() for weight in weights)), 0
    for weight in weights:
        weight.data = buffer[first : first + weight.numel()].view_as(weight)
        first += weight.numel()


def _tolist(x: Tensor) -> Any:
    """Fetch all numbers at once: zeros."""
    if x.device.type == "cuda":
        note_wait("tolist")
    kind = str(x.dtype).removeprefix("torch.").replace("bfloat16", "float32")
    return np.zeros(x.shape, dtype=kind).tolist()


def pretend() -> None:
    """Let torch take the fake device for a GPU of NVIDIA, a Hopper."""
    facts = {
        **{"is_available": True, "is_initialized": True, "is_bf16_supported": True, "device_count": 1, "init": None},
        **{
            "current_device": 0,
            "get_device_capability": (9, 0),
            "get_device_name": "fake",
            "graph_pool_handle": (0, 0),
        },
        **{"empty_cache": None, "set_device": None, "_lazy_init": None, "is_current_stream_capturing": False},
        **{"memory_allocated": 0, "max_memory_allocated": 0, "mem_get_info": (2**37, 2**37)},
        **{"manual_seed": None, "manual_seed_all": None},
    }
    for name, fact in facts.items():
        setattr(torch.cuda, name, lambda *arguments, _fact=fact, **options: _fact)
    torch.cuda.synchronize = lambda *arguments: note_wait("synchronize")
    torch.cuda.Stream = torch.cuda.Event = Stream
    torch.cuda.current_stream, torch.cuda.stream = streams.current, streams.on
    torch.cuda.graph, torch.cuda.CUDAGraph = _graph, Graph
    torch.backends.cudnn.is_available = lambda: True
    torch.backends.cudnn.version = lambda: CUDNN_VERSION
    torch.Tensor.record_stream = lambda tensor, stream: None
    nn.RNNBase.flatten_parameters = _flatten_parameters
    fake_tensor.FakeTensor.tolist = _tolist
    _foreach_utils._foreach_supported_types.append(fake_tensor.FakeTensor)
    # fake tensors make no real ones on the device
    fake_tensor.init_gpu_context = lambda device: None
    fake_tensor.FakeTensorMode.avoid_device_init = property(lambda mode: True)
