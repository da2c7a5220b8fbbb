"""A toy text: words in their order of the alphabet, round and round, with lines that end anywhere; and a tiny run."""

import math
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from nmt.config import ModelSettings, Settings, TrainingSettings, load_settings
from nmt.models.build import build_model
from nmt.models.folder import model_tensors
from nmt.prepare.pipeline import prepare
from nmt.prepared import PreparedText
from nmt.text.sequences import FlatSequences
from nmt.training.checkpoint import Checkpoints
from nmt.training.distributed import Ranks
from nmt.training.feeding import DataOrder, Feed, TrainingPairs
from nmt.training.loop import Trainer
from nmt.training.loss_scale import LossScale
from nmt.training.observers import Records, Scores, Silence, StepProgress, StepReport, StopRequest, ValidationReport
from nmt.training.planning import Pace
from nmt.training.state import TrainingState
from nmt.training.translation import TrainingLoss
from nmt.training.update import MovingAverage, Schedule, Updater, make_objective, make_optimizer

WORDS = ("bat", "cow", "den", "fig", "gum", "hat", "jam", "kit", "log", "map")

TEXT_RECIPE = """
[data]
root = "."
train_text = ["train.txt"]
valid_text = "valid.txt"
test_text = "test.txt"

[tokenizer]
kind = "word"
vocab_size = 16

[model]
kind = "lm"
embedding_size = 8
hidden_size = 16
decoder_layers = 2
dropout = 0.1

[training]
segment_rows = 5
segment_steps = 6
learning_rate = 0.02
warmup_steps = 10
max_epochs = 3
validate_every = 40
checkpoint_every = 20
log_every = 10
precision = "fp32"
threads = 1
tensorboard = false
"""


def counting_lines(words: int, *, seed: int) -> list[str]:
    """Lines of 1 to 6 words that follow each other, over the ends of the lines too."""
    rng, lines, place = np.random.default_rng(seed), list[str](), 0
    while place < words:
        length = int(rng.integers(1, 7))
        lines.append(" ".join(WORDS[(place + i) % len(WORDS)] for i in range(length)))
        place += length
    return lines


@pytest.fixture(scope="session")
def counting_text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with train.txt, valid.txt, test.txt and counting.toml."""
    folder = tmp_path_factory.mktemp("counting")
    for seed, (name, words) in enumerate({"train": 1500, "valid": 200, "test": 200}.items()):
        lines = counting_lines(words, seed=seed)
        (folder / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    (folder / "counting.toml").write_text(TEXT_RECIPE, encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def counting_data(counting_text: Path, tmp_path_factory: pytest.TempPathFactory) -> PreparedText:
    """The toy text, prepared."""
    folder = tmp_path_factory.mktemp("prepared") / "counting"
    prepare(folder, load_settings(counting_text / "counting.toml"))
    return PreparedText.open(folder)


@pytest.fixture(scope="session")
def counting_settings(counting_text: Path, counting_data: PreparedText) -> Settings:
    """The settings of counting.toml."""
    return load_settings(counting_text / "counting.toml", base=counting_data.settings)


VOCAB = 12


class Listener(Silence):
    """Keeps what a run tells, and stops it at a step."""

    def __init__(self, *, stop_at: int | None = None) -> None:
        self.stop_at, self.stop = stop_at, threading.Event()
        self.messages: list[str] = []
        self.steps: list[StepReport] = []
        self.validations: list[ValidationReport] = []

    def on_step(self, report: StepReport) -> None:
        self.steps.append(report)
        if self.stop_at is not None and report.step >= self.stop_at:
            self.stop.set()

    def on_validation(self, report: ValidationReport) -> None:
        self.validations.append(report)

    def on_message(self, message: str) -> None:
        self.messages.append(message)


class Watcher(Silence):
    def __init__(self) -> None:
        self.stop: threading.Event | None = None
        """Set at the next record, if given."""
        self.steps: list[StepReport] = []
        self.validations: list[ValidationReport] = []
        self.messages: list[str] = []
        self.progress: list[StepProgress] = []

    def on_step(self, report: StepReport) -> None:
        self.steps.append(report)
        if self.stop is not None:
            self.stop.set()

    def on_progress(self, progress: StepProgress) -> None:
        self.progress.append(progress)

    def on_validation(self, report: ValidationReport) -> None:
        self.validations.append(report)

    def on_message(self, message: str) -> None:
        self.messages.append(message)


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
        self.folder, self.scores = folder, iter(scores or range(1000))
        self.kept: list[tuple[int, dict[str, object]]] = []
        self.seen: list[dict[str, list[float]]] = []
        self.interrupt_validation = False
        self.pairs = copying_pairs()
        self.watcher = Watcher()
        self.stop: StopRequest = threading.Event()
        self.scale = LossScale(self.model.device) if self.settings.precision == "fp16" else None
        self.checkpoints = Checkpoints(
            folder, self.model, self.optimizer, average=self.average, keep=1, scale=self.scale
        )
        self.schedule = Schedule(self.settings.schedule, self.settings.learning_rate, self.settings.warmup_steps, total)

    def validate(self, stop: StopRequest) -> Scores | None:
        if self.interrupt_validation:
            return None
        self.seen.append(self.weights())
        score = float(next(self.scores))
        return Scores(100.0 - score, score)

    def model_writer(self, state: TrainingState, told: Mapping[str, object]) -> Callable[[], None]:
        kept = (state.step, dict(told))
        return lambda: self.kept.append(kept)

    @property
    def saved(self) -> list[int]:
        return [step for step, _ in self.kept]

    def weights(self) -> dict[str, list[float]]:
        return {name: tensor.flatten().tolist() for name, tensor in model_tensors(self.model).items()}

    def go(self) -> bool:
        settings, ranks = self.settings, Ranks()
        self.state = self.checkpoints.load_newest(on_damage=self.watcher.on_message) or TrainingState()
        order = DataOrder(self.pairs, settings.batch_tokens, settings.seed)
        objective = make_objective(settings, np.ones(VOCAB, dtype=np.int64))
        updater = Updater(
            loss=TrainingLoss(self.model, objective),
            optimizer=self.optimizer,
            device=torch.device("cpu"),
            precision="fp32" if self.scale is None else "fp16",
            clip_norm=settings.clip_norm or math.inf,
            clip_value=settings.clip_value or math.inf,
            average=self.average,
            ranks=ranks,
            on_message=self.watcher.on_message,
            scale=self.scale,
        )
        with Records(self.folder, step=self.state.step, tensorboard=False) as records:
            trainer = Trainer(
                model=self.model,
                updater=updater,
                feed=Feed(order, settings.accumulate, ranks, pin=False),
                schedule=self.schedule,
                settings=settings,
                log_every=int(settings.log_every),
                state=self.state,
                checkpoints=self.checkpoints,
                validate=self.validate,
                model_writer=self.model_writer,
                pace=Pace(settings.validate_every, settings.checkpoint_every),
                records=records,
                observer=self.watcher,
                stop=self.stop,
                ranks=ranks,
            )
            return trainer.run()


@pytest.fixture
def make_run() -> type[Run]:
    """Make a run in a folder, of `total` updates, whose validations find the `scores`."""
    return Run
