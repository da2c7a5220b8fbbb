"""Prepacked matrix products, for inference on a CPU: oneDNN lays their weights out once.

What they promise: a row of the result depends on that row of the input alone, to the last bit, whatever the number of
rows and wherever among them it stands. How this comes about is docs/decisions/0010.
"""

from typing import Final

import torch
from torch import Tensor, nn

from nmt.models.devices import SearchPrecision
from nmt.models.kernels import ZERO_POINT, prepacked_int8_product, prepacked_product

ROW_MULTIPLE: Final = 32
"""Rows are filled up to a multiple of this: below it, libraries choose kernels that sum in another order."""

ROWS_AT_ONCE: Final = 1024
"""More rows are multiplied in parts. For each number of rows oneDNN generates code anew and keeps it, a quarter to a
half MiB in the midst of what others have freed: so there are only 32 numbers."""

_INT8_LIMIT: Final = 127


class PrepackedLinear(nn.Module):
    """y = x W^T + b over the last dimension of x, in float32 in and out; subclasses multiply."""

    def __init__(self, weight: Tensor, bias: Tensor | None, *, bounded: bool = False) -> None:
        """Prepack a weight [O, I] and a bias [O].

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


class Fp32Linear(PrepackedLinear):
    """In float32 throughout."""

    def __init__(self, weight: Tensor, bias: Tensor | None, *, bounded: bool = False) -> None:
        super().__init__(weight, bias, bounded=bounded)
        self._product = prepacked_product(weight.detach().float(), self.bias)

    def multiply(self, rows: Tensor) -> Tensor:
        """Multiply rows [R, I], filled up: [R', O]."""
        return self._product(filled_up(rows))


class Bf16Linear(PrepackedLinear):
    """bfloat16 factors and results, float32 sums."""

    def __init__(self, weight: Tensor, bias: Tensor | None, *, bounded: bool = False) -> None:
        super().__init__(weight, bias, bounded=bounded)
        self._product = prepacked_product(weight.detach().bfloat16())

    def multiply(self, rows: Tensor) -> Tensor:
        """Multiply rows [R, I], filled up: [R', O]."""
        products = self._product(filled_up(rows.bfloat16())).float()
        return products if self.bias is None else products.add_(self.bias)


class Int8Linear(PrepackedLinear):
    """Weights in 8 bits with a scale for each output, inputs in 8 bits with a scale for each row, exact integer sums.

    The scales are those that reach the largest value of their row, symmetric around zero (Wu et al., 2020,
    sec. 3.1). A row's scale is found when it comes, so it depends on no other row and on no calibration; rows of
    bounded values all have the scale 1 / 127.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, *, bounded: bool = False) -> None:
        super().__init__(weight, bias, bounded=bounded)
        self._product = prepacked_int8_product(*quantised(weight))

    def multiply(self, rows: Tensor) -> Tensor:
        """Multiply rows [R, I], filled up: [R', O]."""
        if self.bounded:
            return self._product(_bytes(rows * _INT8_LIMIT), 1 / _INT8_LIMIT, self.bias)
        scales = rows.abs().amax(dim=1, keepdim=True).clamp_(min=1e-12).div_(_INT8_LIMIT)  # [R, 1]
        products = self._product(_bytes(rows / scales), 1.0, None)
        products[: len(rows)].mul_(scales)
        return products if self.bias is None else products.add_(self.bias)


def _bytes(rows: Tensor) -> Tensor:
    """Round `rows` to integers in unsigned bytes, and fill them up."""
    # to signed bytes and from there to unsigned ones: ten times as fast as the direct way
    return filled_up(rows.round_().to(torch.int8).view(torch.uint8).bitwise_xor_(ZERO_POINT))


LINEAR: Final[dict[SearchPrecision, type[Fp32Linear] | type[Bf16Linear] | type[Int8Linear]]] = {
    "fp32": Fp32Linear,
    "bf16": Bf16Linear,
    "int8": Int8Linear,
}


def filled_up(rows: Tensor) -> Tensor:
    """Append rows of zeros to `rows` [R, *] up to a multiple of ROW_MULTIPLE."""
    missing = -len(rows) % ROW_MULTIPLE
    return nn.functional.pad(rows, (0, 0, 0, missing)) if missing else rows.contiguous()


def quantised(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Round a weight [O, I] to 8 bits: the integers, [O, I], and the scale that makes weights of them, [O]."""
    weight = weight.detach().float()
    scales = weight.abs().amax(dim=1).clamp_(min=1e-12).div_(_INT8_LIMIT)
    return (weight / scales[:, None]).round_().to(torch.int8), scales
