import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from nmt.config import ModelSettings, Settings
from nmt.errors import ConfigError
from nmt.models.build import build_language_model
from nmt.models.folder import load_language_model
from nmt.models.language_model import LanguageModel
from nmt.prepared import PreparedText
from nmt.text.sequences import FlatSequences
from nmt.text.vocab import EOS
from nmt.training import language_modelling
from nmt.training.checkpoint import list_checkpoints
from nmt.training.distributed import Place, Ranks
from nmt.training.language_modelling import LanguageTask, validate_text
from nmt.training.observers import read_metrics
from nmt.training.state import Position
from nmt.training.text_feeding import TextStream
from nmt.training.trainer import TrainingSummary, train

from .conftest import Listener

CPU = torch.device("cpu")


def changed(settings: Settings, **training: Any) -> Settings:
    return settings.model_copy(update={"training": settings.training.model_copy(update=training)})


def run(data: PreparedText, folder: Path, settings: Settings, listener: Listener) -> TrainingSummary:
    return train(data, folder, settings, observer=listener, stop=listener.stop)


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def losses(folder: Path) -> list[object]:
    return [(record.kind, record.step, record.values["loss"]) for record in read_metrics(folder / "metrics.jsonl")]


@pytest.fixture(scope="module")
def learnt(counting_data: PreparedText, counting_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "counting"
    run(counting_data, folder, changed(counting_settings, max_epochs=8), Listener())
    return folder


def test_a_text_is_learnt_and_the_card_tells_its_perplexity(learnt: Path) -> None:
    card = json.loads((learnt / "model.json").read_text())["training"]
    # where a line ends is anybody's guess: with six lengths equally likely that costs less than log 6 a line
    assert card["valid_perplexity"] == pytest.approx(math.exp(card["valid_loss"]))
    assert card["valid_perplexity"] < 3
    assert "valid_bleu" not in card
    valid = [record for record in read_metrics(learnt / "metrics.jsonl") if record.kind == "valid"]
    assert all("perplexity" in record.values and "bleu" not in record.values for record in valid)


def test_the_folder_is_that_of_a_language_model(learnt: Path, counting_data: PreparedText) -> None:
    model, settings = load_language_model(learnt, device=CPU)
    assert settings.model.kind == "lm"
    assert settings.training.best_by == "loss"
    assert model.output.out_features == len(counting_data.tokenizer)
    assert (learnt / "joint.spm.model").is_file()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"accumulate": 3, "ema_decay": 0.9},
        {"objective": "sampled", "samples": 5, "optimizer": "sgd", "learning_rate": 1.0, "schedule": "epoch_decay"},
        pytest.param({"precision": "bf16"}, marks=pytest.mark.needs("bf16")),
    ],
    ids=str,
)
def test_a_stopped_run_ends_with_the_weights_of_one_that_never_stopped(
    counting_data: PreparedText, counting_settings: Settings, tmp_path: Path, changes: dict[str, Any]
) -> None:
    settings = changed(counting_settings, log_every=7, max_epochs=2, decay_after_epochs=1, **changes)
    straight = run(counting_data, tmp_path / "straight", settings, Listener())
    finished, runs = False, 0
    while not finished:
        summary = run(counting_data, tmp_path / "stopped", settings, Listener(stop_at=7 * runs + 7))
        finished, runs = summary.finished, runs + 1
    assert runs > 3
    assert summary.state.step == straight.state.step
    assert weights(tmp_path / "stopped") == weights(tmp_path / "straight")
    assert losses(tmp_path / "stopped") == losses(tmp_path / "straight")


def test_a_tenth_of_a_pass_gives_ten_records_in_each(
    counting_data: PreparedText, counting_settings: Settings, tmp_path: Path
) -> None:
    settings = changed(counting_settings, log_every="tenth", max_epochs=2)
    steps = run(counting_data, tmp_path / "m", settings, Listener()).state.step
    records = [record for record in read_metrics(tmp_path / "m" / "metrics.jsonl") if record.kind == "train"]
    every = round(steps / 2 / 10)
    assert every > 1
    assert [record.step for record in records[:20]] == [every * (i + 1) for i in range(20)]
    assert records[-1].step == steps
    log = (tmp_path / "m" / "train.log").read_text()
    assert len(re.findall(r"  loss \d\.\d{4}  ppl \d+\.\d{3}  \d+ pieces/s  ", log)) == len(records)


def test_a_pass_of_fewer_than_ten_steps_has_a_record_at_each(
    counting_data: PreparedText, counting_settings: Settings, tmp_path: Path
) -> None:
    settings = changed(counting_settings, log_every="tenth", max_steps=3, segment_rows=40, segment_steps=30)
    run(counting_data, tmp_path / "m", settings, Listener())
    records = [record for record in read_metrics(tmp_path / "m" / "metrics.jsonl") if record.kind == "train"]
    assert [record.step for record in records] == [1, 2, 3]


def test_a_run_that_forgets_its_state_when_it_is_stopped_would_end_elsewhere(
    counting_data: PreparedText, counting_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = changed(counting_settings, max_epochs=2)
    run(counting_data, tmp_path / "straight", settings, Listener())
    run(counting_data, tmp_path / "stopped", settings, Listener(stop_at=20))
    monkeypatch.setattr("nmt.training.state.Carry.restore", lambda *_: None)
    run(counting_data, tmp_path / "stopped", settings, Listener())
    assert weights(tmp_path / "stopped") != weights(tmp_path / "straight")


def test_what_lies_over_the_end_of_a_segment_is_learnt_only_by_a_state_that_is_carried(
    counting_data: PreparedText, counting_settings: Settings, tmp_path: Path
) -> None:
    found = {}
    for carry in (True, False):
        listener = Listener()
        quick = {"segment_rows": 20, "validate_every": 10_000, "checkpoint_every": 10_000}
        settings = changed(counting_settings, carry_state=carry, segment_steps=2, max_epochs=3, **quick)
        run(counting_data, tmp_path / str(carry), settings, listener)
        found[carry] = listener.steps[-1].loss  # of segments that start as those of the training do
    assert found[True] < found[False] - 0.1


def test_every_word_of_the_text_is_trained_on_once_a_pass(
    counting_data: PreparedText, counting_settings: Settings, tmp_path: Path
) -> None:
    summary = run(counting_data, tmp_path / "m", changed(counting_settings, max_epochs=2), Listener())
    words = int(counting_data.train.lengths.sum()) + len(counting_data.train)
    assert summary.state.tokens == 2 * words
    assert summary.state.position == Position(2)
    assert 0 <= summary.padding < 0.01


def test_the_rate_falls_with_the_passes_and_is_that_of_the_last_update(
    counting_data: PreparedText, counting_settings: Settings, tmp_path: Path
) -> None:
    changes = {"optimizer": "sgd", "learning_rate": 0.8, "warmup_steps": 0, "schedule": "epoch_decay"}
    settings = changed(counting_settings, **changes, decay_after_epochs=1, decay_factor=0.5, log_every=1)
    listener = Listener()
    run(counting_data, tmp_path / "m", settings, listener)
    a_pass = len(listener.steps) // 3
    rates = [report.learning_rate for report in listener.steps]
    assert rates == [0.8] * a_pass + [0.4] * a_pass + [0.2] * a_pass


def test_the_first_message_says_what_a_pass_is(
    counting_data: PreparedText, counting_settings: Settings, tmp_path: Path
) -> None:
    listener = Listener(stop_at=10)
    summary = run(counting_data, tmp_path / "m", counting_settings, listener)
    lines = len(counting_data.train)
    words = int(counting_data.train.lengths.sum()) + lines
    segments = math.ceil(math.ceil(words / 5) / 6)
    assert listener.messages[0] == (
        f"{summary.parameters:,} parameters, {words:,} pieces in {lines:,} lines, {segments:,} segments per epoch, "
        "cpu fp32, 1 thread"
    )


def test_settings_that_are_left_aside_are_named_once_and_the_log_counts_words(
    counting_data: PreparedText, counting_settings: Settings, tmp_path: Path
) -> None:
    model = counting_settings.model.model_copy(update={"attention": "dot", "encoder_layers": 4})
    listener = Listener(stop_at=10)
    run(counting_data, tmp_path / "m", counting_settings.model_copy(update={"model": model}), listener)
    message = 'warning: model.kind = "lm" makes no use of model.encoder_layers, model.attention'
    assert listener.messages[0] == message
    log = (tmp_path / "m" / "train.log").read_text(encoding="utf-8")
    assert log.count(message) == 1
    assert " pieces/s " in log


def test_a_position_is_kept_when_the_segments_change_their_length(
    counting_data: PreparedText, counting_settings: Settings, tmp_path: Path
) -> None:
    run(counting_data, tmp_path / "m", changed(counting_settings, max_epochs=1), Listener(stop_at=20))
    settings = changed(counting_settings, max_epochs=1, segment_steps=9)
    summary = run(counting_data, tmp_path / "m", settings, Listener())
    columns = math.ceil((int(counting_data.train.lengths.sum()) + len(counting_data.train)) / 5)
    assert summary.state.step == 20 + math.ceil((columns - 20 * 6) / 9)
    assert summary.state.tokens == int(counting_data.train.lengths.sum()) + len(counting_data.train)


def test_a_damaged_checkpoint_costs_nothing_but_time(
    counting_data: PreparedText, counting_settings: Settings, tmp_path: Path
) -> None:
    settings = changed(counting_settings, max_epochs=1)
    run(counting_data, tmp_path / "m", settings, Listener())
    before = weights(tmp_path / "m")
    newest = list_checkpoints(tmp_path / "m")[-1]
    newest.write_bytes(newest.read_bytes()[:-9])
    run(counting_data, tmp_path / "m", settings, Listener())
    assert weights(tmp_path / "m") == before


def test_more_processes_than_rows_are_refused(counting_data: PreparedText, counting_settings: Settings) -> None:
    place = Place(CPU, "fp32", Ranks(0, 6))
    with pytest.raises(ConfigError, match=r"^training\.segment_rows = 5 is less than the 6 processes that share them;"):
        LanguageTask(counting_data, counting_settings, place)


def test_what_makes_no_sense_is_refused_before_anything_is_written(
    counting_data: PreparedText, counting_settings: Settings, tmp_path: Path
) -> None:
    listener = Listener()
    with pytest.raises(ConfigError, match=r"training\.r_drop = 1\.0 makes no sense for a language model"):
        train(
            counting_data, tmp_path / "m", changed(counting_settings, r_drop=1.0), observer=listener, stop=listener.stop
        )
    assert not (tmp_path / "m").exists()


def test_a_run_is_not_continued_on_another_text(
    counting_data: PreparedText, counting_settings: Settings, tmp_path: Path
) -> None:
    run(counting_data, tmp_path / "m", counting_settings, Listener(stop_at=10))
    files = dict(counting_data.manifest.files)
    files["train.arrow"] = files["train.arrow"].model_copy(update={"sha256": "other"})
    other = replace(counting_data, manifest=counting_data.manifest.model_copy(update={"files": files}))
    with pytest.raises(
        Exception, match=r"the run in .*m was begun on other data than .*; a run cannot change its data: "
    ):
        run(other, tmp_path / "m", counting_settings, Listener())


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
