"""Tensors as they are at an instant, and the safetensors file that they make: for writing while the model learns on."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import torch
from torch import Tensor

_TYPES: Final = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16"}


class Snapshot:
    """Copies of tensors in the CPU's memory. They leave a GPU while it and the caller go on: nobody waits for them but
    who asks for them."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._copies = {
            name: torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=tensor.is_cuda).copy_(
                tensor, non_blocking=True
            )
            for name, tensor in tensors.items()
        }
        devices = {tensor.device for tensor in tensors.values() if tensor.is_cuda}
        self._sent = [torch.cuda.current_stream(device).record_event() for device in devices]

    def tensors(self) -> dict[str, Tensor]:
        """Wait until all have come, and return them."""
        for event in self._sent:
            event.synchronize()
        return self._copies


def safetensors_of(
    tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> Iterator[bytes | memoryview]:
    """Yield the parts of a safetensors file of tensors on the CPU: its head, then the memory of each tensor.

    The library's `save` copies all of them twice, and no other thread runs meanwhile.
    """
    names = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))  # so that all are aligned
    head: dict[str, Any] = {} if metadata is None else {"__metadata__": dict(metadata)}
    end = 0
    for name in names:
        start, end = end, end + tensors[name].nbytes
        shape, kind = list(tensors[name].shape), _TYPES[tensors[name].dtype]
        head[name] = {"dtype": kind, "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(head, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % 8)
    yield len(text).to_bytes(8, "little") + text
    for name in names:
        yield memory_of(tensors[name])


def memory_of(tensor: Tensor) -> memoryview:
    """Return the bytes of a contiguous tensor on the CPU, which stay where they are."""
    return tensor.reshape(-1).view(torch.uint8).numpy().data
