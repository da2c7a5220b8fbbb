"""The toy language model."""

from pathlib import Path

import pytest

from nmt.lm import Generator, LanguageScorer
from nmt.models.devices import Precision

BF16 = pytest.param("bf16", marks=pytest.mark.needs("bf16"))


@pytest.fixture(params=["fp32", BF16])
def precision(request: pytest.FixtureRequest) -> Precision:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def scorer(toy_language_model: Path) -> LanguageScorer:
    return LanguageScorer.load(toy_language_model, device="cpu")


@pytest.fixture
def generator(toy_language_model: Path) -> Generator:
    return Generator.load(toy_language_model, device="cpu")
