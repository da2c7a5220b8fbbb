import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

from nmt.config import Settings, load_settings
from nmt.corpus.base import Block
from nmt.io.lines import Line, Pair

Pairs = list[tuple[str, str]]

_SUBJECTS = ["the cat", "a dog", "my friend", "the old man", "a child", "our teacher"]
_VERBS = ["sees", "likes", "finds", "wants", "draws"]
_OBJECTS = ["the house", "a tree", "some bread", "the river", "a song", "the moon", "my book"]


R = TypeVar("R", Pair, Line)


@dataclass(frozen=True)
class BlockOf(Block[R]):
    """A block of records that are given."""

    given: Sequence[R]

    def __len__(self) -> int:
        return len(self.given)

    def records(self) -> list[R]:
        return list(self.given)


@pytest.fixture
def pairs() -> Pairs:
    """210 distinct pairs: the target is the source with its parts in the other order, spelt backwards."""
    parts = itertools.product(_SUBJECTS, _VERBS, _OBJECTS)
    return [(f"{subject} {verb} {thing} .", f"{thing} {verb} {subject} ."[::-1]) for subject, verb, thing in parts]


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, Pairs], None]:
    """A function that writes pairs to NAME.src and NAME.tgt in the temporary folder."""

    def write(name: str, pairs: Pairs) -> None:
        for suffix, side in ((".src", 0), (".tgt", 1)):
            text = "".join(pair[side] + "\n" for pair in pairs)
            (tmp_path / f"{name}{suffix}").write_text(text, encoding="utf-8", newline="")

    return write


@pytest.fixture
def corpus(write: Callable[[str, Pairs], None], pairs: Pairs) -> Pairs:
    """The pairs, written to train.src and train.tgt."""
    write("train", pairs)
    return pairs


@pytest.fixture
def make_settings(tmp_path: Path) -> Callable[..., Settings]:
    """A function that makes settings which read train.src and train.tgt in the temporary folder."""

    def make(*overrides: str) -> Settings:
        files = ["data.train_src=['train.src']", "data.train_tgt=['train.tgt']", "tokenizer.vocab_size=60"]
        return load_settings(None, [f"data.root={tmp_path}", *files, *overrides])

    return make
