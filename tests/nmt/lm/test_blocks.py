"""Blocks of one shape: what a plain loop computes, whatever stands beside a text and in whatever portions it comes."""

import random

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from nmt.config import ModelSettings
from nmt.errors import ModelError
from nmt.lm.scorer import RunningText, make_readers, score_apart
from nmt.models.build import build_language_model
from nmt.models.devices import Precision
from nmt.models.language_model import LanguageModel
from nmt.text.vocab import EOS

Array = NDArray[np.float64]

SMALL: dict[str, object] = {"embedding_size": 24, "hidden_size": 24}
SHAPES: dict[str, tuple[int, dict[str, object]]] = {
    "whole vectors": (64, {"hidden_size": 64, "embedding_size": 32}),
    "odd sizes, residual": (53, {"hidden_size": 22, "embedding_size": 20, "decoder_layers": 2, "residual": True}),
    "gru": (101, {"hidden_size": 34, "embedding_size": 33, "cell": "gru"}),
    "rnn": (65, {"hidden_size": 6, "embedding_size": 5, "cell": "rnn", "tied_embeddings": "none"}),
}


def model_of(vocab_size: int, **changes: object) -> LanguageModel:
    settings = ModelSettings.model_validate({"kind": "lm", "init_range": 0.8, **changes})
    return build_language_model(settings, vocab_size=vocab_size, seed=3).eval()


def texts_of(vocab_size: int, *, count: int, longest: int) -> list[list[int]]:
    rng = random.Random(5)
    return [[rng.randrange(4, vocab_size) for _ in range(rng.randint(1, longest))] for _ in range(count)]


def weight(model: LanguageModel, name: str) -> Array:
    return model.state_dict()[name].double().numpy()


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def plain_scores(model: LanguageModel, words: list[int]) -> list[float]:
    """Score words after `</s>` by the equations of one LSTM layer with a tied output layer, in float64."""
    table, bias = weight(model, "embedding.table.weight"), weight(model, "output.bias")
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    parts = dict(model.layers[0].named_parameters())
    by_name = {name: next(parts[key] for key in parts if key.endswith(name)) for name in names}
    w, u, b, d = (by_name[name].detach().double().numpy() for name in names)
    h = c = np.zeros(u.shape[1])
    found = []
    for before, word in zip([EOS, *words], [*words, EOS], strict=False):
        i, f, g, o = np.split(w @ table[before] + b + u @ h + d, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        logits = table @ h + bias
        found.append(float(logits[word] - np.log(np.exp(logits).sum())))
    return found


def test_scores_are_those_of_the_equations_in_float64() -> None:
    model = model_of(30, **SMALL)
    texts = texts_of(30, count=5, longest=40)
    for text, found in zip(texts, score_apart(make_readers(model, "fp32")[0], texts), strict=True):
        assert len(found) == len(text) + 1
        assert found == pytest.approx(plain_scores(model, text), abs=1e-5)


def test_a_running_text_is_scored_as_one_long_text() -> None:
    model = model_of(30, **SMALL)
    words = [word for text in texts_of(30, count=40, longest=9) for word in (*text, EOS)]
    assert len(words) > 3 * 64  # several blocks
    found = RunningText(make_readers(model, "fp32")[1]).score(words)
    assert found == pytest.approx(plain_scores(model, words)[:-1], abs=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_score_does_not_depend_on_the_texts_beside_it(shape: str, precision: Precision) -> None:
    vocab_size, changes = SHAPES[shape]
    reader, _ = make_readers(model_of(vocab_size, **changes), precision)
    texts = texts_of(vocab_size, count=70, longest=40)
    alone = [score_apart(reader, [text])[0] for text in texts]
    rng = random.Random(1)
    for size in (70, 45, 33, 5):  # with more than 32 texts, some begin where others have ended
        company = rng.sample(range(len(texts)), size)
        found = score_apart(reader, [texts[number] for number in company])
        assert found == [alone[number] for number in company]  # to the last bit


@pytest.mark.parametrize("shape", SHAPES)
def test_a_running_text_does_not_depend_on_the_portions_it_comes_in(shape: str, precision: Precision) -> None:
    vocab_size, changes = SHAPES[shape]
    _, reader = make_readers(model_of(vocab_size, **changes), precision)
    words = [word for text in texts_of(vocab_size, count=30, longest=15) for word in text]
    whole = RunningText(reader).score(words)
    rng = random.Random(2)
    for _ in range(3):
        text, found, done = RunningText(reader), list[float](), 0
        while done < len(words):
            portion = words[done : done + rng.choice([0, 1, 5, 64, 150])]
            found += text.score(portion)
            done += len(portion)
        assert found == whole


def test_what_stands_before_a_text_counts_only_where_it_runs_on() -> None:
    apart_reader, on_reader = make_readers(model_of(30, **SMALL), "fp32")
    first, second = [5, 6, 7], [8, 9]
    apart = score_apart(apart_reader, [first, second])
    on = RunningText(on_reader).score([*first, EOS, *second, EOS])
    assert on[:4] == pytest.approx(apart[0], abs=1e-5)
    assert all(abs(one - other) > 1e-3 for one, other in zip(on[4:], apart[1], strict=True))


def test_no_texts_have_no_scores() -> None:
    apart, on = make_readers(model_of(30, **SMALL), "fp32")
    assert score_apart(apart, []) == []
    assert RunningText(on).score([]) == []


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_model_whose_scores_are_no_numbers_is_refused(bad: float) -> None:
    model = model_of(30, tied_embeddings="none", **SMALL)
    with torch.no_grad():
        model.output.bias[5] = bad
    with pytest.raises(ModelError, match="scores that are not finite numbers"):
        score_apart(make_readers(model, "fp32")[0], [[6]])
