"""Packed models in every precision, as this processor has it, by one thread; and a torch without private calls."""

from collections.abc import Iterator

import pytest
import torch

from nmt.models import fused_layers, kernels
from nmt.models.prepacked import SearchPrecision


@pytest.fixture(
    params=[
        "fp32",
        "bf16",
        pytest.param("int8", marks=pytest.mark.needs("int8")),
        pytest.param("int8 without VNNI", marks=pytest.mark.needs("int8")),
    ]
)
def precision(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> SearchPrecision:
    name, *without = request.param.split(" without ")
    if without:
        monkeypatch.setattr(kernels, "int8_instructions", lambda: "avx2")
    return name  # type: ignore[no-any-return]


@pytest.fixture(params=["as this processor has it", "without VNNI"])
def weight_limit(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """What the largest weight becomes in 8 bits."""
    if request.param == "without VNNI":
        monkeypatch.setattr(kernels, "int8_instructions", lambda: "avx2")
    return kernels.weight_limit()


@pytest.fixture
def without_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture(params=["as this torch has it", "where it is missing"])
def calls(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Private and undocumented calls into torch."""
    if request.param == "where it is missing":
        for module in (kernels, fused_layers):
            monkeypatch.setattr(module, "find", lambda name: None)
