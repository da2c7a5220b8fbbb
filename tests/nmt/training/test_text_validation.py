import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from nmt.config import ModelSettings
from nmt.models.build import build_language_model
from nmt.models.language_model import LanguageModel
from nmt.text.sequences import FlatSequences
from nmt.text.vocab import EOS
from nmt.training import language_modelling
from nmt.training.language_modelling import validate_text
from nmt.training.text_feeding import TextStream

RNG = np.random.default_rng(0)
TEXT = FlatSequences.from_lists([RNG.integers(4, 12, RNG.integers(1, 9)).tolist() for _ in range(40)])
STREAM = TextStream(TEXT)


def model() -> LanguageModel:
    settings = ModelSettings(
        kind="lm", embedding_size=4, hidden_size=6, decoder_layers=2, dropout=0.5, word_dropout=0.3, init_range=0.5
    )
    return build_language_model(settings, vocab_size=12, seed=1).train()


class After:
    """Asks to stop after so many looks."""

    def __init__(self, looks: float = math.inf) -> None:
        self.looks = looks

    def is_set(self) -> bool:
        self.looks -= 1
        return self.looks < 0


def test_the_loss_is_the_mean_over_all_words_read_one_by_one() -> None:
    plain, total, state = model().double().eval(), 0.0, None
    words = STREAM.read(np.arange(len(STREAM))).tolist()
    with torch.no_grad():
        for before, word in zip([EOS, *words], words, strict=False):
            features, state = plain(torch.tensor([[before]]), state)
            total += functional.cross_entropy(plain.output(features)[0], torch.tensor([word])).item()
    found = validate_text(model(), TEXT, "fp32", stop=After())
    assert found is not None
    assert found.loss == pytest.approx(total / len(words), rel=1e-6)
    assert found.perplexity == pytest.approx(math.exp(total / len(words)), rel=1e-5)
    assert found.bleu is None


def test_the_model_is_handed_back_ready_to_train_on() -> None:
    given = model()
    validate_text(given, TEXT, "fp32", stop=After())
    assert given.training


def test_where_it_looks_up_makes_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = validate_text(model(), TEXT, "fp32", stop=After())
    monkeypatch.setattr(language_modelling, "_STEPS", 7)
    parts = validate_text(model(), TEXT, "fp32", stop=After())
    assert whole is not None
    assert parts is not None
    assert parts.loss == pytest.approx(whole.loss, rel=1e-6)


@pytest.mark.parametrize("looks", [0, 2])
def test_a_stop_cuts_validation_short(looks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(language_modelling, "_STEPS", 50)
    given = model()
    assert validate_text(given, TEXT, "fp32", stop=After(looks)) is None
    assert given.training
