import json
import math
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nmt.batching import FlatSequences
from nmt.config import ModelSettings, TrainingSettings
from nmt.errors import TrainingError
from nmt.models.build import build_model
from nmt.models.folder import model_tensors
from nmt.training.checkpoint import Checkpoints, checkpoint_step, list_checkpoints
from nmt.training.distributed import Ranks
from nmt.training.feeding import Feed
from nmt.training.loop import Trainer
from nmt.training.moving_average import MovingAverage
from nmt.training.objectives import make_loss
from nmt.training.optim import Schedule, make_optimizer
from nmt.training.order import DataOrder
from nmt.training.pairs import TrainingPairs
from nmt.training.records import Records, read_metrics
from nmt.training.reports import Scores, StepReport, StopRequest, ValidationReport
from nmt.training.state import TrainingState
from nmt.training.updating import Updater

VOCAB = 12


class Watcher:
    def __init__(self) -> None:
        self.stop: threading.Event | None = None
        """Set at the next record, if given."""
        self.steps: list[StepReport] = []
        self.validations: list[ValidationReport] = []

    def on_step(self, report: StepReport) -> None:
        self.steps.append(report)
        if self.stop is not None:
            self.stop.set()

    def on_validation(self, report: ValidationReport) -> None:
        self.validations.append(report)

    def on_message(self, message: str) -> None:
        raise AssertionError(message)


def copying_pairs() -> TrainingPairs:
    rng = np.random.default_rng(0)
    rows = [rng.integers(4, VOCAB, rng.integers(1, 6)).tolist() for _ in range(60)]
    flat = FlatSequences.from_lists(rows)
    return TrainingPairs(flat, flat, reverse_source=True)


class Run:
    """One run in a folder, resumed when a checkpoint is there."""

    def __init__(self, folder: Path, *, total: int = 12, scores: list[float] | None = None, **changes: object) -> None:
        basics = {"batch_tokens": 40, "validate_every": 4, "checkpoint_every": 4, "log_every": 2, "warmup_steps": 2}
        self.settings = TrainingSettings.model_validate({**basics, "precision": "fp32", **changes})
        small = ModelSettings(embedding_size=8, hidden_size=8, encoder_layers=1, dropout=0.2, word_dropout=0.1)
        self.model = build_model(small, src_vocab_size=VOCAB, tgt_vocab_size=VOCAB, joint=True, seed=1).train()
        self.optimizer = make_optimizer(self.settings, self.model.parameters())
        decay = self.settings.ema_decay
        self.average = MovingAverage(self.model, decay=decay) if decay else None
        self.folder, self.scores, self.saved = folder, iter(scores or range(1000)), list[int]()
        self.seen: list[dict[str, list[float]]] = []
        self.interrupt_validation = False
        self.watcher = Watcher()
        self.stop: StopRequest = threading.Event()
        self.checkpoints = Checkpoints(folder, self.model, self.optimizer, average=self.average, keep=1)
        self.schedule = Schedule(self.settings.schedule, self.settings.learning_rate, self.settings.warmup_steps, total)

    def validate(self, stop: StopRequest) -> Scores | None:
        if self.interrupt_validation:
            return None
        self.seen.append({name: tensor.flatten().tolist() for name, tensor in model_tensors(self.model).items()})
        score = float(next(self.scores))
        return Scores(100.0 - score, score)

    def save_best(self, report: ValidationReport, state: TrainingState) -> None:
        self.saved.append(report.step)

    def go(self) -> bool:
        settings, ranks = self.settings, Ranks()
        self.state = self.checkpoints.load_newest(on_damage=self.watcher.on_message) or TrainingState()
        order = DataOrder(copying_pairs(), settings.batch_tokens, settings.seed)
        updater = Updater(
            loss=make_loss(settings, self.model, np.ones(VOCAB, dtype=np.int64)),
            optimizer=self.optimizer,
            device=torch.device("cpu"),
            precision="fp32",
            clip_norm=settings.clip_norm or math.inf,
            average=self.average,
            ranks=ranks,
            on_message=self.watcher.on_message,
        )
        with Records(self.folder, step=self.state.step, tensorboard=False) as records:
            trainer = Trainer(
                model=self.model,
                updater=updater,
                feed=Feed(order, settings.accumulate, ranks, pin=False),
                schedule=self.schedule,
                settings=settings,
                state=self.state,
                checkpoints=self.checkpoints,
                validate=self.validate,
                save_best=self.save_best,
                records=records,
                observer=self.watcher,
                stop=self.stop,
                ranks=ranks,
            )
            return trainer.run()


def weights(run: Run) -> dict[str, list[float]]:
    return {name: tensor.flatten().tolist() for name, tensor in model_tensors(run.model).items()}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"objective": "sampled", "samples": 4},
        {"optimizer": "sgd", "momentum": 0.5},
        {"optimizer": "adamw", "weight_decay": 0.1, "ema_decay": 0.9},
        {"accumulate": 3, "r_drop": 1.0},
        {"schedule": "plateau", "plateau_patience": 1, "scores": [5, 4, 3, 2, 1, 0]},
    ],
    ids=str,
)
def test_a_stopped_and_continued_run_gives_the_same_weights_to_the_bit(tmp_path: Path, changes: dict[str, Any]) -> None:
    scores = changes.pop("scores", [1, 2, 3])
    straight = Run(tmp_path / "straight", scores=scores, **changes)
    straight.folder.mkdir()
    assert straight.go()
    (tmp_path / "stopped").mkdir()
    finished, runs = False, 0
    while not finished:
        validated = newest_step(tmp_path / "stopped") // 4
        part = Run(tmp_path / "stopped", scores=scores[validated:], **changes)
        assert isinstance(part.stop, threading.Event)
        part.watcher.stop = part.stop
        finished, runs = part.go(), runs + 1
    assert runs > 3
    assert weights(part) == weights(straight)
    assert comparable(part.state) == comparable(straight.state)
    assert read_losses(tmp_path / "stopped") == read_losses(tmp_path / "straight")


def comparable(state: TrainingState) -> TrainingState:
    return replace(state, seconds=0.0)


def newest_step(folder: Path) -> int:
    paths = list_checkpoints(folder)
    return checkpoint_step(paths[-1]) if paths else 0


def read_losses(folder: Path) -> list[object]:
    records = read_metrics(folder / "metrics.jsonl")
    return [(record["step"], record["loss"]) for record in records if record["kind"] == "train"]


def test_the_seed_decides_the_run(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / name).mkdir()
    a, b, c = Run(tmp_path / "a"), Run(tmp_path / "b"), Run(tmp_path / "c", seed=2)
    for run in (a, b, c):
        run.go()
    assert weights(a) == weights(b)
    assert weights(a) != weights(c)


def test_the_loss_falls(tmp_path: Path) -> None:
    run = Run(tmp_path, total=150, learning_rate=0.02, log_every=10, validate_every=1000, checkpoint_every=1000)
    run.go()
    assert run.watcher.steps[-1].loss < 0.8 * run.watcher.steps[0].loss


def test_validation_chooses_the_best_and_records_everything(tmp_path: Path) -> None:
    run = Run(tmp_path, scores=[10, 30, 20])
    assert run.go()
    assert run.saved == [4, 8]
    assert [report.is_best for report in run.watcher.validations] == [True, True, False]
    assert (run.state.best_score, run.state.best_step, run.state.stale) == (30.0, 8, 1)
    records = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [record["step"] for record in records if record["kind"] == "valid"] == [4, 8, 12]
    assert [record["step"] for record in records if record["kind"] == "train"] == [2, 4, 6, 8, 10, 12]


def test_the_best_can_be_chosen_by_loss(tmp_path: Path) -> None:
    run = Run(tmp_path, scores=[10, 30, 20], best_by="loss")
    run.go()
    assert run.state.best_score == -70.0


def test_patience_ends_the_run_early_and_for_good(tmp_path: Path) -> None:
    run = Run(tmp_path, total=100, scores=[10, 9, 8, 7], patience=2)
    assert run.go()
    assert run.state.step == 12
    again = Run(tmp_path, total=100, patience=2)
    assert again.go()
    assert again.state.step == 12


def test_plateaus_halve_the_learning_rate(tmp_path: Path) -> None:
    run = Run(tmp_path, total=24, scores=[10, 9, 8, 7, 6, 5], schedule="plateau", plateau_patience=2)
    run.go()
    assert run.state.halvings == 2
    rates = [report.learning_rate for report in run.watcher.steps]
    assert rates[-1] == pytest.approx(run.settings.learning_rate / 4)


def test_a_loss_that_is_not_a_number_stops_with_advice_and_keeps_the_last_good_state(tmp_path: Path) -> None:
    assert Run(tmp_path, total=8).go()
    (good,) = list_checkpoints(tmp_path)
    before = good.read_bytes()
    run = Run(tmp_path, total=16, learning_rate=1e30, optimizer="adam")
    with pytest.raises(TrainingError, match=r"the training loss is .* at step .*; try a lower training.learning_rate"):
        run.go()
    assert list_checkpoints(tmp_path) == [good]
    assert good.read_bytes() == before


class CountDown:
    """Asks to stop after so many steps."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def is_set(self) -> bool:
        self.steps -= 1
        return self.steps < 0


def test_broken_weights_are_not_saved_on_a_stop_either(tmp_path: Path) -> None:
    assert Run(tmp_path, total=8).go()
    (good,) = list_checkpoints(tmp_path)
    before = good.read_bytes()
    run = Run(tmp_path, total=1000, learning_rate=1e30, log_every=1000, validate_every=1000, checkpoint_every=1000)
    run.stop = CountDown(4)
    with pytest.raises(TrainingError, match=r"the training loss is (not a number|.*e\+\d+ nats a word) at step 12"):
        run.go()
    assert list_checkpoints(tmp_path) == [good]
    assert good.read_bytes() == before


def test_an_exploding_loss_is_named(tmp_path: Path) -> None:
    run = Run(tmp_path, total=100, learning_rate=50.0, optimizer="sgd", clip_norm=0.0, schedule="constant")
    with pytest.raises(TrainingError, match=r"nats a word at step|is not a number at step"):
        run.go()


def test_a_validation_that_a_stop_cuts_short_is_made_up_for(tmp_path: Path) -> None:
    for name in ("straight", "stopped"):
        (tmp_path / name).mkdir()
    straight = Run(tmp_path / "straight", scores=[1, 2, 3])
    assert straight.go()
    first = Run(tmp_path / "stopped")
    first.interrupt_validation = True
    assert not first.go()
    assert (first.state.step, first.state.validated) == (4, 0)
    second = Run(tmp_path / "stopped")
    second.interrupt_validation = True
    assert not second.go()
    assert second.state.step == 4
    third = Run(tmp_path / "stopped", scores=[1, 2, 3])
    assert third.go()
    assert [report.step for report in third.watcher.validations] == [4, 8, 12]
    assert weights(third) == weights(straight)


def test_the_validation_of_the_last_step_is_made_up_for_once(tmp_path: Path) -> None:
    first, second, third = (Run(tmp_path, total=4, scores=[7]) for _ in range(3))
    first.interrupt_validation = True
    assert not first.go()
    assert second.go()
    assert third.go()
    assert len(second.watcher.validations) == 1
    assert third.watcher.validations == []
    assert third.state.best_score == 7.0


def test_a_moving_average_is_what_is_validated(tmp_path: Path) -> None:
    run = Run(tmp_path, ema_decay=0.9)
    run.go()
    assert run.average is not None
    with run.average.in_place():
        assert run.seen[-1] == weights(run)
    assert run.seen[-1] != weights(run)


def test_another_batch_size_in_the_middle_of_a_pass_loses_and_repeats_no_pair(tmp_path: Path) -> None:
    Run(tmp_path, total=3, checkpoint_every=3).go()
    run = Run(tmp_path, total=1000, batch_tokens=15, validate_every=1000)
    run.stop = CountDown(10)
    run.go()
    assert run.state.position.epoch == 0
    assert [budget for budget, _ in run.state.position.parts] == [40, 15]
    words = copying_pairs().words()
    rest = Run(tmp_path, total=1000, batch_tokens=15, log_every=1, validate_every=1000, checkpoint_every=1000)
    rest.stop = UntilEpoch(rest, 1)
    rest.go()
    assert rest.state.position.epoch == 1
    assert rest.state.tokens == words


class UntilEpoch:
    """Asks to stop when so many passes are over."""

    def __init__(self, run: Run, epoch: int) -> None:
        self.run, self.epoch = run, epoch

    def is_set(self) -> bool:
        return self.run.state.position.epoch >= self.epoch
