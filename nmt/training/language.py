"""Training of a language model: a text read on and on in several parts, validated by perplexity."""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from torch import nn

from nmt.config import Settings
from nmt.errors import ConfigError
from nmt.models.build import build_language_model
from nmt.models.folder import Vocabularies
from nmt.models.language_model import LanguageModel
from nmt.prepared import PreparedText
from nmt.prepared.manifest import TRAIN
from nmt.subword import Tokenizers
from nmt.training.carry import Carry
from nmt.training.objectives import SegmentLoss, make_objective
from nmt.training.pretrained import start_language_model_from_vectors
from nmt.training.reports import Scores, StopRequest
from nmt.training.state import Position
from nmt.training.stream import Parts, TextStream
from nmt.training.task import Place
from nmt.training.text_feeding import TextFeed
from nmt.training.text_validation import TextValidator
from nmt.wording import counted


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
            self.model,
            self.settings,
            pieces=self.data.tokenizer.pieces,
            counts=self.data.counts,
            on_message=on_message,
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
