from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from nmt.batching import Batch, source_batch, target_batch
from nmt.config import Settings, load_settings
from nmt.models.folder import load_model
from nmt.prepared import PreparedData
from nmt.search.protocol import Hypothesis
from nmt.text.sequences import FlatSequences
from nmt.training import translation
from nmt.training.translation import Validator

CPU = torch.device("cpu")


def test_the_loss_is_the_mean_over_words_of_sentences_taken_one_by_one(
    toy_data: PreparedData, toy_settings: Settings, toy_model: Path
) -> None:
    model, _ = load_model(toy_model, device=CPU)
    total, words = 0.0, 0
    with torch.no_grad():
        for row in range(len(toy_data.valid.src)):
            rows = torch.tensor([row]).numpy()
            sources = source_batch(toy_data.valid.src, rows, reverse_source=True)
            batch = Batch(sources, target_batch(toy_data.valid.tgt, rows))
            logits = model.output(model(batch))[0]
            total += functional.cross_entropy(logits, batch.tgt.outputs[0], reduction="sum").item()
            words += len(logits)
    found = Validator(toy_data.valid, toy_data.tokenizers, toy_settings, "fp32")(model, Never())
    assert found is not None
    assert found.loss == pytest.approx(total / words, rel=1e-4)
    assert found.bleu is not None
    assert found.bleu > 95
    assert model.training  # handed back ready to train on


def test_bleu_is_scored_on_the_text_of_the_references(
    toy_data: PreparedData, toy_settings: Settings, toy_model: Path
) -> None:
    model, _ = load_model(toy_model, device=CPU)
    other = replace(toy_data.valid, tgt_texts=["something else altogether here"] * len(toy_data.valid.tgt_texts))
    found = Validator(other, toy_data.tokenizers, toy_settings, "fp32")(model, Never())
    assert found is not None
    assert found.bleu is not None
    assert found.bleu < 5


class Never:
    def is_set(self) -> bool:
        return False


class After:
    """Asks to stop after so many looks."""

    def __init__(self, looks: int) -> None:
        self.looks = looks

    def is_set(self) -> bool:
        self.looks -= 1
        return self.looks < 0


@pytest.mark.parametrize(
    ("settings", "tokenizer"),
    [
        ([], "zh"),
        (["training.bleu_tokenizer=char"], "char"),
        (["training.bleu_tokenizer=13a", "data.tgt_lang=zh"], "13a"),
    ],
)
def test_bleu_finds_words_as_the_settings_or_the_references_say(
    toy_data: PreparedData, toy_settings: Settings, toy_model: Path, settings: list[str], tokenizer: str
) -> None:
    model, _ = load_model(toy_model, device=CPU)
    chinese = replace(toy_data.valid, tgt_texts=["小狗在花园里跑得很快。"] * len(toy_data.valid.tgt_texts))
    wished = load_settings(overrides=settings, base=toy_settings)
    found = Validator(chinese, toy_data.tokenizers, wished, "fp32")(model, Never())
    assert found is not None
    assert f"|tok:{tokenizer}|" in str(found.signature)


@pytest.mark.parametrize("looks", [0, 1, 2])  # before the loss, between loss and BLEU, between blocks of sentences
def test_a_stop_cuts_validation_short(
    toy_data: PreparedData, toy_settings: Settings, toy_model: Path, monkeypatch: pytest.MonkeyPatch, looks: int
) -> None:
    monkeypatch.setattr(translation, "_BLOCK", 5)
    model, _ = load_model(toy_model, device=CPU)
    validator = Validator(toy_data.valid, toy_data.tokenizers, toy_settings, "fp32")
    assert validator(model, After(looks)) is None
    assert model.training


def test_blocks_of_sentences_do_not_change_the_score(
    toy_data: PreparedData, toy_settings: Settings, toy_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, _ = load_model(toy_model, device=CPU)
    validator = Validator(toy_data.valid, toy_data.tokenizers, toy_settings, "fp32")
    whole = validator(model, Never())
    monkeypatch.setattr(translation, "_BLOCK", 3)
    assert validator(model, Never()) == whole


def test_placeholders_are_filled_as_they_were_read_before_scoring(
    toy_data: PreparedData, toy_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = toy_settings.model_copy(
        update={
            "tokenizer": toy_settings.tokenizer.model_copy(update={"placeholders": ("number",)}),
            "search": toy_settings.search.model_copy(update={"zero_digit": "०"}),  # noqa: RUF001 (Hindi)
        }
    )
    flat = FlatSequences.from_lists([[0, 1, 0, 2, 3]])
    pairs = type(toy_data.valid)("valid", ["12 bat 7 cow den"], ["७ cowo १२ bato deno"], flat, flat)
    reads = torch.eye(5)[[2, 3, 0, 1, 4]]

    class Words:
        surfaces = ("[NUM]", " bat", " cow", " den")

        def decode(self, rows: object) -> list[str]:
            return ["[NUM] cowo [NUM] bato deno"]

    class Both:
        src = tgt = Words()

    found = [[Hypothesis((0, 2, 0, 1, 3), -1.0, -1.0, reads)]]
    monkeypatch.setattr("nmt.training.translation.search_batches", lambda *args, **kwargs: found)
    validator = Validator(pairs, Both(), settings, "fp32")  # type: ignore[arg-type]
    score = validator.bleu(torch.nn.Identity(), Never())  # type: ignore[arg-type]
    assert score is not None
    assert score.score == pytest.approx(100)
