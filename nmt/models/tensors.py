"""Values made of tensors, in frozen dataclasses and tuples: walked over, and their rows taken and joined."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cache
from typing import Any, ClassVar, Protocol, Self, TypeVar, runtime_checkable

import torch
from torch import Tensor, nn

T = TypeVar("T")


@runtime_checkable
class Takable(Protocol):
    """What belongs to B sentences."""

    def take(self, sentences: Tensor) -> Self:
        """Keep `sentences` [B'], in this order."""
        ...

    def join(self, other: Self) -> Self:
        """Append the sentences of `other`."""
        ...


@dataclass(frozen=True)
class Rows:
    """What belongs to B sentences: tensors [B, *], tuples of them, and what can be taken and joined by itself."""

    common: ClassVar[frozenset[str]] = frozenset()
    """Fields that are the same for all sentences, though they hold tensors; all that holds none is so anyway."""

    def take(self, sentences: Tensor) -> Self:
        """Keep `sentences` [B'], in this order."""
        return _changed(self, lambda part: part.index_select(0, sentences), lambda part: part.take(sentences))

    def join(self, other: Self) -> Self:
        """Append the sentences of `other`; the smaller tensors are filled up with zeros."""
        return _changed(self, joined, lambda part, more: part.join(more), other)


R = TypeVar("R", bound=Rows)


def _changed(value: R, change: Callable[..., Tensor], inner: Callable[..., Takable], *others: R) -> R:
    def changed(*parts: Any) -> Any:
        first = parts[0]
        if isinstance(first, Tensor):
            return change(*parts)
        if type(first) is tuple:
            return tuple(changed(*each) for each in zip(*parts, strict=True))
        return inner(*parts) if _is_takable(type(first)) else first  # type: ignore[arg-type]

    changes = {
        name: changed(part, *(getattr(other, name) for other in others))
        for name, part in vars(value).items()
        if name not in value.common
    }
    return replace(value, **changes)


@cache
def _is_takable(kind: type) -> bool:  # too slow to be asked of every value at every step
    return issubclass(kind, Takable)


def mapped(change: Callable[[Tensor], Tensor], value: T) -> T:
    """Change every tensor in tuples of them."""
    changed: Any = value
    if isinstance(value, Tensor):
        changed = change(value)
    elif isinstance(value, tuple):
        changed = tuple(mapped(change, part) for part in value)
    return changed  # type: ignore[no-any-return]


def sent(x: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor of the CPU to a device; if that is a GPU, nobody waits for it."""
    return x.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else x.to(device)


def picker(parents: Tensor, beams: int) -> Callable[[Tensor], Tensor]:
    """Return what reorders tensors [B, K, *] of so many beams: the new [b, k] is `parents[b, k]`; parents [B, K']."""
    if not parents.is_cpu:  # one kernel instead of four; a CPU copies rows faster by their numbers

        def gathered(part: Tensor) -> Tensor:
            index = parents.view(*parents.shape, *[1] * (part.dim() - 2))
            return part.gather(1, index.expand(*parents.shape, *part.shape[2:]))

        return gathered
    first = beams * torch.arange(len(parents))[:, None] if len(parents) > 1 else 0
    rows = (parents + first).flatten()
    return lambda part: part.flatten(0, 1).index_select(0, rows).view(*parents.shape, *part.shape[2:])


def tensors_of(value: object) -> list[Tensor]:
    """List the tensors in a value made of dataclasses and tuples, in the order of their fields."""
    if isinstance(value, Tensor):
        return [value]
    return [tensor for part in _parts(value) for tensor in tensors_of(part)]


def with_tensors(value: T, tensors: Iterable[Tensor]) -> T:
    """Return `value` with other tensors in the order of `tensors_of`, and all else as it was."""
    rest = iter(tensors)  # which is itself for the parts
    changed: Any = value
    parts = [with_tensors(part, rest) for part in _parts(value)]
    if isinstance(value, Tensor):
        changed = next(rest)
    elif isinstance(value, tuple):
        changed = tuple(parts) if type(value) is tuple else type(value)(*parts)
    elif parts:
        changed = replace(changed, **dict(zip((field.name for field in fields(changed)), parts, strict=True)))
    return changed  # type: ignore[no-any-return]


def _parts(value: Any) -> Sequence[Any]:
    if isinstance(value, tuple):
        return value
    return [getattr(value, field.name) for field in fields(value)] if is_dataclass(value) else []


def joined(first: Tensor, second: Tensor, *, fill: float = 0.0, dim: int = 0) -> Tensor:
    """Put tensors side by side in dimension `dim`, the smaller filled up in all others."""
    for other in range(first.dim()):
        if other != dim:
            size = max(first.shape[other], second.shape[other])
            first, second = padded(first, size, dim=other, fill=fill), padded(second, size, dim=other, fill=fill)
    return torch.cat([first, second], dim=dim)


def padded(x: Tensor, size: int, *, dim: int, fill: float = 0.0) -> Tensor:
    """Fill dimension `dim` of `x` up to `size`."""
    missing = size - x.shape[dim]
    return nn.functional.pad(x, (0, 0) * (x.dim() - 1 - dim) + (0, missing), value=fill) if missing > 0 else x
