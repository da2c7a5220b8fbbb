"""A toy language pair, prepared and trained once for all tests: every word of the source gains an -o."""

import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nmt.config import Settings, load_settings
from nmt.prepared import PreparedData
from nmt.prepared.pipeline import prepare
from nmt.training.loop import StepReport, ValidationReport
from nmt.training.run import train

WORDS = ("bat", "cow", "den", "fig", "gum", "hat", "jam", "kit", "log", "map")

RECIPE = """
[data]
root = "."
train_src = ["train.src"]
train_tgt = ["train.tgt"]
valid_src = "valid.src"
valid_tgt = "valid.tgt"
test_src = "test.src"
test_tgt = "test.tgt"

[tokenizer]
vocab_size = 40

[model]
embedding_size = 32
hidden_size = 64
encoder_layers = 1
dropout = 0.0

[training]
batch_tokens = 150
learning_rate = 0.01
warmup_steps = 20
max_steps = 300
validate_every = 150
checkpoint_every = 150
log_every = 50
precision = "fp32"
threads = 1
"""


StartProcess = Callable[..., "subprocess.Popen[Any]"]
"""Takes what `subprocess.Popen` takes."""


@pytest.fixture(autouse=True, scope="session")
def processes_hear_of_ctrl_c() -> Iterator[None]:
    """Let processes that tests start end at SIGINT, also where the tests were started with it ignored, as by `&`.

    They would inherit that; what a handler does they do not, and this one ignores the signal for the tests themselves.
    """
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        yield
        return
    signal.signal(signal.SIGINT, lambda number, frame: None)
    yield
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@pytest.fixture
def start_process() -> Iterator[StartProcess]:
    """Start processes that are gone after the test, with their pipes closed, also when it fails."""
    with ExitStack() as stack:

        def start(*arguments: Any, **options: Any) -> "subprocess.Popen[Any]":
            process = stack.enter_context(subprocess.Popen(*arguments, **options))
            stack.callback(process.kill)
            return process

        yield start


class Nobody:
    """Watches a run without a word."""

    def on_step(self, report: StepReport) -> None:
        pass

    def on_validation(self, report: ValidationReport) -> None:
        pass

    def on_message(self, message: str) -> None:
        pass


def write_toy(folder: Path, name: str, *, pairs: int, seed: int) -> None:
    """Write `name`.src and `name`.tgt."""
    rng = np.random.default_rng(seed)
    lines = [" ".join(rng.choice(WORDS, size=rng.integers(2, 6))) for _ in range(pairs)]
    targets = [" ".join(word + "o" for word in line.split()) for line in lines]
    for suffix, texts in ((".src", lines), (".tgt", targets)):
        (folder / (name + suffix)).write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")


@pytest.fixture(scope="session")
def toy_text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with train, valid and test text, .src and .tgt, and toy.toml."""
    folder = tmp_path_factory.mktemp("toy")
    for seed, (name, pairs) in enumerate({"train": 400, "valid": 20, "test": 20}.items()):
        write_toy(folder, name, pairs=pairs, seed=seed)
    (folder / "toy.toml").write_text(RECIPE, encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def toy_settings(toy_text: Path) -> Settings:
    """The settings of toy.toml."""
    return load_settings(toy_text / "toy.toml")


@pytest.fixture(scope="session")
def toy_data(toy_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    """The toy text, prepared."""
    folder = tmp_path_factory.mktemp("prepared") / "toy"
    prepare(folder, toy_settings)
    return PreparedData.open(folder)


@pytest.fixture(scope="session")
def toy_model(toy_data: PreparedData, toy_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model that has learnt the toy language."""
    folder = tmp_path_factory.mktemp("models") / "toy"
    train(toy_data, folder, toy_settings, observer=Nobody(), stop=threading.Event())
    return folder
