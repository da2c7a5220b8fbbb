"""Matrix products for inference on a CPU, by oneDNN, with weights that are laid out once.

What they promise: a row of the result depends on that row of the input alone, to the last bit, whatever the number of
rows and wherever among them it stands. How this comes about is docs/decisions/0010.
"""

from typing import Final, Literal

import torch
from torch import Tensor, nn

Precision = Literal["fp32", "bf16", "int8"]

ROW_MULTIPLE: Final = 32
"""Rows are filled up to a multiple of this: below it, libraries choose kernels that sum in another order."""

ROWS_AT_ONCE: Final = 1024
"""More rows are multiplied in parts. For each number of rows oneDNN generates code anew and keeps it, a quarter to a
half MiB in the midst of what others have freed: so there are only 32 numbers."""

_INT8_LIMIT: Final = 127
_ZERO_POINT: Final = 128
"""Where the products want zero in an unsigned byte."""


class PackedLinear(nn.Module):
    """y = x W^T + b over the last dimension of x, in float32 in and out; subclasses multiply."""

    def __init__(self, weight: Tensor, bias: Tensor | None, *, bounded: bool = False) -> None:
        """Pack a weight [O, I] and a bias [O].

        Args:
            weight: Copied.
            bias: Copied.
            bounded: Whether every x lies in [-1, 1].
        """
        super().__init__()
        self.out_features, self.in_features = weight.shape
        self.bounded = bounded
        self.bias = None if bias is None else bias.detach().float().clone()

    def forward(self, x: Tensor) -> Tensor:
        """Multiply x [..., I]: [..., O] float32."""
        rows = x.reshape(-1, self.in_features)
        if len(rows) <= ROWS_AT_ONCE:
            products = self.multiply(rows)[: len(rows)]
        else:
            products = rows.new_empty(len(rows), self.out_features)
            for first in range(0, len(rows), ROWS_AT_ONCE):
                some = rows[first : first + ROWS_AT_ONCE]
                products[first : first + len(some)] = self.multiply(some)[: len(some)]
        return products.view(*x.shape[:-1], self.out_features)

    def multiply(self, rows: Tensor) -> Tensor:
        """Multiply rows [R, I], filled up: [R', O]."""
        raise NotImplementedError


class Fp32Linear(PackedLinear):
    """In float32 throughout."""

    def __init__(self, weight: Tensor, bias: Tensor | None, *, bounded: bool = False) -> None:
        super().__init__(weight, bias, bounded=bounded)
        self.packed = _packed(weight.detach().float())

    def multiply(self, rows: Tensor) -> Tensor:
        """Multiply rows [R, I], filled up: [R', O]."""
        return _linear(filled_up(rows), self.packed, self.bias)


class Bf16Linear(PackedLinear):
    """bfloat16 factors and results, float32 sums."""

    def __init__(self, weight: Tensor, bias: Tensor | None, *, bounded: bool = False) -> None:
        super().__init__(weight, bias, bounded=bounded)
        self.packed = _packed(weight.detach().bfloat16())

    def multiply(self, rows: Tensor) -> Tensor:
        """Multiply rows [R, I], filled up: [R', O]."""
        products = _linear(filled_up(rows.bfloat16()), self.packed, None).float()
        return products if self.bias is None else products.add_(self.bias)


class Int8Linear(PackedLinear):
    """Weights in 8 bits with a scale for each output, inputs in 8 bits with a scale for each row, exact integer sums.

    The scales are those that reach the largest value of their row, symmetric around zero (Wu et al., 2020,
    sec. 3.1). A row's scale is found when it comes, so it depends on no other row and on no calibration; rows of
    bounded values all have the scale 1 / 127.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, *, bounded: bool = False) -> None:
        super().__init__(weight, bias, bounded=bounded)
        integers, self.scales = quantised(weight)
        self.packed = torch.ops.onednn.qlinear_prepack(integers, None)
        self.zeros = torch.zeros(len(weight), dtype=torch.int32)

    def multiply(self, rows: Tensor) -> Tensor:
        """Multiply rows [R, I], filled up: [R', O]."""
        if self.bounded:
            return self._product(rows * _INT8_LIMIT, scale=1 / _INT8_LIMIT, bias=self.bias)
        scales = rows.abs().amax(dim=1, keepdim=True).clamp_(min=1e-12).div_(_INT8_LIMIT)  # [R, 1]
        products = self._product(rows / scales, scale=1.0, bias=None)
        products[: len(rows)].mul_(scales)
        return products if self.bias is None else products.add_(self.bias)

    def _product(self, rows: Tensor, *, scale: float, bias: Tensor | None) -> Tensor:
        """Round `rows` to integers, which `scale` times are the inputs, and multiply."""
        # to signed bytes and from there to unsigned ones: ten times as fast as the direct way
        unsigned = rows.round_().to(torch.int8).view(torch.uint8).bitwise_xor_(_ZERO_POINT)
        weights = (self.packed, self.scales, self.zeros)
        products: Tensor = torch.ops.onednn.qlinear_pointwise(
            filled_up(unsigned), scale, _ZERO_POINT, *weights, bias, 1.0, 0, torch.float32, "none", [], ""
        )
        return products


LINEAR: Final[dict[Precision, type[Fp32Linear] | type[Bf16Linear] | type[Int8Linear]]] = {
    "fp32": Fp32Linear,
    "bf16": Bf16Linear,
    "int8": Int8Linear,
}


def filled_up(rows: Tensor) -> Tensor:
    """Append rows of zeros to `rows` [R, *] up to a multiple of ROW_MULTIPLE."""
    missing = -len(rows) % ROW_MULTIPLE
    return nn.functional.pad(rows, (0, 0, 0, missing)) if missing else rows.contiguous()


def _packed(weight: Tensor) -> Tensor:
    packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), 2 * ROW_MULTIPLE)
    return packed


def _linear(rows: Tensor, packed: Tensor, bias: Tensor | None) -> Tensor:
    products: Tensor = torch.ops.mkldnn._linear_pointwise(rows, packed, bias, "none", [], "")
    return products


def quantised(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Round a weight [O, I] to 8 bits: the integers, [O, I], and the scale that makes weights of them, [O]."""
    weight = weight.detach().float()
    scales = weight.abs().amax(dim=1).clamp_(min=1e-12).div_(_INT8_LIMIT)
    return (weight / scales[:, None]).round_().to(torch.int8), scales
