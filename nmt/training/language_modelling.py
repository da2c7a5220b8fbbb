"""A language model as a run trains it: its task, and the cross-entropy of its validation text, read as one stream."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import nn

from nmt.config import Settings
from nmt.errors import ConfigError, counted
from nmt.models.build import build_language_model
from nmt.models.devices import Precision, autocast
from nmt.models.folder import Vocabularies
from nmt.models.language_model import LanguageModel
from nmt.prepared import PreparedText
from nmt.prepared.manifest import TRAIN
from nmt.text.tokenizer import Tokenizers
from nmt.training.objectives import SegmentLoss, make_objective
from nmt.training.objectives.full import linear_cross_entropy
from nmt.training.observers import Scores, StopRequest
from nmt.training.state import Carry, Position
from nmt.training.task import Place
from nmt.training.text_feeding import Parts, TextFeed, TextStream
from nmt.training.word_vectors import start_language_model_from_vectors

_STEPS = 500
"""Words read between two looks at whether to stop."""


@dataclass(frozen=True)
class TextValidator:
    """Scores a model on the validation text, with the state carried on over the whole of it.

    That is how Zaremba et al. (2015, sec. 4.1) test, and it is done for models as well that were trained without
    (`training.carry_state`): reading on lowers their perplexity too. It always uses the full softmax and no dropout.
    """

    stream: TextStream
    precision: Precision

    def __call__(self, model: LanguageModel, stop: StopRequest) -> Scores | None:
        """Return the cross-entropy in nats a piece, `</s>` included; None if asked to stop before it is known."""
        model.eval()
        try:
            with torch.inference_mode():
                loss = self._loss(model, stop)
                return None if loss is None else Scores(loss, bleu=None)
        finally:
            model.train()

    def _loss(self, model: LanguageModel, stop: StopRequest) -> float | None:
        total, state = 0.0, None
        for segment in Parts(self.stream, rows=1).segments(_STEPS):
            if stop.is_set():
                return None
            here = segment.to(model.device)
            with autocast(model.device, self.precision):
                features, state = model(here.inputs, state)
                gold = here.outputs.flatten()
                total += float(linear_cross_entropy(features.flatten(0, 1), gold, model.output, label_smoothing=0.0))
        return total / len(self.stream)


class LanguageTask:
    """A language model and the text that it learns from.

    Truncated back-propagation through time: the text is cut into equal parts that are read side by side, a segment of
    `training.segment_steps` words at a time; gradients stay within a segment, the state goes on to the next
    (Mikolov et al., 2010; Zaremba et al., 2015, sec. 4.1).
    """

    def __init__(self, data: PreparedText, settings: Settings, place: Place) -> None:
        training = settings.training
        if training.segment_rows < place.ranks.size:
            raise ConfigError(
                f"training.segment_rows = {training.segment_rows} is less than the {place.ranks.size} processes that "
                "share them; raise it, or start fewer"
            )
        self.data = data
        self.settings = settings
        self.place = place
        self.data_folder: Path = data.folder
        self.tokenizer_files = Tokenizers(data.tokenizer, data.tokenizer).files
        self.data_digest = data.manifest.files[TRAIN].sha256
        self.batch_tokens = training.segment_rows * training.segment_steps
        self.vocabularies = Vocabularies(len(data.tokenizer), len(data.tokenizer), joint=True)
        self.carry = Carry(place.ranks, rows=training.segment_rows)
        self._parts = Parts(TextStream(data.train), training.segment_rows)
        self.feed = TextFeed(
            self._parts,
            training.segment_steps,
            training.accumulate,
            training.carry_state,
            place.ranks,
            pin=place.device.type == "cuda",
        )

    @cached_property
    def model(self) -> LanguageModel:
        """The model, freshly initialised when it is first asked for."""
        model = build_language_model(
            self.settings.model, vocab_size=self.vocabularies.tgt, seed=self.settings.training.seed
        )
        return model.to(self.place.device)

    def plan_ahead(self) -> None:
        """Do nothing: a text is read as it stands."""

    def start_from_vectors(self, on_message: Callable[[str], None]) -> None:
        """Put the word vectors that the settings name, if any, into the model, which has learnt nothing yet."""
        start_language_model_from_vectors(
            self.model, self.settings, pieces=self.data.tokenizer.pieces, counts=self.data.counts, on_message=on_message
        )

    @property
    def padding(self) -> float:
        """Share of the cells of a pass that lie behind the end of the text."""
        return 1 - len(self._parts.stream) / (self._parts.rows * self._parts.columns)

    def describe(self, position: Position) -> str:
        """Say what every pass consists of."""
        words, lines = len(self._parts.stream), len(self.data.train)
        return f"{counted(words, 'piece')} in {counted(lines, 'line')}, {counted(self.feed.segments, 'segment')} a pass"

    def steps_left(self, position: Position) -> int:
        """Count the updates from `position` to the end of the last pass."""
        return self.feed.steps_left(position, max_epochs=self.settings.training.max_epochs)

    def steps_of_pass(self, epoch: int) -> int:
        """Count the updates of a pass, `epoch` others before it."""
        return self.feed.steps_left(Position(epoch), max_epochs=epoch + 1)

    def make_loss(self) -> nn.Module:
        """Make the loss that the settings ask for."""
        objective = make_objective(self.settings.training, self.data.counts, device=self.model.device)
        return SegmentLoss(self.model, objective, self.carry)

    def validate(self, stop: StopRequest) -> Scores | None:
        """Score the model on the validation text; None if asked to stop before the score is known."""
        return TextValidator(TextStream(self.data.valid), self.place.precision)(self.model, stop)
