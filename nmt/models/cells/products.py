"""Products outside of autograd's sight: those of a recurrence, of an output layer that knows its own gradients."""

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

_ROWS: Final = 64
"""For how many rows the library lays a weight out."""


def repeated_product(weight: Tensor) -> Callable[[Tensor], Tensor]:
    """Return what multiplies rows [B, I] by W^T, W [O, I], without gradients: [B, O].

    On a CPU with oneDNN the weight is laid out once for all steps.
    """
    if not _has_onednn_for(weight):
        return lambda rows: functional.linear(rows, weight)
    packed = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), _ROWS)

    def multiply(rows: Tensor) -> Tensor:
        products: Tensor = torch.ops.mkldnn._linear_pointwise(rows, packed, None, "none", [], "")
        return products

    return multiply


def product(rows: Tensor, weight: Tensor) -> Tensor:
    """Multiply rows [N, I] by W^T, W [O, I], without gradients: [N, O].

    fp32 on a CPU goes to oneDNN, where a wide product takes two thirds of the time that it takes in torch's BLAS.
    """
    if rows.dtype != torch.float32 or not _has_onednn_for(weight):
        return rows @ weight.t()
    products: Tensor = torch.ops.mkldnn._linear_pointwise(rows, weight, None, "none", [], "")
    return products


def outer_product(left: Tensor, right: Tensor) -> Tensor:
    """Sum the outer products of the rows of [N, A] and [N, B], without gradients: [A, B], A the larger of them."""
    if left.dtype != torch.float32 or not _has_onednn_for(right) or not len(left):
        return left.t() @ right
    return product(right.t(), left.t()).t()  # this way round is the fast one


def _has_onednn_for(weight: Tensor) -> bool:
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    if weight.dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return weight.dtype == torch.float32


def without_autocast(x: Tensor) -> torch.autocast:
    """Return the context in which products on the device of `x` keep the types they are given."""
    return torch.autocast(x.device.type, enabled=False)


def widened(x: Tensor) -> Tensor:
    """Return `x` in the type in which gates and memory are computed: float32, or float64 as it is."""
    return x.to(wide_type(x))


def wide_type(x: Tensor) -> torch.dtype:
    """Return the type in which gates and memory are computed beside `x`."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32
