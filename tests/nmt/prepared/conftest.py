import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from nmt.config import Settings, load_settings

SUBJECTS = ["the cat", "a dog", "my friend", "the old man", "a child", "our teacher"]
VERBS = ["sees", "likes", "finds", "wants", "draws"]
OBJECTS = ["the house", "a tree", "some bread", "the river", "a song", "the moon", "my book"]
PAIRS = [
    (f"{subject} {verb} {thing} .", f"{thing[::-1]} {verb[::-1]} {subject[::-1]} .")
    for subject, verb, thing in itertools.product(SUBJECTS, VERBS, OBJECTS)
]
"""210 distinct pairs, whose target is the source with its words spelt backwards."""

MakeSettings = Callable[..., Settings]


@pytest.fixture
def corpus(tmp_path: Path) -> list[tuple[str, str]]:
    """Write `PAIRS` to train.src and train.tgt."""
    write_pairs(tmp_path, "train", PAIRS)
    return PAIRS


@pytest.fixture
def make_settings(tmp_path: Path) -> MakeSettings:
    """Settings that read train.src and train.tgt of the temporary folder, with overrides."""

    def make(*overrides: str) -> Settings:
        files = ["data.train_src=['train.src']", "data.train_tgt=['train.tgt']", "tokenizer.vocab_size=60"]
        return load_settings(None, [f"data.root={tmp_path}", *files, *overrides])

    return make


def write_pairs(folder: Path, name: str, pairs: list[tuple[str, str]]) -> None:
    for suffix, side in ((".src", 0), (".tgt", 1)):
        text = "".join(pair[side] + "\n" for pair in pairs)
        (folder / f"{name}{suffix}").write_text(text, encoding="utf-8", newline="")
