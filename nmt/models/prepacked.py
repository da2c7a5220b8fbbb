"""Linear layers for inference on a CPU, their weights laid out once, in the precisions of search."""

from collections.abc import Callable
from typing import Final, Literal

import torch
from torch import Tensor, nn

from nmt.models.kernels import (
    INT8_LIMIT,
    ROW_MULTIPLE,
    ZERO_POINT,
    few_rows_int8_product,
    filled_up,
    prepacked_int8_product,
    prepacked_product,
    weight_limit,
)

SearchPrecision = Literal["fp32", "bf16", "int8"]

SEARCH_ROW_MULTIPLE: Final = 16
"""To a multiple of this rows are filled up for prepacked products."""

FEW_ROWS_MULTIPLE: Final = 8
"""To a multiple of this they are if there are fewer than ROW_MULTIPLE; of still fewer libraries may choose kernels that
sum in another order."""

ROWS_AT_ONCE: Final = 1024
"""More rows are multiplied in parts. For each number of rows oneDNN generates code anew and keeps it, a quarter to a
half MiB in the midst of what others have freed: so there are only 66 numbers."""

FEW_PRODUCTS: Final = 64
"""8-bit products of fewer than SEARCH_ROW_MULTIPLE rows after which weights are laid out for such ones too, which takes
as long as some hundred of them, and memory."""


class PrepackedLinear(nn.Module):
    """y = x W^T + b over the last dimension of x, in float32 in and out; subclasses multiply.

    A row of the result depends on that row of the input alone, to the last bit, whatever the number of rows and
    wherever among them it stands (docs/decisions/0010).
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, *, bounded: bool = False) -> None:
        """Copy a weight [O, I] and a bias [O]; `bounded`: every x lies in [-1, 1]."""
        super().__init__()
        self.out_features, self.in_features = weight.shape
        self.bounded = bounded
        self.bias = None if bias is None else bias.detach().float().clone()

    def forward(self, x: Tensor) -> Tensor:
        """Multiply x [..., I]: [..., O] float32."""
        rows = x.reshape(-1, self.in_features)
        count = rows.shape[0]  # len() takes as long as a small product's scaling
        if count <= ROWS_AT_ONCE:
            products = self.multiply(rows)
            products = products if products.shape[0] == count else products[:count]
        else:
            products = rows.new_empty(count, self.out_features)
            for some, place in zip(torch.split(rows, ROWS_AT_ONCE), torch.split(products, ROWS_AT_ONCE), strict=True):
                place.copy_(self.multiply(some)[: len(some)])
        return products if x.dim() == 2 else products.view(*x.shape[:-1], self.out_features)

    def multiply(self, rows: Tensor) -> Tensor:
        """Multiply rows [R, I], filled up: [R', O]."""
        raise NotImplementedError


class _Fp32Linear(PrepackedLinear):
    """In float32 throughout."""

    def __init__(self, weight: Tensor, bias: Tensor | None, *, bounded: bool = False) -> None:
        super().__init__(weight, bias, bounded=bounded)
        self._product = prepacked_product(weight.detach().float(), self.bias)

    def multiply(self, rows: Tensor) -> Tensor:
        return self._product(_for_product(rows))


class _Bf16Linear(PrepackedLinear):
    """bfloat16 factors and results, float32 sums."""

    def __init__(self, weight: Tensor, bias: Tensor | None, *, bounded: bool = False) -> None:
        super().__init__(weight, bias, bounded=bounded)
        self._product = prepacked_product(weight.detach().bfloat16())

    def multiply(self, rows: Tensor) -> Tensor:
        products = self._product(_for_product(rows.bfloat16())).float()
        return products if self.bias is None else products.add_(self.bias)


class _Int8Linear(PrepackedLinear):
    """Weights in as many bits as `weight_limit` leaves, with a scale for each output, inputs in 8 bits with a scale for
    each row, exact integer sums.

    The scales are those that reach the largest value of their row, symmetric around zero (Wu et al., 2020,
    sec. 3.1). A row's scale is found when it comes, so it depends on no other row and on no calibration; rows of
    bounded values all have the scale 1 / 127.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, *, bounded: bool = False) -> None:
        super().__init__(weight, bias, bounded=bounded)
        whole, scales = quantised(weight)
        self._weight = whole, scales * (1 / INT8_LIMIT) if bounded else scales
        """With the scale of all rows, if it is known beforehand."""
        self._product = prepacked_int8_product(*self._weight)
        self._last = self.bias if bounded else None
        """The bias, where it is a part of the product."""
        self._few: Callable[[Tensor], Tensor] | None = None
        self._asked = 0

    def multiply(self, rows: Tensor) -> Tensor:
        if self.bounded:
            return self._sums((rows * INT8_LIMIT).round_())
        scales = rows.abs().amax(dim=1, keepdim=True).clamp_(min=1e-12).div_(INT8_LIMIT)  # [R, 1]
        products = self._sums((rows / scales).round_())
        products[: len(rows)].mul_(scales)
        return products if self.bias is None else products.add_(self.bias)

    def _sums(self, rows: Tensor) -> Tensor:
        """Multiply whole numbers [R, I], filled up: [R', O]."""
        if rows.shape[0] < SEARCH_ROW_MULTIPLE:
            if self._few:
                return self._few(rows)
            self._asked += 1
            if self._asked == FEW_PRODUCTS and self.out_features >= ROW_MULTIPLE:  # so many tell how they round
                self._few = self._for_few()
        return self._product(_bytes(rows), self._last)

    def _for_few(self) -> Callable[[Tensor], Tensor] | None:
        """Lay out the weights for few rows, if products of the worst ones and of others have the same bits then."""
        count = SEARCH_ROW_MULTIPLE - 1
        rows = torch.arange(1.0, count * self.in_features + 1).mul_(INT8_LIMIT).remainder_(2 * INT8_LIMIT + 1)
        rows = rows.sub_(INT8_LIMIT).view(count, -1)
        rows[0] = INT8_LIMIT
        few = few_rows_int8_product(*self._weight, self._last)
        if few is None or not torch.equal(few(rows), self._product(_bytes(rows), self._last)[:count]):
            return None
        return few


LINEAR: Final[dict[SearchPrecision, type[PrepackedLinear]]] = {
    "fp32": _Fp32Linear,
    "bf16": _Bf16Linear,
    "int8": _Int8Linear,
}
"""The layer of each search precision."""


def _bytes(rows: Tensor) -> Tensor:
    """Turn whole numbers into unsigned bytes, and fill them up."""
    # to signed bytes and from there to unsigned ones: ten times as fast as the direct way
    return _for_product(rows.to(torch.int8).view(torch.uint8).bitwise_xor_(ZERO_POINT))


def _for_product(rows: Tensor) -> Tensor:
    """Fill up `rows` [R, I] to a number for which products sum in the order in which they sum for all."""
    return filled_up(rows, FEW_ROWS_MULTIPLE if len(rows) < ROW_MULTIPLE else SEARCH_ROW_MULTIPLE)


def quantised(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Round a weight [O, I] to 8 bits: the integers, [O, I], and the scale that makes weights of them, [O]."""
    weight = weight.detach().float()
    scales = weight.abs().amax(dim=1).clamp_(min=1e-12).div_(weight_limit())
    return (weight / scales[:, None]).round_().to(torch.int8), scales
