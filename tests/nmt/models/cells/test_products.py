import pytest
import torch

from nmt.models.cells.products import repeated_product, widened


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-4), (torch.bfloat16, 0.1)])
@pytest.mark.parametrize("rows", [1, 7, 64, 100])
def test_products_are_those_of_a_linear_layer(rows: int, dtype: torch.dtype, tolerance: float) -> None:
    torch.manual_seed(0)
    weight = torch.randn(24, 10).to(dtype)
    for matrix in (weight, weight.t()):
        x = torch.randn(rows, matrix.shape[1]).to(dtype)
        found = repeated_product(matrix)(x)
        assert found.dtype == dtype
        torch.testing.assert_close(found, x @ matrix.t(), rtol=tolerance, atol=tolerance)


def test_a_machine_without_onednn_multiplies_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    weight, x = torch.randn(24, 10), torch.randn(7, 10)
    expected = repeated_product(weight)(x)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    monkeypatch.delattr(torch.ops.mkldnn, "_linear_pointwise")
    torch.testing.assert_close(repeated_product(weight)(x), expected)


def test_float64_is_kept_and_less_becomes_float32() -> None:
    assert widened(torch.ones(1, dtype=torch.float64)).dtype == torch.float64
    assert widened(torch.ones(1, dtype=torch.bfloat16)).dtype == torch.float32
