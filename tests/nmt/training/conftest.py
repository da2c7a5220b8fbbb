"""A toy text: words in their order of the alphabet, round and round, with lines that end anywhere."""

from pathlib import Path

import numpy as np
import pytest

from nmt.config import Settings, load_settings
from nmt.prepared import PreparedText
from nmt.prepared.pipeline import prepare

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
