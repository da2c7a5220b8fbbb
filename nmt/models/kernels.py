"""Every private or undocumented call into torch, each with a way round it in plain torch for where it is missing; those
of recurrent layers are in fused_layers.py.

A new torch may change any of them without a word. tests/nmt/models/test_kernels.py names them all, and holds what each
has to give.
"""

import threading
import warnings
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, Final, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Moments = tuple[Tensor, Tensor]
"""Means and inverse standard deviations of rows."""

ZERO_POINT: Final = 128
"""What stands for zero in the unsigned bytes of 8-bit products."""

INT8_LIMIT: Final = 127
"""What the largest input becomes in 8 bits."""

WEIGHT_LIMITS: Final[dict[Literal["vnni", "avx2"], int]] = {"vnni": 127, "avx2": 64}
"""What the largest weight becomes in 8 bits, so that sums are exact: VNNI adds products in 32 bits, AVX2 two of them in
16 first, which hold 2 x 255 x 64 (docs/decisions/0021)."""

_ENGINE: Final = threading.Lock()  # held by who changes torch's engine of 8-bit products, that of all threads

ROW_MULTIPLE: Final = 32
"""Rows are filled up to a multiple of this, so that there are few numbers of them, and whole vectors of their cells."""


def find(name: str) -> Callable[..., Any] | None:
    """Return a call by its dotted name below `torch`; None: this torch has none of that name."""
    try:
        return attrgetter(name)(torch)  # type: ignore[no-any-return]
    except AttributeError:
        return None


def prepacked_product(weight: Tensor, bias: Tensor | None = None) -> Callable[[Tensor], Tensor]:
    """Return what multiplies rows [R, I] by W^T, W [O, I], and adds a bias [O], without gradients: [R, O].

    On a CPU with oneDNN the weight is laid out once for all calls.
    """
    lay_out, multiply = find("ops.mkldnn._reorder_linear_weight"), _onednn_product_for(weight)
    if lay_out is None or multiply is None:
        kept = weight.clone()
        return lambda rows: functional.linear(rows, kept, bias)
    laid_out = lay_out(weight.contiguous(), 64)  # rows that the layout is best for
    return lambda rows: multiply(rows, laid_out, bias, "none", [], "")


def product(rows: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Multiply rows [N, I] by W^T, W [O, I], and add a bias [O], without gradients: [N, O].

    fp32 on a CPU goes to oneDNN, which on AMD's processors takes half the time of torch's BLAS. Rows are filled up:
    for each number of them oneDNN generates code anew and keeps it, a quarter to a half MiB.
    """
    filled = filled_up(rows)
    if bias is not None and rows.device.type == "cuda":  # which adds it while it multiplies
        return torch.addmm(bias, filled, weight.t())[: len(rows)]
    multiply = _onednn_product_for(weight) if rows.dtype == torch.float32 else None
    products = filled @ weight.t() if multiply is None else multiply(filled, weight, None, "none", [], "")
    return products[: len(rows)] if bias is None else products[: len(rows)].add_(bias)


def outer_product(left: Tensor, right: Tensor) -> Tensor:
    """Sum the outer products of rows [N, A] and [N, B], without gradients: [A, B], A the larger; on a GPU unrounded."""
    left, right = filled_up(left), filled_up(right)
    wide = find("ops.aten.mm.dtype") if left.device.type == "cuda" and left.dtype.itemsize < 4 else None
    if wide is not None:
        return wide(left.t(), right, torch.float32)  # type: ignore[no-any-return]
    # the fast way round
    multiply = _onednn_product_for(right) if left.dtype == torch.float32 and len(left) else None
    return left.t() @ right if multiply is None else multiply(right.t(), left.t(), None, "none", [], "").t()


class Linear(nn.Linear):
    """torch's layer, its products in training computed as `linear` does."""

    def forward(self, x: Tensor) -> Tensor:
        """Multiply x [..., I] and add the bias: [..., O]."""
        return linear(x, self.weight, self.bias)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Compute x W^T + b, x [..., I], W [O, I], b [O], as torch does: [..., O].

    On a CPU, rows are filled up and fp32 goes to oneDNN, as in `product`.
    """
    if x.device.type != "cpu":
        return functional.linear(x, weight, bias)
    rows = filled_up(x.reshape(-1, x.shape[-1]))
    in_fp32 = x.dtype == weight.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
    products: Tensor = (_Linear.apply if in_fp32 else functional.linear)(rows, weight, bias)
    return products[: x.shape[:-1].numel()].view(*x.shape[:-1], len(weight))


def batched_product(left: Tensor, right: Tensor) -> Tensor:
    """Multiply matrices [B, M, K] and [B, K, N] row by row: [B, M, N]; on a CPU in fp32 at least, as bf16 would be
    oneDNN's, which generates code for each shape of a batch, and never lets go of it."""
    if left.device.type != "cpu":
        return left @ right
    left, right = widened(left), widened(right)
    if not torch.is_autocast_enabled("cpu"):
        return torch.bmm(left, right)
    with without_autocast(left):
        return torch.bmm(left, right)


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(rows, weight)
        return product(rows, weight, bias)

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        (rows, weight), grad = ctx.saved_tensors, outer[0].contiguous()
        needs_rows, needs_weight, needs_bias = ctx.needs_input_grad
        return (
            product(grad, weight.t()) if needs_rows else None,
            outer_product(grad, rows) if needs_weight else None,
            grad.sum(dim=0) if needs_bias else None,
        )


def _onednn_product_for(weight: Tensor) -> Callable[..., Tensor] | None:
    """Return oneDNN's product with a weight; None where it has none for this type on this machine."""
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return None
    supported = find("ops.mkldnn._is_mkldnn_bf16_supported")
    has_type = bool(supported and supported()) if weight.dtype == torch.bfloat16 else weight.dtype == torch.float32
    return find("ops.mkldnn._linear_pointwise") if has_type else None


def prepacked_int8_product(weight: Tensor, scales: Tensor) -> Callable[[Tensor, Tensor | None], Tensor]:
    """Return what multiplies rows of unsigned bytes by a weight of signed ones [O, I], at most `weight_limit`, whose
    sums are exact.

    It takes rows [R, I], in which ZERO_POINT stands for zero, and a bias [O], and gives float32 [R, O]: the exact sums
    times the scales, [O], plus the bias. oneDNN could be given a scale of the rows too, but multiplies the sums by
    both one after the other or by their product, as the size of the result has it, which rounds otherwise.
    """
    lay_out, multiply = find("ops.onednn.qlinear_prepack"), find("ops.onednn.qlinear_pointwise")
    if lay_out is None or multiply is None:
        columns = weight.double().t()

        def plain(rows: Tensor, bias: Tensor | None) -> Tensor:
            products = (((rows.double() - ZERO_POINT) @ columns) * scales).float()
            return products if bias is None else products.add_(bias)

        return plain
    scaled = (lay_out(weight, None), scales, torch.zeros(len(weight), dtype=torch.int32))
    return lambda rows, bias: multiply(rows, 1.0, ZERO_POINT, *scaled, bias, 1.0, 0, torch.float32, "none", [], "")


def few_rows_int8_product(weight: Tensor, scales: Tensor, bias: Tensor | None) -> Callable[[Tensor], Tensor] | None:
    """Return what gives for few rows what `prepacked_int8_product` gives, in half the time: fbgemm's product. It takes
    whole numbers from -127 to 127 in float32, [R, I]; None: it is missing.

    Sums are exact, but are rounded when they are scaled: whoever mixes the two has to see that they agree.
    """
    quantised, lay_out = find("_make_per_channel_quantized_tensor"), find("ops.quantized.linear_prepack")
    multiply = find("ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32.default")
    engines = torch.backends.quantized
    if quantised is None or lay_out is None or multiply is None or "fbgemm" not in engines.supported_engines:
        return None
    with _ENGINE, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # such tensors are to be removed
        engine, engines.engine = engines.engine, "fbgemm"
        try:
            laid_out = lay_out(quantised(weight, scales.double(), torch.zeros(len(weight), dtype=torch.int64), 0), None)
        finally:
            engines.engine = engine

    def product(rows: Tensor) -> Tensor:
        products: Tensor = multiply(rows, 1.0, ZERO_POINT, laid_out)
        return products if bias is None else products.add_(bias)

    return product


def int8_product(weight: Tensor) -> Callable[[Tensor], Tensor]:
    """Return what multiplies rows of signed bytes [R, I] by W^T, W [O, I] of those that are at most `weight_limit`: the
    exact sums, [R, O].

    Torch's own is a plain loop without VNNI, thirty times as slow as a product of floats, which hold the sums as well.
    """
    multiply = find("_int_mm") if int8_instructions() == "vnni" else None
    if multiply is not None:
        return lambda rows: multiply(rows, weight.t())
    exact = torch.float32 if weight.shape[1] * INT8_LIMIT * weight_limit() <= 2**24 else torch.float64
    columns = weight.to(exact).t()
    return lambda rows: rows.to(exact) @ columns


def normalised(x: Tensor, gain: Tensor | None, bias: Tensor | None, *, epsilon: float) -> tuple[Tensor, Moments]:
    """Normalise x [*, H] row by row; return it and the moments of the rows, which `through_norm` asks for."""
    norm, shape = find("native_layer_norm"), x.shape[-1:]
    if norm is not None:
        normal, mean, inverse = norm(x, shape, gain, bias, epsilon)
    else:
        mean = x.mean(-1, keepdim=True)
        inverse = (x.var(-1, correction=0, keepdim=True) + epsilon).rsqrt()
        normal = functional.layer_norm(x, shape, gain, bias, epsilon)
    return normal, (mean, inverse)


def through_norm(d_normal: Tensor, x: Tensor, moments: Moments, gain: Tensor | None, bias: Tensor | None) -> Tensor:
    """Turn what the loss says of the normalised `x` into what it says of `x`."""
    back = find("ops.aten.native_layer_norm_backward")
    if back is not None:
        d_x: Tensor = back(d_normal, x, x.shape[-1:], *moments, gain, bias, [True, False, False])[0]
        return d_x
    mean, inverse = moments
    normal, d = (x - mean) * inverse, d_normal if gain is None else d_normal * gain
    return inverse * (d - d.mean(-1, keepdim=True) - normal * (d * normal).mean(-1, keepdim=True))


def move_towards(moving: Sequence[Tensor], targets: Sequence[Tensor], share: float) -> None:
    """Move each tensor by a share of the way to its target, in place."""
    move = find("_foreach_lerp_")
    if move is not None:
        move(moving, targets, share)
        return
    for tensor, target in zip(moving, targets, strict=True):
        tensor.lerp_(target, share)


def cpu_has(precision: Literal["bf16", "int8"]) -> bool:
    """Whether the processor multiplies bf16 natively, or 8-bit integers fast, as far as torch is allowed to use it
    (ATEN_CPU_CAPABILITY)."""
    if precision == "int8":
        return int8_instructions() is not None
    return _can_use("avx512_bf16") or _can_use("amx_tile")


def int8_instructions() -> Literal["vnni", "avx2"] | None:
    """Return what the processor multiplies 8-bit integers with; None: nothing that is known to be fast and exact."""
    return next((instructions for instructions in WEIGHT_LIMITS if _can_use(instructions)), None)


def weight_limit() -> int:
    """Return what the largest weight becomes in 8 bits on this processor."""
    return WEIGHT_LIMITS[int8_instructions() or "avx2"]


def _can_use(feature: str) -> bool:
    capability, has = find("backends.cpu.get_cpu_capability"), find(f"cpu._is_{feature}_supported")
    allowed = "AVX" if feature == "avx2" else "AVX512"
    return bool(capability and capability().startswith(allowed) and has and has())


def without_autocast(x: Tensor) -> torch.autocast:
    """Return the context in which products on the device of `x` keep the types they are given."""
    return torch.autocast(x.device.type, enabled=False)


def widened(x: Tensor) -> Tensor:
    """Return `x` in the type in which gates and memory are computed: float32, or float64 as it is."""
    return x if x.dtype == torch.float64 else x.float()


def fast_tanh(x: Tensor) -> Tensor:
    """Return tanh(x), four times as fast as the library's and as exact as an absolute error of 1e-7 asks."""
    return doubled_less_one((2 * x).sigmoid_())


def doubled_less_one(x: Tensor) -> Tensor:
    """Return 2 x - 1, in one call."""
    return torch.rsub(x, -1.0, alpha=-2.0)


def filled_up(rows: Tensor, multiple: int = ROW_MULTIPLE) -> Tensor:
    """Append rows of zeros to `rows` [R, *] up to a multiple of so many."""
    missing = -len(rows) % multiple
    return functional.pad(rows, (0, 0, 0, missing)) if missing else rows.contiguous()
