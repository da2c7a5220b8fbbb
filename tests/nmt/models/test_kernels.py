"""What private and undocumented calls into torch have to give: a failure here names the one that a new torch broke.

Each is held against arithmetic in plain torch, once as this torch has it and once as where it is missing.
"""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from nmt.models import kernels
from nmt.models.kernels import widened

CALLS = [
    "ops.mkldnn._reorder_linear_weight",
    "ops.mkldnn._linear_pointwise",
    "ops.mkldnn._is_mkldnn_bf16_supported",
    "ops.onednn.qlinear_prepack",
    "ops.onednn.qlinear_pointwise",
    "_int_mm",
    "_make_per_channel_quantized_tensor",
    "ops.quantized.linear_prepack",
    "ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32.default",
    "lstm",
    "gru",
    "rnn_tanh",
    "rnn_relu",
    "lstm_cell",
    "gru_cell",
    "rnn_tanh_cell",
    "rnn_relu_cell",
    "native_layer_norm",
    "ops.aten.native_layer_norm_backward",
    "_foreach_lerp_",
    "_foreach_copy_",
    "autograd.graph.set_warn_on_accumulate_grad_stream_mismatch",
    "cpu._is_avx512_bf16_supported",
    "cpu._is_amx_tile_supported",
    "cpu._is_vnni_supported",
    "cpu._is_avx2_supported",
    "backends.cpu.get_cpu_capability",
]
TYPES = pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-4), (torch.bfloat16, 0.1)]
)


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", CALLS)
def test_this_torch_has_the_call(name: str) -> None:
    assert callable(kernels.find(name)), f"this torch has no torch.{name}: see nmt/models/kernels.py"


def test_a_call_that_this_torch_lacks_is_not_found() -> None:
    assert kernels.find("ops.mkldnn.no_such_call") is None
    assert kernels.find("no.such_call") is None


@pytest.mark.usefixtures("calls")
@TYPES
@pytest.mark.parametrize("rows", [1, 7, 64, 100])
def test_products_are_those_of_a_linear_layer(rows: int, dtype: torch.dtype, tolerance: float) -> None:
    weight, bias = drawn(24, 10).to(dtype), drawn(24, seed=1).to(dtype)
    for matrix in (weight, weight.t()):
        x = drawn(rows, matrix.shape[1], seed=2).to(dtype)
        added = bias if len(matrix) == 24 else None
        for found, expected in (
            (kernels.prepacked_product(matrix)(x), x @ matrix.t()),
            (kernels.prepacked_product(matrix, added)(x), functional.linear(x, matrix, added)),
            (kernels.product(x, matrix), x @ matrix.t()),
            (kernels.product(x, matrix, added), functional.linear(x, matrix, added)),
        ):
            assert found.dtype == dtype
            torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.usefixtures("calls")
@TYPES
@pytest.mark.parametrize("rows", [0, 1, 100])
def test_outer_products_are_summed_over_the_rows(rows: int, dtype: torch.dtype, tolerance: float) -> None:
    left, right = drawn(rows, 24).to(dtype), drawn(rows, 10, seed=1).to(dtype)
    found = kernels.outer_product(left, right)
    assert found.dtype == dtype
    expected = (left.double()[:, :, None] * right.double()[:, None, :]).sum(dim=0).to(dtype)
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.usefixtures("calls")
@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("rows", [0, 1, 100])
def test_a_trained_layer_is_torch_s_layer_with_its_gradients(rows: int, bias: bool, autocast: bool) -> None:
    found, expected = [], []
    for layer, values in ((kernels.Linear(10, 24, bias=bias), found), (nn.Linear(10, 24, bias=bias), expected)):
        with torch.no_grad():
            for seed, parameter in enumerate(layer.parameters()):
                parameter.copy_(drawn(*parameter.shape, seed=seed))
        x = drawn(rows, 3, 10, seed=2).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            y = layer(x)
        y.backward(drawn(rows, 24, 3, seed=3).transpose(1, 2).to(y.dtype))
        values += [y, x.grad, *(parameter.grad for parameter in layer.parameters())]
    for value, other in zip(found, expected, strict=True):
        assert value.dtype == other.dtype
        torch.testing.assert_close(value, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_products_of_batches_are_in_fp32_at_least(dtype: torch.dtype) -> None:
    left, right = drawn(2, 3, 5).to(dtype), drawn(2, 5, 4, seed=1).to(dtype)
    expected = left.double() @ right.double()
    with torch.autocast("cpu", torch.bfloat16):
        found = kernels.batched_product(left, right)
    assert found.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    torch.testing.assert_close(found, expected.to(found.dtype))


@pytest.mark.usefixtures("calls")
def test_a_prepacked_weight_is_a_copy() -> None:
    weight, x = drawn(24, 10), drawn(7, 10, seed=1)
    multiply = kernels.prepacked_product(weight)
    expected = multiply(x).clone()
    weight.zero_()
    assert torch.equal(multiply(x), expected)


def test_a_machine_without_onednn_multiplies_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    weight, x, rows = drawn(24, 10), drawn(7, 10, seed=1), drawn(7, 24, seed=2)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    torch.testing.assert_close(kernels.prepacked_product(weight)(x), x @ weight.t())
    torch.testing.assert_close(kernels.product(x, weight), x @ weight.t())
    torch.testing.assert_close(kernels.outer_product(rows, x), rows.t() @ x)


@pytest.mark.needs("int8")
@pytest.mark.usefixtures("calls")
@pytest.mark.parametrize("inputs", [1, 65, 1000])
def test_8_bit_products_are_exact_sums_times_their_scales(inputs: int, weight_limit: int) -> None:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randint(0, 256, (32, inputs), dtype=torch.uint8, generator=generator)
    weight = torch.randint(-weight_limit, weight_limit + 1, (24, inputs), dtype=torch.int8, generator=generator)
    rows[0], weight[0], rows[1], weight[1] = 255, weight_limit, 0, -weight_limit  # the worst
    scales, bias = 2.0 ** torch.arange(-12, 12), drawn(24)
    sums = (rows.long() - 128) @ weight.long().t()
    multiply = kernels.prepacked_int8_product(weight, scales)
    assert torch.equal(multiply(rows, None), (sums * scales.double()).float())
    assert torch.equal(multiply(rows, bias), (sums * scales.double()).float() + bias)


@pytest.mark.needs("int8")
def test_8_bit_products_of_few_rows_are_exact_sums_times_their_scales(weight_limit: int) -> None:
    rows, weight = torch.randint(-127, 128, (3, 65)), torch.randint(-weight_limit, weight_limit + 1, (24, 65))
    rows[0], weight[0], weight[1] = 127, weight_limit, -weight_limit  # the worst
    engine, scales, bias = torch.backends.quantized.engine, 2.0 ** torch.arange(-12, 12), drawn(24)
    multiply = kernels.few_rows_int8_product(weight.to(torch.int8), scales, bias)
    assert torch.backends.quantized.engine == engine
    if multiply is not None:  # some of this torch have no fbgemm
        assert torch.equal(multiply(rows.float()), (rows @ weight.t()).float() * scales + bias)


def test_threads_change_the_engine_of_8_bit_products_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    before, both = torch.backends.quantized.engine, threading.Barrier(2)
    if "fbgemm" not in torch.backends.quantized.supported_engines:
        pytest.skip("this torch has no fbgemm")

    def lay_out(*weight: object) -> None:
        with suppress(threading.BrokenBarrierError):
            both.wait(0.2)  # nobody else comes here meanwhile

    monkeypatch.setattr(kernels, "find", lambda name: lay_out if name.endswith("prepack") else lambda *_: None)
    weight = torch.ones(2, 3, dtype=torch.int8)
    with ThreadPoolExecutor(2) as threads:
        for _ in range(2):
            threads.submit(kernels.few_rows_int8_product, weight, torch.ones(2), None)
    assert both.broken
    assert torch.backends.quantized.engine == before


def test_without_fbgemm_few_rows_have_no_product_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "find", lambda name: None)
    weight = torch.ones(2, 3, dtype=torch.int8)
    assert kernels.few_rows_int8_product(weight, torch.ones(2), None) is None


@pytest.mark.needs("int8")
@pytest.mark.usefixtures("calls")
@pytest.mark.parametrize("inputs", [64, 3000])
def test_products_of_signed_bytes_are_exact(inputs: int, weight_limit: int) -> None:
    generator = torch.Generator().manual_seed(0)
    rows, weight = (
        torch.randint(-limit, limit + 1, (32, inputs), dtype=torch.int8, generator=generator)
        for limit in (127, weight_limit)
    )
    rows[0], weight[0], rows[1], weight[1] = 127, weight_limit, -127, -weight_limit  # the worst
    weight[0, 0] -= 1  # a sum that is odd
    found = kernels.int8_product(weight)(rows)
    assert torch.equal(found.long(), rows.long() @ weight.long().t())


def test_without_vnni_products_of_signed_bytes_leave_torch_s_own_loop_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[str]()
    monkeypatch.setattr(kernels, "int8_instructions", lambda: "avx2")
    monkeypatch.setattr(kernels, "find", asked.append)
    kernels.int8_product(torch.ones(2, 3, dtype=torch.int8))
    assert asked == []


@pytest.mark.usefixtures("calls")
@pytest.mark.parametrize("scaled", [True, False])
def test_normalisation_and_its_gradient_are_those_of_the_library(scaled: bool) -> None:
    x, d_normal = drawn(3, 2, 8).requires_grad_(), drawn(3, 2, 8, seed=1)
    gain, bias = (drawn(8, seed=2), drawn(8, seed=3)) if scaled else (None, None)
    expected = functional.layer_norm(x, (8,), gain, bias, 1e-5)
    (gradient,) = torch.autograd.grad(expected, x, d_normal)
    normal, moments = kernels.normalised(x.detach(), gain, bias, epsilon=1e-5)
    torch.testing.assert_close(normal, expected.detach())
    torch.testing.assert_close(kernels.through_norm(d_normal, x.detach(), moments, gain, bias), gradient)


@pytest.mark.usefixtures("calls")
def test_tensors_move_by_a_share_of_the_way() -> None:
    moving, targets = [torch.tensor([0.0, 4.0]), torch.tensor([8.0])], [torch.tensor([4.0, 0.0]), torch.tensor([0.0])]
    kernels.move_towards(moving, targets, 0.25)
    assert [tensor.tolist() for tensor in moving] == [[1.0, 3.0], [6.0]]


@pytest.mark.usefixtures("calls")
def test_what_a_processor_has_is_known_or_taken_for_missing() -> None:
    assert {kernels.cpu_has("bf16"), kernels.cpu_has("int8")} <= {True, False}


@pytest.mark.parametrize(
    ("capability", "vnni", "expected"),
    [
        ("AVX512", True, 127),
        ("AVX512", False, 64),
        ("AVX2", True, 64),
        ("DEFAULT", True, None),
        ("SVE256", False, None),
    ],
)
def test_weights_have_the_bits_that_the_processor_adds_up_exactly(
    capability: str, vnni: bool, expected: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: vnni)
    monkeypatch.setattr(torch.cpu, "_is_avx2_supported", lambda: not capability.startswith("SVE"))
    assert kernels.cpu_has("int8") == (expected is not None)
    assert kernels.weight_limit() == (expected or 64)


def test_float64_is_kept_and_less_becomes_float32() -> None:
    assert widened(torch.ones(1, dtype=torch.float64)).dtype == torch.float64
    assert widened(torch.ones(1, dtype=torch.bfloat16)).dtype == torch.float32
