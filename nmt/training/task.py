"""What a run trains, and on what: the parts of it that differ between translation and language models."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import nn

from nmt.models.devices import Precision
from nmt.models.folder import Vocabularies
from nmt.models.language_model import LanguageModel
from nmt.models.seq2seq import Seq2Seq
from nmt.training.distributed import Ranks
from nmt.training.loop import Updates
from nmt.training.observers import Scores, StopRequest
from nmt.training.state import Carry, Position


@dataclass(frozen=True)
class Place:
    """Where a run computes."""

    device: torch.device
    precision: Precision
    ranks: Ranks


class Task(Protocol):
    """A model and its data."""

    @property
    def model(self) -> Seq2Seq | LanguageModel:
        """The model, freshly initialised on its device."""
        ...

    @property
    def feed(self) -> Updates:
        """What cuts the data into updates."""
        ...

    @property
    def carry(self) -> Carry | None:
        """What the model remembers from one update to the next, if anything."""
        ...

    @property
    def data_folder(self) -> Path:
        """The folder of the prepared data."""
        ...

    @property
    def tokenizer_files(self) -> Mapping[str, bytes]:
        """The names and contents of the tokenizers' files."""
        ...

    @property
    def data_digest(self) -> str:
        """SHA-256 of the prepared training data."""
        ...

    @property
    def batch_tokens(self) -> int:
        """Size of a batch, by the settings."""
        ...

    @property
    def padding(self) -> float:
        """Share of padding among the cells of a pass."""
        ...

    @property
    def vocabularies(self) -> Vocabularies:
        """The sizes of the model's tables."""
        ...

    def plan_ahead(self) -> None:
        """Begin to plan the first pass in the background."""
        ...

    def start_from_vectors(self, on_message: Callable[[str], None]) -> None:
        """Put the word vectors that the settings name, if any, into the model, which has learnt nothing yet."""
        ...

    def describe(self, position: Position) -> str:
        """Say what the pass of `position` consists of."""
        ...

    def steps_left(self, position: Position) -> int:
        """Count the updates from `position` to the end of the last pass."""
        ...

    def steps_of_pass(self, epoch: int) -> int:
        """Count the updates of a pass, `epoch` others before it."""
        ...

    def make_loss(self) -> nn.Module:
        """Make the loss that the settings ask for."""
        ...

    def validate(self, stop: StopRequest) -> Scores | None:
        """Score the model on the validation data; None if asked to stop before the scores are known."""
        ...
