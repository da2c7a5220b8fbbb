import pytest
import torch

from nmt.models.cells.products import outer_product, product, repeated_product, widened


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-4), (torch.bfloat16, 0.1)])
@pytest.mark.parametrize("rows", [1, 7, 64, 100])
def test_products_are_those_of_a_linear_layer(rows: int, dtype: torch.dtype, tolerance: float) -> None:
    torch.manual_seed(0)
    weight = torch.randn(24, 10).to(dtype)
    for matrix in (weight, weight.t()):
        x = torch.randn(rows, matrix.shape[1]).to(dtype)
        for found in (repeated_product(matrix)(x), product(x, matrix)):
            assert found.dtype == dtype
            torch.testing.assert_close(found, x @ matrix.t(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-4), (torch.bfloat16, 0.1)])
@pytest.mark.parametrize("rows", [0, 1, 100])
def test_outer_products_are_summed_over_the_rows(rows: int, dtype: torch.dtype, tolerance: float) -> None:
    torch.manual_seed(0)
    left, right = torch.randn(rows, 24).to(dtype), torch.randn(rows, 10).to(dtype)
    found = outer_product(left, right)
    assert found.dtype == dtype
    expected = (left.double()[:, :, None] * right.double()[:, None, :]).sum(dim=0).to(dtype)
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


def test_a_machine_without_onednn_multiplies_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    weight, x = torch.randn(24, 10), torch.randn(7, 10)
    expected, rows = repeated_product(weight)(x), torch.randn(7, 24)
    summed = outer_product(rows, x)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    monkeypatch.delattr(torch.ops.mkldnn, "_linear_pointwise")
    torch.testing.assert_close(repeated_product(weight)(x), expected)
    torch.testing.assert_close(product(x, weight), expected)
    torch.testing.assert_close(outer_product(rows, x), summed)


def test_float64_is_kept_and_less_becomes_float32() -> None:
    assert widened(torch.ones(1, dtype=torch.float64)).dtype == torch.float64
    assert widened(torch.ones(1, dtype=torch.bfloat16)).dtype == torch.float32
