"""What work on fake CUDA tensors asks of a GPU: kernels, waits, copies, types, and what is left to the host."""

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch._subclasses.fake_impls import op_implementations_dict
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tests.cudafake.streams import comes_too_early, forget, forget_all

_ROOM: Final = f"{Path(__file__).parents[2] / 'nmt'}/"
_WAITS: Final = {"_local_scalar_dense", "item", "nonzero", "equal", "masked_select", "is_nonzero", "bincount"}
_WAITS |= {"_unique2", "unique_dim", "unique_consecutive"}
"""Operations whose results, or their sizes, the host has to know."""
_EMPTY: Final = {"empty", "empty_like", "new_empty", "empty_strided", "new_empty_strided"}
_FREE: Final = _EMPTY | set(
    "view _unsafe_view t transpose expand slice select unsqueeze squeeze permute detach alias split split_with_sizes "
    "chunk as_strided reshape unbind _reshape_alias unflatten lift_fresh unsafe_split squeeze_ view_as diagonal unfold "
    "is_pinned set_ resize_ t_ transpose_ device".split()
)
"""Operations that start no kernel: views, and memory as it is."""
_PLACES: Final = 1000
"""How many of them `nonzero` finds, at most."""
_NUMBER: Final = 16
"""What every whole number is that the host asks for by itself; other numbers are 1, and truth values true."""


@dataclass
class Seen:
    """What was seen of some work."""

    kernels: Counter[str] = field(default_factory=Counter)
    """How often each operation was started that takes a kernel at least: views and empty memory take none."""
    recorded: Counter[str] = field(default_factory=Counter)
    """The same of what went into recordings."""
    waits: Counter[str] = field(default_factory=Counter)
    """Where the host waited for the device, and in what."""
    types: Counter[str] = field(default_factory=Counter)
    """How many operations put out tensors of each type of floats on the device."""
    float16: Counter[str] = field(default_factory=Counter)
    """Operations that put out float16, and where."""
    sent: int = 0
    """Bytes copied to the device."""
    fetched: int = 0
    """Bytes copied from the device."""
    on_host: Counter[str] = field(default_factory=Counter)
    """Operations on tensors of the CPU alone, and where."""
    weights_cast: int = 0
    """Weights that were copied into another type, as autocast does at each call."""
    notes: Counter[str] = field(default_factory=Counter)
    """Recordings ("record"), what was done by them ("replay"), weights that cuDNN has to copy."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What the work itself had to say."""

    def __str__(self) -> str:
        parts = (f"{sum(self.kernels.values())} kernels", f"{sum(self.waits.values())} waits {dict(self.waits)}")
        parts += (f"types {dict(self.types)}", f"sent {self.sent}", f"fetched {self.fetched}")
        parts += (f"on the host {dict(self.on_host)}", f"notes {dict(self.notes)}", f"facts {self.facts}")
        return "; ".join(parts)


@dataclass
class Capture:
    """Whether a graph is recorded."""

    is_on: bool = False


capture: Final = Capture()
_current: list[Seen] = []


def note(what: str) -> None:
    """Note something of the work that is watched, if any is."""
    if _current:
        _current[-1].notes[what] += 1


def note_wait(what: str) -> None:
    """Note that the host waits for the device."""
    if capture.is_on:
        raise RuntimeError(f"{what} at {_where()} while a graph is recorded")
    if _current:
        _current[-1].waits[f"{what} {_where()}"] += 1


def _where() -> str:
    """Name the innermost line of our code; what is called by autograd has none."""
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_filename.startswith(_ROOM):
            return f"{frame.f_code.co_filename.removeprefix(_ROOM)}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return "elsewhere"


class Recorder(TorchDispatchMode):
    """Notes every operation on fake tensors: `with Recorder() as seen: ...`"""

    def __init__(self) -> None:
        super().__init__()
        self.seen = Seen()

    def __enter__(self) -> Seen:  # type: ignore[override]
        super().__enter__()
        if not _current:
            forget_all()
        _current.append(self.seen)
        return self.seen

    def __exit__(self, *error: Any) -> None:
        _current.pop()
        super().__exit__(*error)

    def __torch_dispatch__(self, func: Any, types: object, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func.namespace == "prim":  # a question, such as where a tensor is
            return func(*args, **kwargs)
        with self:  # in inference mode, what consists of other operations comes whole
            made = func.decompose(*args, **kwargs)
        if made is not NotImplemented:
            return made
        name = func._schema.name.partition("::")[2]
        made = func(*args, **kwargs)
        given, results = (_tensors(value) for value in ((args, kwargs), made))
        devices = {tensor.device.type for tensor in (*given, *results)}
        if "cuda" not in devices:
            if devices and name not in _FREE:
                self.seen.on_host[f"{name} {_where()}"] += 1
            return made
        if name in _EMPTY:
            forget(results)
        if name not in _FREE:
            (self.seen.recorded if capture.is_on else self.seen.kernels)[name] += 1
            self._note_types(name, results)
            if comes_too_early(given, results):
                self.seen.notes[f"used before another stream has written it, {_where()}"] += 1
        if name in _WAITS or _is_masked(name, args):
            note_wait(name)
        if name in ("_to_copy", "_foreach_copy_"):
            self.seen.weights_cast += sum(isinstance(tensor, nn.Parameter) for tensor in given)
        if name in ("_to_copy", "copy_") and len(devices) == 2:
            is_awaited = not (kwargs.get("non_blocking") or (name == "copy_" and args[2:] == (True,)))
            self._note_copy(given[-1], results[0], is_awaited=is_awaited)
        return made

    def _note_types(self, name: str, results: list[Tensor]) -> None:
        for kind in {tensor.dtype for tensor in results if tensor.dtype.is_floating_point}:
            self.seen.types[str(kind).removeprefix("torch.")] += 1
            if kind == torch.float16:
                self.seen.float16[f"{name} {_where()}"] += 1

    def _note_copy(self, given: Tensor, made: Tensor, *, is_awaited: bool) -> None:
        size = made.numel() * made.element_size()
        if made.device.type == "cuda":
            self.seen.sent += size
            if not getattr(given, "was_pinned", False):
                self.seen.notes["sent from memory that is not pinned"] += 1
        else:
            self.seen.fetched += size
        if is_awaited:
            note_wait(f"copy {'to' if made.device.type == 'cuda' else 'from'} the device")


def _tensors(value: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor)]


def _is_masked(name: str, args: Any) -> bool:
    """Tell whether places are chosen by truth values, which the host has to count; a single number is put without."""
    if name not in ("index", "index_put", "index_put_", "_index_put_impl_"):
        return False
    puts_one = name != "index" and args[2].numel() == 1
    return not puts_one and any(tensor.dtype in (torch.bool, torch.uint8) for tensor in _tensors(args[1]))


def _nonzero(x: Tensor) -> Tensor:
    return x.new_empty(min(_PLACES, x.numel()), x.dim(), dtype=torch.int64)


def _scalar(x: Tensor) -> bool | int | float:
    if x.dtype.is_floating_point:
        return 1.0
    return True if x.dtype == torch.bool else _NUMBER


def _cudnn_backward(
    inputs: Tensor, weights: Any, stride: int, buffer: Any, hidden: Tensor, memory: Any, *rest: Any
) -> Any:
    made = (torch.empty_like(inputs), torch.empty_like(hidden), None if memory is None else torch.empty_like(memory))
    return (*made, [torch.empty_like(weight) for weight in weights])


def _gru_cell(projected: Tensor, recurrent: Tensor, hidden: Tensor, *biases: Any) -> tuple[Tensor, Tensor]:
    return torch.empty_like(hidden), hidden.new_empty(len(hidden), 5 * hidden.shape[1])


def _gru_cell_backward(grad: Tensor, workspace: Tensor, has_bias: bool) -> tuple[Any, ...]:
    gates = grad.new_empty(len(grad), 3 * grad.shape[1])
    biases = (gates.new_empty(gates.shape[1]), gates.new_empty(gates.shape[1])) if has_bias else (None, None)
    return torch.empty_like(gates), gates, torch.empty_like(grad), *biases


_ANSWERS: Final = {
    "nonzero": _nonzero,
    "_local_scalar_dense": _scalar,
    "equal": lambda x, y: True,
    "_pin_memory": lambda x, *device: x.clone(),
    "_cudnn_rnn_backward": _cudnn_backward,
    "_thnn_fused_gru_cell": _gru_cell,
    "_thnn_fused_gru_cell_backward": _gru_cell_backward,
    "_fused_sgd_": lambda *lists, **rates: None,
}
"""Operations that depend on numbers, or that fake tensors do not know."""


def _answer(answer: Callable[..., Any]) -> Callable[..., Any]:
    def answered(mode: FakeTensorMode, func: object, *args: Any, **kwargs: Any) -> Any:
        with mode:
            return answer(*args, **kwargs)

    return answered


for _name, _call in _ANSWERS.items():
    op_implementations_dict[getattr(torch.ops.aten, _name).default] = _answer(_call)
