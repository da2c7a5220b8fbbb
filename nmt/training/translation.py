"""Training of a translation model: sentence pairs in batches of similar lengths, validated by loss and BLEU."""

from collections.abc import Callable
from pathlib import Path

from torch import nn

from nmt.config import Settings
from nmt.models.build import build_model
from nmt.models.folder import Vocabularies
from nmt.prepared import PreparedData
from nmt.prepared.manifest import TRAIN
from nmt.training.feeding import Feed
from nmt.training.objectives import make_loss
from nmt.training.order import DataOrder
from nmt.training.pairs import TrainingPairs
from nmt.training.pretrained import start_from_vectors
from nmt.training.reports import Scores, StopRequest
from nmt.training.resampling import make_resamplers
from nmt.training.state import Position
from nmt.training.task import Place
from nmt.training.validation import Validator


class TranslationTask:
    """An encoder-decoder and the pairs that it learns from."""

    carry = None
    """Every pair stands alone."""

    def __init__(self, data: PreparedData, settings: Settings, place: Place) -> None:
        self.data = data
        self.settings = settings
        self.place = place
        self.data_folder: Path = data.folder
        self.data_digest = data.manifest.files[TRAIN].sha256
        self.batch_tokens = settings.training.batch_tokens
        tokenizers = data.tokenizers
        self.vocabularies = Vocabularies(len(tokenizers.src), len(tokenizers.tgt), tokenizers.joint)
        self.model = build_model(
            settings.model,
            src_vocab_size=self.vocabularies.src,
            tgt_vocab_size=self.vocabularies.tgt,
            joint=self.vocabularies.joint,
            seed=settings.training.seed,
        ).to(place.device)
        self.feed = self._make_feed()
        self._plan = self.feed.order.first_plan()
        self.padding = self._plan.padding

    def start_from_vectors(self, on_message: Callable[[str], None]) -> None:
        """Put the word vectors that the settings name, if any, into the model, which has learnt nothing yet."""
        start_from_vectors(self.model, self.data, self.settings, on_message=on_message)

    def describe(self) -> str:
        """Say what a pass consists of."""
        pairs, batches = len(self.data.train_src), len(self._plan.batches)
        return f"{pairs:,} pairs, {batches:,} batches a pass, {self.padding:.1%} padding"

    def steps_left(self, position: Position) -> int:
        """Count the updates from `position` to the end of the last pass."""
        last = self.settings.training.max_epochs
        return self.feed.steps_left(position, max_epochs=last, whole=len(self._plan.batches))

    def make_loss(self) -> nn.Module:
        """Make the loss that the settings ask for."""
        return make_loss(self.settings.training, self.model, self.data.target_counts)

    def validate(self, stop: StopRequest) -> Scores | None:
        """Score the model on the validation pairs; None if asked to stop before the scores are known."""
        data = self.data
        return Validator(data.valid, data.tokenizers, self.settings, self.place.precision)(self.model, stop)

    def _make_feed(self) -> Feed:
        data, training, place = self.data, self.settings.training, self.place
        resamplers = None
        if training.subword_sampling:
            limit = self.settings.data.max_pieces
            resamplers = make_resamplers(data, alpha=training.subword_sampling, max_pieces=limit)
        pairs = TrainingPairs(data.train_src, data.train_tgt, self.settings.model.reverse_source, resamplers)
        order = DataOrder(pairs, training.batch_tokens, training.seed)
        return Feed(order, training.accumulate, place.ranks, pin=place.device.type == "cuda")
