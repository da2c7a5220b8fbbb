"""A toy language pair, prepared and trained once for all tests: every word of the source gains an -o."""

import itertools
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import settings

from nmt.config import Settings, change_settings, load_settings
from nmt.models.build import build_language_model
from nmt.models.devices import has_bf16
from nmt.models.folder import ModelFolder, Vocabularies
from nmt.models.kernels import cpu_has
from nmt.prepare.pipeline import prepare
from nmt.prepared import PreparedData, PreparedText
from nmt.text.tokenizer import JOINT_MODEL, Tokenizer
from nmt.text.tokenizer_training import TokenizerPlan, train_tokenizer
from nmt.training.observers import Silence
from nmt.training.trainer import train
from tests.cudafake.fixture import fake_cuda as fake_cuda
from tests.untested import pytest_terminal_summary as pytest_terminal_summary

# A property is no measurement: on a busy machine an example may take a second.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

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

HARDWARE: dict[str, tuple[bool, str]] = {
    "bf16": (has_bf16(torch.device("cpu")), "no bf16 products: AVX-512 BF16 or AMX"),
    "int8": (cpu_has("int8"), "no exact 8-bit products: AVX2"),
    "gpu": (torch.cuda.is_available(), "no GPU"),
}
"""What a test may need of the machine: whether it is there, and what is said at the end if it is not."""


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("needs"):
        is_there, lacking = HARDWARE[mark.args[0]]
        if not is_there:
            pytest.skip(lacking)


MakeLanguageModel = Callable[..., Path]
"""Takes the folder, the tokenizer file and settings; returns the folder."""
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


@pytest.fixture(autouse=True, scope="session")
def one_thread_in_processes() -> Iterator[None]:
    """Let processes that tests start compute with one thread, too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Compute with one thread: tests are run side by side, and threads that wait for each other's cores wait long."""
    torch.set_num_threads(1)


@pytest.fixture
def start_process() -> Iterator[StartProcess]:
    """Start processes that are gone after the test, with their pipes closed, also when it fails."""
    with ExitStack() as stack:

        def start(*arguments: Any, **options: Any) -> "subprocess.Popen[Any]":
            process = stack.enter_context(subprocess.Popen(*arguments, **options))
            stack.callback(process.kill)
            return process

        yield start


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
def toy_recipe(toy_text: Path) -> str:
    """What toy.toml says, for a recipe in any folder."""
    return (toy_text / "toy.toml").read_text(encoding="utf-8").replace('root = "."', f'root = "{toy_text}"')


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
def toy_text_data(tmp_path_factory: pytest.TempPathFactory) -> PreparedText:
    """A text of whole words, prepared: after each comes the next one of `WORDS`, over the end of a line too."""
    folder = tmp_path_factory.mktemp("text")
    rng = np.random.default_rng(0)
    words = itertools.cycle(WORDS)
    for name, lines in {"train": 300, "valid": 30}.items():
        text = [" ".join(itertools.islice(words, int(rng.integers(2, 6)))) for _ in range(lines)]
        (folder / f"{name}.txt").write_text("".join(f"{line}\n" for line in text), encoding="utf-8")
    files = [f"data.root={folder}", "data.train_text=['train.txt']", "data.valid_text=valid.txt"]
    prepare(folder / "data", load_settings(None, [*files, "tokenizer.kind=word"]))
    return PreparedText.open(folder / "data")


@pytest.fixture(scope="session")
def toy_model(toy_data: PreparedData, toy_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model that has learnt the toy language."""
    folder = tmp_path_factory.mktemp("models") / "toy"
    train(toy_data, folder, toy_settings, observer=Silence(), stop=threading.Event())
    return folder


@pytest.fixture(scope="session")
def right_to_left_model(
    toy_data: PreparedData, toy_settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The folder of a model that has learnt the toy language, from the last piece of its translations to the first."""
    folder = tmp_path_factory.mktemp("models") / "right-to-left"
    settings = change_settings(toy_settings, "model", {"right_to_left": True})
    train(toy_data, folder, settings, observer=Silence(), stop=threading.Event())
    return folder


@pytest.fixture(scope="session")
def toy_language_model(
    toy_text: Path, make_language_model: MakeLanguageModel, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The folder of a language model that can read the toy sources, and has learnt nothing."""
    lines = (toy_text / "train.src").read_text(encoding="utf-8").splitlines()
    tokenizer = tmp_path_factory.mktemp("tokenizer") / JOINT_MODEL
    tokenizer.write_bytes(train_tokenizer(lines, TokenizerPlan("unigram", 30)))
    sizes = ["model.embedding_size=24", "model.hidden_size=40", "model.decoder_layers=2", "model.init_range=0.6"]
    return make_language_model(tmp_path_factory.mktemp("models") / "language", tokenizer, *sizes)


@pytest.fixture(scope="session")
def make_language_model() -> MakeLanguageModel:
    """Write tiny language models that have learnt nothing: what they find probable is random, but far from uniform."""

    def make(folder: Path, tokenizer: Path, *overrides: str, seed: int = 1) -> Path:
        tiny = ["model.kind='lm'", "model.embedding_size=8", "model.hidden_size=16", "model.init_range=1.5"]
        settings, size = load_settings(overrides=[*tiny, *overrides]), len(Tokenizer.load(tokenizer))
        sizes = Vocabularies(src=size, tgt=size, joint=True)
        made = ModelFolder(
            folder, settings=settings, vocabularies=sizes, tokenizers={tokenizer.name: tokenizer.read_bytes()}
        )
        made.create()
        made.save(build_language_model(settings.model, vocab_size=size, seed=seed), {})
        return folder

    return make
