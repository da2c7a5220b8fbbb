import json
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from nmt.batching import Batch, source_batch, target_batch
from nmt.config import Settings, change_settings, load_settings
from nmt.errors import ConfigError, DataError
from nmt.models.folder import load_model
from nmt.prepared import PreparedData
from nmt.prepared.manifest import CorpusCount, Counts
from nmt.search.protocol import Hypothesis
from nmt.text.sequences import FlatSequences
from nmt.training import translation
from nmt.training.distributed import Place, Ranks
from nmt.training.observers import Silence
from nmt.training.state import Position
from nmt.training.trainer import TrainingSummary, train
from nmt.training.translation import TrainingLoss, TranslationTask, Validator, piece_features

from .conftest import Listener

HERE = Place(torch.device("cpu"), "fp32", Ranks())


def with_corpora(data: PreparedData, *parts: tuple[int, float]) -> PreparedData:
    """The data as if they had come from corpora of so many pairs and such weights."""
    counts = data.manifest.counts
    assert isinstance(counts, Counts)
    corpora = tuple(
        CorpusCount(name=f"part{i}", weight=weight, tag=None, read=pairs, rejected={}, heldout=0, train=pairs)
        for i, (pairs, weight) in enumerate(parts)
    )
    manifest = data.manifest.model_copy(update={"counts": counts.model_copy(update={"corpora": corpora})})
    return replace(data, manifest=manifest)


def weighted(data: PreparedData) -> PreparedData:
    """A third of the data twice and a half, the rest once in four passes."""
    pairs = len(data.train_src)
    return with_corpora(data, (pairs // 3, 2.5), (pairs - pairs // 3, 0.25))


def changed(settings: Settings, **training: object) -> Settings:
    return settings.model_copy(update={"training": settings.training.model_copy(update=training)})


def run(data: PreparedData, folder: Path, settings: Settings, *, stop_at: int | None = None) -> TrainingSummary:
    listener = Listener(stop_at=stop_at)
    return train(data, folder, settings, observer=listener, stop=listener.stop)


def test_an_epoch_is_described_with_what_is_sampled_for_it(toy_data: PreparedData, toy_settings: Settings) -> None:
    pairs = len(toy_data.train_src)
    plain = TranslationTask(toy_data, toy_settings, HERE).describe(Position())
    assert plain.startswith(f"{pairs:,} pairs, ")
    assert "sampled" not in plain
    task = TranslationTask(with_corpora(toy_data, (20, 1.5), (pairs - 20, 2.0)), toy_settings, HERE)
    batches, drawn = len(task.feed.order.plan(3).batches), 30 + 2 * (pairs - 20)
    pieces = round(int(toy_data.target_counts.sum()) * drawn / pairs)
    assert task.describe(Position(3)) == (
        f"{pairs:,} pairs, {drawn:,} sampled per epoch by the weights of their corpora, {pieces:,} target pieces in "
        f"{batches:,} batches per epoch, {task.feed.padding:.1%} padding"
    )


def test_the_steps_of_an_epoch_are_those_of_its_batches_by_updates(
    toy_data: PreparedData, toy_settings: Settings
) -> None:
    task = TranslationTask(toy_data, changed(toy_settings, accumulate=3), HERE)
    batches = len(task.feed.order.plan(1).batches)
    assert task.feed.steps_left(Position(1), max_epochs=2) == -(-batches // 3)


def test_a_run_over_weighted_corpora_has_the_steps_that_were_counted(
    toy_data: PreparedData, toy_settings: Settings, tmp_path: Path
) -> None:
    settings = changed(toy_settings, max_steps=0, max_epochs=2, validate_every=1000, checkpoint_every=1000)
    data = weighted(toy_data)
    task = TranslationTask(data, settings, HERE)
    pairs, steps = len(toy_data.train_src), task.feed.steps_left(Position(), max_epochs=2)
    drawn = 2 * (pairs // 3) + round(0.5 * (pairs // 3)) + round(0.25 * (pairs - pairs // 3))
    state = run(data, tmp_path / "m", settings).state
    passes = [task.feed.order.plan(epoch).batches for epoch in range(2)]
    assert [sum(map(len, batches)) for batches in passes] == [drawn, drawn]
    words = [data.train_tgt.take(rows).lengths.sum() + len(rows) for batches in passes for rows in batches]
    assert state.step == steps == 2 * len(passes[0])
    assert abs(len(passes[1]) - len(passes[0])) < 3
    assert state.tokens == sum(words[:steps])


def test_a_stopped_run_over_weighted_corpora_ends_with_the_weights_of_one_that_never_stopped(
    toy_data: PreparedData, toy_settings: Settings, tmp_path: Path
) -> None:
    settings = changed(toy_settings, max_steps=60, validate_every=30, checkpoint_every=7, log_every=1)
    data = weighted(toy_data)
    assert run(data, tmp_path / "whole", settings).finished
    for stop_at in (9, 25, 44):  # in several passes
        summary = run(data, tmp_path / "parts", settings, stop_at=stop_at)
        assert (summary.finished, summary.state.step) == (False, stop_at)
    assert run(data, tmp_path / "parts", settings).finished
    whole, parts = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "parts"))
    assert parts == whole


def test_weights_change_what_is_learnt(toy_data: PreparedData, toy_settings: Settings, tmp_path: Path) -> None:
    settings = changed(toy_settings, max_steps=2, validate_every=2)
    half = len(toy_data.train_src) // 2
    for name, data in (
        ("plain", toy_data),
        ("drawn", weighted(toy_data)),
        ("ones", with_corpora(toy_data, (half, 1), (half, 1))),
    ):
        run(data, tmp_path / name, settings)
    plain, drawn, ones = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("plain", "drawn", "ones"))
    assert ones == plain != drawn


def test_weights_that_leave_no_pair_are_refused(toy_data: PreparedData, toy_settings: Settings) -> None:
    pairs = len(toy_data.train_src)
    data = with_corpora(toy_data, (pairs, 0.1 / pairs))
    with pytest.raises(DataError, match=r"^no epoch has a pair: "):
        TranslationTask(data, toy_settings, HERE)


def test_a_placement_is_heeded_and_is_for_one_process(
    toy_data: PreparedData, toy_settings: Settings, tmp_path: Path
) -> None:
    training = toy_settings.training.model_copy(update={"placement": {"encoder": "cuda:0"}})
    settings = toy_settings.model_copy(update={"training": training})
    with pytest.raises(
        ConfigError, match=r"^training\.placement puts encoder on cuda:0, but training\.device is the CPU: "
    ):
        _ = TranslationTask(toy_data, settings, HERE).model
    with pytest.raises(
        ConfigError, match=r"^training\.placement spreads the model of one process over devices, but 2 "
    ):
        train(toy_data, tmp_path, settings, observer=Silence(), stop=threading.Event(), ranks=Ranks(rank=1, size=2))


def test_every_validation_set_is_reported_and_the_first_decides(
    toy_data: PreparedData, toy_settings: Settings, tmp_path: Path
) -> None:
    valid = toy_data.valid
    wrong = replace(valid, name="wrong", src=valid.tgt, src_texts=valid.tgt_texts)
    data = replace(toy_data, valid_sets=(valid, wrong))
    settings = changed(toy_settings, max_steps=20, validate_every=10)
    listener = Listener()
    summary = train(data, tmp_path / "m", settings, observer=listener, stop=listener.stop)
    alone = Listener()
    train(toy_data, tmp_path / "alone", settings, observer=alone, stop=alone.stop)
    for report, like in zip(listener.validations, alone.validations, strict=True):
        assert replace(report, scores=replace(report.scores, others={})) == like
        assert report.scores.others.keys() == {"wrong"}
        assert report.scores.others["wrong"].loss != report.scores.loss
    assert summary.state.best_score == max(report.scores.bleu or 0.0 for report in alone.validations)
    records = [json.loads(line) for line in (tmp_path / "m" / "metrics.jsonl").read_text().splitlines()]
    found = [record for record in records if record["kind"] == "valid"]
    assert len(found) == 2
    for record, report in zip(found, listener.validations, strict=True):
        assert record.keys() == {
            "kind",
            "step",
            "loss",
            "perplexity",
            "bleu",
            "wrong/loss",
            "wrong/perplexity",
            "wrong/bleu",
        }
        assert record["wrong/loss"] == pytest.approx(report.scores.others["wrong"].loss, rel=1e-5)


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


def test_on_a_gpu_all_are_translated_together_in_the_precision_of_the_training(
    toy_data: PreparedData, toy_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def search(searched: object, sources: Sequence[object], **settings: object) -> list[Hypothesis]:
        asked.append((searched, len(sources)))
        return [Hypothesis((), -1.0, -1.0)] * len(sources)

    monkeypatch.setattr(translation, "_BLOCK", 3)
    monkeypatch.setattr(translation, "for_gpu", lambda model, precision: precision)
    monkeypatch.setattr(translation, "search_batches", search)
    validator = Validator(toy_data.valid, toy_data.tokenizers, toy_settings, "bf16")
    validator.bleu(SimpleNamespace(device=torch.device("cuda")), Never())  # type: ignore[arg-type]
    assert asked == [("bf16", len(toy_data.valid.src))]


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

    found = [Hypothesis((0, 2, 0, 1, 3), -1.0, -1.0, reads)]
    monkeypatch.setattr("nmt.training.translation.search_batches", lambda *args, **kwargs: found)
    validator = Validator(pairs, Both(), settings, "fp32")  # type: ignore[arg-type]
    score = validator.bleu(SimpleNamespace(device=CPU), Never())  # type: ignore[arg-type]
    assert score is not None
    assert score.score == pytest.approx(100)
    assert "|case:mixed|" in score.signature
    small = Validator(pairs, Both(), change_settings(settings, "data", {"lowercase": True}), "fp32")  # type: ignore[arg-type]
    score = small.bleu(SimpleNamespace(device=CPU), Never())  # type: ignore[arg-type]
    assert score is not None
    assert "|case:lc|" in score.signature


def test_a_weight_of_a_set_that_is_not_there_is_refused(toy_data: PreparedData, toy_settings: Settings) -> None:
    settings = change_settings(toy_settings, "training", {"validation_weights": {"old": 0.5}})
    with pytest.raises(
        ConfigError, match=r"names 'old', expected a validation set after the first: the data have no others$"
    ):
        TranslationTask(toy_data, settings, HERE)


class TwoPasses:
    """An objective that keeps what it is given."""

    passes = 2

    def __init__(self) -> None:
        self.features: list[Tensor] = []
        self.gold = torch.empty(0)

    def __call__(self, passes: Sequence[Tensor], gold: Tensor, output: nn.Linear) -> Tensor:
        self.features, self.gold = list(passes), gold
        return torch.stack(self.features).sum()


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_two_passes_read_the_same_pairs_with_other_dropout(
    toy_data: PreparedData, toy_settings: Settings, dropout: float
) -> None:
    model = toy_settings.model.model_copy(update={"dropout": dropout, "variational_dropout": True})
    task = TranslationTask(toy_data, toy_settings.model_copy(update={"model": model}), HERE)
    batch, objective = task.feed.order.pairs.batch(np.arange(5)), TwoPasses()
    loss = TrainingLoss(task.model.double().train(), objective)
    loss(batch).backward()
    first, second = objective.features
    assert objective.gold.tolist() == batch.tgt.outputs.flatten()[batch.tgt.pieces].tolist()
    assert len(first) == len(second) == len(batch.tgt.pieces)
    assert torch.allclose(first, second) == (dropout == 0.0)
    if dropout == 0.0:  # two passes one after the other add up to the same
        grads = [parameter.grad for parameter in loss.parameters()]
        loss.zero_grad()
        one, _ = piece_features(task.model, batch)
        torch.testing.assert_close(first, one)
        (2 * one.sum()).backward()
        for got, want in zip(grads, loss.parameters(), strict=True):
            assert (got is None) == (want.grad is None)
            torch.testing.assert_close(got, want.grad)
