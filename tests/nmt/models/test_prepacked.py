import pytest
import torch
from torch import Tensor
from torch.nn import functional

from nmt.models import prepacked
from nmt.models.kernels import few_rows_int8_product, filled_up, weight_limit
from nmt.models.prepacked import (
    FEW_PRODUCTS,
    LINEAR,
    ROWS_AT_ONCE,
    SEARCH_ROW_MULTIPLE,
    PrepackedLinear,
    SearchPrecision,
    quantised,
)

pytestmark = pytest.mark.usefixtures("without_gradients")
INT8 = pytest.mark.needs("int8")
SIZES = [(1, 5), (7, 1), (24, 32), (24, 53), (33, 96), (64, 256), (300, 77), (512, 40)]


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def layer_of(precision: SearchPrecision, inputs: int, outputs: int, *, bounded: bool = False) -> PrepackedLinear:
    return LINEAR[precision](drawn(outputs, inputs, seed=1), drawn(outputs, seed=2), bounded=bounded)


def error_bound(precision: SearchPrecision, x: Tensor, weight: Tensor, *, bounded: bool) -> Tensor:
    """Bound the error of every product of x [R, I] and weight [O, I]: [R, O] float64."""
    x, weight = x.double().abs(), weight.double().abs()
    sizes = x @ weight.T
    if precision == "fp32":
        return (x.shape[1] + 2) * 2.0**-24 * sizes  # a rounding a term, whatever the order
    if precision == "bf16":
        return 3.1 * 2.0**-8 * sizes  # both factors and the sum are rounded to 8 bits
    # each factor is off by half its scale
    scales = torch.full_like(x[:, :1], 1 / 127) if bounded else x.amax(dim=1, keepdim=True) / 127
    weight_scales = weight.amax(dim=1) / weight_limit()
    off = x.sum(dim=1, keepdim=True) * weight_scales / 2 + scales * weight.sum(dim=1) / 2
    return 1.0001 * (off + x.shape[1] * scales * weight_scales / 4) + 1e-6 * sizes


@pytest.mark.parametrize("bounded", [False, True])
@pytest.mark.parametrize(("inputs", "outputs"), SIZES)
def test_products_are_as_exact_as_their_precision_allows(
    inputs: int, outputs: int, precision: SearchPrecision, bounded: bool
) -> None:
    layer = layer_of(precision, inputs, outputs, bounded=bounded)
    x = torch.tanh(drawn(70, inputs)) if bounded else 3 * drawn(70, inputs)
    weight, bias = drawn(outputs, inputs, seed=1), drawn(outputs, seed=2)
    error = (layer(x).double() - functional.linear(x.double(), weight.double(), bias.double())).abs()
    assert (error <= error_bound(precision, x, weight, bounded=bounded) + 1e-6 * bias.abs()).all()


@pytest.mark.parametrize("bounded", [False, True])
@pytest.mark.parametrize(("inputs", "outputs"), SIZES)
def test_a_row_depends_on_no_other_row(inputs: int, outputs: int, precision: SearchPrecision, bounded: bool) -> None:
    layer, x = layer_of(precision, inputs, outputs, bounded=bounded), torch.tanh(drawn(200, inputs))
    if not bounded:
        x *= 10.0 ** torch.linspace(-3, 3, 200)[:, None]
    together = layer(x)
    for rows in range(1, 201):
        chosen = torch.randperm(200, generator=torch.Generator().manual_seed(rows))[:rows]
        assert torch.equal(layer(x[chosen]), together[chosen])


@INT8
@pytest.mark.parametrize("bounded", [False, True])
@pytest.mark.parametrize(("inputs", "outputs"), [*SIZES, (1000, 256)])
def test_few_rows_are_multiplied_in_another_way_once_there_were_many_such_products(
    inputs: int, outputs: int, bounded: bool, weight_limit: int
) -> None:
    layer, x = layer_of("int8", inputs, outputs, bounded=bounded), torch.tanh(3 * drawn(200, inputs))
    together = layer(x)
    for _ in range(FEW_PRODUCTS):
        layer(x[:1])
    multiply = few_rows_int8_product(*quantised(drawn(outputs, inputs, seed=1)), None)
    assert (layer._few is None) == (multiply is None or outputs < 32)  # some of this torch have no fbgemm
    for rows in range(1, SEARCH_ROW_MULTIPLE):
        chosen = torch.randperm(200, generator=torch.Generator().manual_seed(rows))[:rows]
        assert torch.equal(layer(x[chosen]), together[chosen])


@INT8
def test_few_rows_are_multiplied_as_before_where_another_way_would_round_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    layer, x = layer_of("int8", 24, 40), drawn(5, 24)
    monkeypatch.setattr(prepacked, "few_rows_int8_product", lambda *_: lambda rows: torch.full((len(rows), 40), 1e-7))
    before = layer(x)
    for _ in range(FEW_PRODUCTS):
        assert torch.equal(layer(x), before)
    assert layer._few is None


@pytest.mark.parametrize("bias", [False, True])
def test_many_rows_are_multiplied_in_parts_which_changes_none(
    precision: SearchPrecision, bias: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = LINEAR[precision](drawn(10, 24, seed=1), drawn(10, seed=2) if bias else None)
    x = drawn(2, ROWS_AT_ONCE + 50, 24)
    multiply, parts = layer.multiply, []

    def multiply_and_count(rows: Tensor) -> Tensor:
        parts.append(len(rows))
        return multiply(rows)

    monkeypatch.setattr(layer, "multiply", multiply_and_count)
    together = layer(x)
    assert parts == [ROWS_AT_ONCE, ROWS_AT_ONCE, 100]
    assert together.shape == (2, ROWS_AT_ONCE + 50, 10)
    assert torch.equal(together[1], torch.cat([layer(x[1, :7]), layer(x[1, 7:1000]), layer(x[1, 1000:])]))


def test_what_shape_the_rows_come_in_changes_nothing(precision: SearchPrecision) -> None:
    layer, x = layer_of(precision, 24, 10), drawn(3, 5, 24)
    found = layer(x)
    assert found.shape == (3, 5, 10)
    assert found.dtype == torch.float32
    assert torch.equal(found.flatten(0, 1), layer(x.flatten(0, 1)))
    strided = drawn(5, 3, 24).transpose(0, 1)
    assert torch.equal(layer(strided), layer(strided.contiguous()))
    assert torch.equal(layer(x[1, 2]), found[1, 2])


def test_the_input_and_the_weights_given_are_left_alone(precision: SearchPrecision) -> None:
    weight, bias, x = drawn(10, 24), drawn(10), drawn(32, 24)
    layer = LINEAR[precision](weight, bias)
    before, found = x.clone(), layer(x)
    assert torch.equal(x, before)
    weight.zero_()
    bias.zero_()
    assert torch.equal(layer(x), found)


@pytest.mark.parametrize("bounded", [False, True])
def test_nothing_times_anything_is_the_bias(precision: SearchPrecision, bounded: bool) -> None:
    layer = layer_of(precision, 24, 10, bounded=bounded)
    x = torch.cat([torch.zeros(1, 24), torch.tanh(drawn(1, 24))])
    assert torch.equal(layer(x)[0], layer.bias)
    empty = LINEAR[precision](torch.zeros(10, 24), drawn(10), bounded=bounded)
    assert torch.equal(empty(x), drawn(10).expand(2, 10))
    assert torch.equal(LINEAR[precision](torch.zeros(10, 24), None, bounded=bounded)(x), torch.zeros(2, 10))


def integers(rows: int, columns: int, limit: int, *, seed: int) -> Tensor:
    """Draw integers from -limit to limit, one of these two in every row, so that 8 bits hold them as they are."""
    drawn = torch.randint(-limit, limit + 1, (rows, columns), generator=torch.Generator().manual_seed(seed))
    drawn[:, 0] = torch.where(torch.arange(rows) % 2 == 0, limit, -limit)
    return drawn


@INT8
@pytest.mark.parametrize("inputs", [1, 3, 16, 65, 256, 1000])
def test_sums_of_8_bit_integers_are_exact(inputs: int, weight_limit: int) -> None:
    x, weight = integers(40, inputs, 127, seed=1), integers(70, inputs, weight_limit, seed=2)
    bias = integers(1, 70, 127, seed=3)[0]
    found = LINEAR["int8"](weight.float(), bias.float())(x.float())
    assert torch.equal(found.long(), x @ weight.T + bias)
    assert torch.equal(found, found.round())


@INT8
def test_the_worst_sums_of_8_bit_integers_do_not_overflow(weight_limit: int) -> None:
    weight = torch.full((32, 1000), float(weight_limit))
    weight[1::2] *= -1
    for sign in (1, -1):
        found = LINEAR["int8"](weight, None)(torch.full((1, 1000), sign * 127.0))
        assert found[0, :2].tolist() == [sign * 127.0 * weight_limit * 1000, -sign * 127.0 * weight_limit * 1000]


@INT8
def test_bounded_rows_share_one_scale_that_holds_one_as_it_is(weight_limit: int) -> None:
    weight = integers(8, 30, weight_limit, seed=2)
    layer = LINEAR["int8"](weight.float(), None, bounded=True)
    x = torch.randint(-127, 128, (5, 30), generator=torch.Generator().manual_seed(4))
    torch.testing.assert_close(layer(x / 127), (x @ weight.T).float() / 127, rtol=1e-6, atol=1e-4)
    assert layer(torch.full((1, 30), 0.003)).tolist() == [[0.0] * 8]  # less than half a step


@INT8
def test_rows_of_very_different_sizes_keep_their_own_scales() -> None:
    layer, x = LINEAR["int8"](drawn(16, 64, seed=1), None), drawn(2, 64)
    torch.testing.assert_close(layer(x * 1024), layer(x) * 1024, rtol=1e-6, atol=0)


def test_rows_are_filled_up_with_zeros() -> None:
    rows = filled_up(torch.ones(33, 2), 16)
    assert rows.sum(dim=1).tolist() == [2.0] * 33 + [0.0] * 15
    full = torch.ones(48, 2)
    assert filled_up(full, 16) is full


def test_few_rows_are_multiplied_with_few_others(precision: SearchPrecision, monkeypatch: pytest.MonkeyPatch) -> None:
    layer, counts = layer_of(precision, 24, 10), []
    monkeypatch.setattr(layer, "_product", lambda rows, *_: counts.append(len(rows)) or torch.zeros(len(rows), 10))
    for rows in (1, 5, 8, 9, 17, 31, 32, 33):
        layer(drawn(rows, 24))
    assert counts == [8, 8, 8, 16, 24, 32, 32, 48]
