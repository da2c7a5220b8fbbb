"""Work that a GPU does side by side, in streams."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import TypeVar

import torch
from torch import Tensor

from nmt.models.tensors import tensors_of

A = TypeVar("A")
B = TypeVar("B")


def side_by_side(first: Callable[[], A], second: Callable[[], B], *, shared: Sequence[Tensor]) -> tuple[A, B]:
    """Return what both make of `shared` tensors. A GPU computes them at the same time, their gradients too: these are
    computed in the stream of what they belong to."""
    device = shared[0].device
    if device.type != "cuda":
        return first(), second()
    here, side = torch.cuda.current_stream(device), _side_stream(device)
    side.wait_stream(here)
    ours = first()
    with torch.cuda.stream(side):
        theirs = second()
    here.wait_stream(side)
    # memory that both streams use is not taken for something else before both are done with it
    for tensor in shared:
        tensor.record_stream(side)
    for tensor in tensors_of(theirs):
        tensor.record_stream(here)
    return ours, theirs


@cache
def _side_stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
