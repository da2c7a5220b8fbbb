"""Streams on which nothing runs: who has waited for whom, and what is used on one before it is written on another."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor


class Stream:
    """A stream, or an event; to wait for it on another stream takes the host no time."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.device, self.cuda_stream = torch.device("cuda", 0), id(self)
        self.knows: dict[Stream, int] = {self: 0}
        """How much of each stream is surely done when what comes next on this one begins."""

    def wait_stream(self, other: "Stream") -> None:
        for stream, done in other.knows.items():
            self.knows[stream] = max(done, self.knows.get(stream, 0))

    def wait_event(self, event: "Stream") -> None:
        self.wait_stream(event)

    def wait(self, stream: "Stream | None" = None) -> None:
        (stream or current()).wait_stream(self)

    def record(self, stream: "Stream | None" = None) -> None:
        self.wait_stream(stream or current())

    def record_event(self, event: "Stream | None" = None) -> "Stream":
        event = event or type(self)()
        event.record(self)
        return event

    def query(self) -> bool:
        return True

    def __enter__(self) -> "Stream":
        _stack.append(self)
        return self

    def __exit__(self, *error: object) -> None:
        _stack.pop()


_stack = [Stream()]
_written: dict[int, tuple[Stream, int]] = {}
"""Where and when each memory was written last."""


def current(*device: object) -> Stream:
    """Return the stream on which work is done."""
    return _stack[-1]


def forget_all() -> None:
    """Forget what was written: much of it is gone."""
    _written.clear()


def forget(tensors: Sequence[Tensor]) -> None:
    """Forget who wrote what was where these are now."""
    for tensor in tensors:
        _written.pop(_memory(tensor), None)


@contextmanager
def on(stream: Stream | None) -> Iterator[None]:
    """Do work on a stream; None: on the one it is done on anyway."""
    with stream or current():
        yield


def comes_too_early(given: Sequence[Tensor], made: Sequence[Tensor]) -> bool:
    """Tell whether work on the current stream uses what another one may not have written yet."""
    here = current()
    here.knows[here] += 1
    last = [_written[memory] for memory in map(_memory, given) if memory in _written]
    _written.update((_memory(tensor), (here, here.knows[here])) for tensor in made)
    return any(here.knows.get(stream, 0) < done for stream, done in last)


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata
