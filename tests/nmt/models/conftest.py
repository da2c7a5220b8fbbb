"""Packed models: in every precision, as this processor has it, by one thread."""

from collections.abc import Iterator

import pytest
import torch

from nmt.models.kernels import SearchPrecision


@pytest.fixture(params=["fp32", "bf16", pytest.param("int8", marks=pytest.mark.needs("int8"))])
def precision(request: pytest.FixtureRequest) -> SearchPrecision:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def without_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield
