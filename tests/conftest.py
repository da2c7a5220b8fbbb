"""A toy language pair, prepared and trained once for all tests: every word of the source gains an -o."""

import threading
from pathlib import Path

import numpy as np
import pytest

from nmt.config import Settings, load_settings
from nmt.prepared import PreparedData
from nmt.prepared.pipeline import prepare
from nmt.training.loop import StepReport, ValidationReport
from nmt.training.run import train

WORDS = ("bat", "cow", "den", "fig", "gum", "hat", "jam", "kit", "log", "map")


class Watcher:
    """Keeps what a run reports."""

    def __init__(self) -> None:
        self.steps: list[StepReport] = []
        self.validations: list[ValidationReport] = []
        self.messages: list[str] = []
        self.stop = threading.Event()

    def on_step(self, report: StepReport) -> None:
        self.steps.append(report)

    def on_validation(self, report: ValidationReport) -> None:
        self.validations.append(report)

    def on_message(self, message: str) -> None:
        self.messages.append(message)


def write_toy(folder: Path, name: str, *, pairs: int, seed: int) -> None:
    """Write `name`.src and `name`.tgt."""
    rng = np.random.default_rng(seed)
    lines = [" ".join(rng.choice(WORDS, size=rng.integers(2, 6))) for _ in range(pairs)]
    (folder / f"{name}.src").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    targets = (" ".join(word + "o" for word in line.split()) for line in lines)
    (folder / f"{name}.tgt").write_text("".join(f"{line}\n" for line in targets), encoding="utf-8")


def toy_recipe(folder: Path) -> Path:
    """Write a recipe next to the toy text."""
    path = folder / "toy.toml"
    path.write_text(
        '[data]\nroot = "."\ntrain_src = ["train.src"]\ntrain_tgt = ["train.tgt"]\nvalid_src = "valid.src"\n'
        'valid_tgt = "valid.tgt"\ntest_src = "test.src"\ntest_tgt = "test.tgt"\n'
        "[tokenizer]\nvocab_size = 40\n"
        "[model]\nembedding_size = 32\nhidden_size = 64\nencoder_layers = 1\ndropout = 0.0\n"
        "[training]\nbatch_tokens = 150\nlearning_rate = 0.01\nwarmup_steps = 20\nmax_steps = 300\nvalidate_every = 150\n"
        'checkpoint_every = 150\nlog_every = 50\nprecision = "fp32"\nthreads = 1\n',
        encoding="utf-8",
    )
    return path


@pytest.fixture(scope="session")
def toy_text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with train, valid and test text, .src and .tgt, and toy.toml."""
    folder = tmp_path_factory.mktemp("toy")
    for seed, (name, pairs) in enumerate({"train": 400, "valid": 20, "test": 20}.items()):
        write_toy(folder, name, pairs=pairs, seed=seed)
    toy_recipe(folder)
    return folder


@pytest.fixture(scope="session")
def toy_settings(toy_text: Path) -> Settings:
    """The settings of toy.toml."""
    return load_settings(toy_text / "toy.toml")


@pytest.fixture(scope="session")
def toy_data(toy_text: Path, toy_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    """The toy text, prepared."""
    folder = tmp_path_factory.mktemp("prepared") / "toy"
    prepare(folder, toy_settings)
    return PreparedData.open(folder)


@pytest.fixture(scope="session")
def toy_model(toy_data: PreparedData, toy_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model that has learnt the toy language."""
    folder = tmp_path_factory.mktemp("models") / "toy"
    watcher = Watcher()
    train(toy_data, folder, toy_settings, observer=watcher, stop=watcher.stop)
    return folder
