"""Training of a translation model: sentence pairs in batches of similar lengths, validated by loss and BLEU."""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from torch import nn

from nmt.config import Settings
from nmt.models.build import build_model
from nmt.models.folder import Vocabularies
from nmt.models.seq2seq import Seq2Seq
from nmt.prepared import PreparedData
from nmt.prepared.manifest import TRAIN
from nmt.training.feeding import Feed
from nmt.training.objectives import TrainingLoss, make_objective
from nmt.training.order import DataOrder, Share, pairs_of_pass
from nmt.training.pairs import TrainingPairs
from nmt.training.pretrained import start_from_vectors
from nmt.training.reports import Scores, StopRequest
from nmt.training.resampling import make_resamplers
from nmt.training.state import Position
from nmt.training.task import Place
from nmt.training.validation import validate_sets
from nmt.wording import counted


class TranslationTask:
    """An encoder-decoder and the pairs that it learns from."""

    carry = None
    """Every pair stands alone."""

    def __init__(self, data: PreparedData, settings: Settings, place: Place) -> None:
        self.data = data
        self.settings = settings
        self.place = place
        self.data_folder: Path = data.folder
        self.tokenizer_files = data.tokenizers.files
        self.data_digest = data.manifest.files[TRAIN].sha256
        self.batch_tokens = settings.training.batch_tokens
        if settings.training.bleu_tokenizer != "auto":
            from nmt.metrics import make_bleu  # loads sacrebleu, which the first step need not wait for otherwise

            make_bleu(settings.training.bleu_tokenizer)  # what it lacks is told of now, not at the first validation
        tokenizers = data.tokenizers
        self.vocabularies = Vocabularies(len(tokenizers.src), len(tokenizers.tgt), tokenizers.joint)
        self.shares = tuple(Share(corpus.train, corpus.weight) for corpus in data.corpora)
        self.pairs_of_pass = pairs_of_pass(self.shares)
        self.feed = self._make_feed()

    @cached_property
    def model(self) -> Seq2Seq:
        """The model, freshly initialised when it is first asked for: a plan can be begun before."""
        return build_model(
            self.settings.model,
            src_vocab_size=self.vocabularies.src,
            tgt_vocab_size=self.vocabularies.tgt,
            joint=self.vocabularies.joint,
            seed=self.settings.training.seed,
        ).to(self.place.device)

    def plan_ahead(self) -> None:
        """Begin to plan the first pass, which takes seconds for millions of pairs."""
        self.feed.order.plan_ahead(0)

    def start_from_vectors(self, on_message: Callable[[str], None]) -> None:
        """Put the word vectors that the settings name, if any, into the model, which has learnt nothing yet."""
        start_from_vectors(self.model, self.data, self.settings, on_message=on_message)

    @property
    def padding(self) -> float:
        """Share of padding among the cells of a pass."""
        return self.feed.order.padding

    def describe(self, position: Position) -> str:
        """Say what the pass of `position` consists of."""
        plan = self.feed.order.plan(position.epoch)
        drawn = ""
        if any(share.weight != 1 for share in self.shares):
            drawn = f"{self.pairs_of_pass:,} drawn by the weights of their corpora for each pass, "
        pairs, batches = counted(len(self.data.train_src), "pair"), counted(len(plan.batches), "batch", "batches")
        return f"{pairs}, {drawn}{batches} a pass, {plan.padding:.1%} padding"

    def steps_left(self, position: Position) -> int:
        """Count the updates from `position` to the end of the last pass."""
        return self.feed.steps_left(position, max_epochs=self.settings.training.max_epochs)

    def steps_of_pass(self, epoch: int) -> int:
        """Count the updates of a pass, `epoch` others before it."""
        return self.feed.steps_left(Position(epoch), max_epochs=epoch + 1)

    def make_loss(self) -> nn.Module:
        """Make the loss that the settings ask for."""
        objective = make_objective(self.settings.training, self.data.target_counts, device=self.model.device)
        return TrainingLoss(self.model, objective)

    def validate(self, stop: StopRequest) -> Scores | None:
        """Score the model on the validation sets; None if asked to stop before the scores are known."""
        return validate_sets(self.model, self.data, self.settings, self.place.precision, stop=stop)

    def _make_feed(self) -> Feed:
        data, training, place = self.data, self.settings.training, self.place
        resamplers = None
        if training.subword_sampling:
            limit = self.settings.data.max_pieces
            resamplers = make_resamplers(data, alpha=training.subword_sampling, max_pieces=limit)
        pairs = TrainingPairs(data.train_src, data.train_tgt, self.settings.model.reverse_source, resamplers)
        order = DataOrder(pairs, training.batch_tokens, training.seed, self.shares)
        return Feed(order, training.accumulate, place.ranks, pin=place.device.type == "cuda")
