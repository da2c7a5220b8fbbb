"""A language model as a run trains it: its loss, and that of its validation text, read as one stream."""

from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor, nn

from nmt.batching import Segment
from nmt.config import Settings
from nmt.errors import ConfigError, counted
from nmt.models.build import build_language_model
from nmt.models.devices import Precision, autocast
from nmt.models.language_model import LanguageModel
from nmt.models.parts import freeze
from nmt.models.placement import spread
from nmt.prepared import PreparedText
from nmt.text.sequences import Sequences
from nmt.training.distributed import Place
from nmt.training.inheriting import inherit
from nmt.training.objectives.full import linear_cross_entropy
from nmt.training.observers import Scores, StopRequest
from nmt.training.state import Carry, Position
from nmt.training.text_feeding import Parts, TextFeed, TextStream
from nmt.training.update import Objective, make_objective
from nmt.training.word_vectors import CountedPieces, give_vectors

_STEPS = 500
"""Pieces read between two looks at whether to stop."""
_TRAINED_MEANWHILE = 0.5
"""Pieces trained while one is validated: there is no way back."""


class LanguageTask:
    """A language model and the text that it learns from.

    Truncated back-propagation through time: the text is cut into equal parts that are read side by side, a segment of
    `training.segment_steps` pieces at a time; gradients stay within a segment, the state goes on to the next
    (Mikolov et al., 2010; Zaremba et al., 2015, sec. 4.1). Fewer rows than processes are a ConfigError.
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
        self.tokenizers = data.tokenizers
        self.batch_tokens = training.segment_rows * training.segment_steps
        self.carry = Carry(place.ranks, rows=training.segment_rows)
        self.feed = TextFeed(
            Parts(TextStream(data.train), training.segment_rows),
            training.segment_steps,
            training.accumulate,
            training.carry_state,
            place.ranks,
            pin=place.device.type == "cuda",
        )

    @cached_property
    def model(self) -> LanguageModel:
        """The model, freshly initialised when it is first asked for."""
        vocab_size, seed = len(self.data.tokenizer), self.settings.training.seed
        model = build_language_model(self.settings.model, vocab_size=vocab_size, seed=seed)
        freeze(model, self.settings.training.freeze)
        spread(model, self.settings.training.placement or {}, self.place.device)
        return model

    def begin(self, on_message: Callable[[str], None]) -> None:
        """Start the model of a new run from the parent or the word vectors that the settings name, if any."""
        if parent := self.settings.training.parent:
            inherit(self.model, self.tokenizers, self.settings, parent, on_message=on_message)
        elif path := self.settings.model.tgt_vectors:
            words = CountedPieces("word", self.data.tokenizer.pieces, self.data.counts)
            on_bad_utf8 = self.settings.data.on_bad_utf8
            give_vectors(self.model.embedding, words, path, on_bad_utf8=on_bad_utf8, on_message=on_message)

    def describe(self, position: Position) -> str:
        """Say what every epoch consists of."""
        lines, segments = len(self.data.train), counted(self.feed.segments, "segment")
        return f"{counted(self.pieces, 'piece')} in {counted(lines, 'line')}, {segments} per epoch"

    @property
    def pieces(self) -> int:
        """Pieces of an epoch."""
        return len(self.feed.parts.stream)

    @property
    def pieces_of_validation(self) -> float:
        """Pieces that are trained in the time that a validation takes, roughly."""
        return _TRAINED_MEANWHILE * len(TextStream(self.data.valid))

    def make_loss(self) -> nn.Module:
        """Make the loss that the settings ask for."""
        objective = make_objective(self.settings.training, self.data.counts)
        return SegmentLoss(self.model, objective, self.carry)

    def validate(self, stop: StopRequest) -> Scores | None:
        """Score the model on the validation text; None if asked to stop before the score is known."""
        return validate_text(self.model, self.data.valid, self.place.precision, stop=stop)


class SegmentLoss(nn.Module):
    """A language model and its objective as one module: segments in, nats out; `carry` is what it remembers."""

    def __init__(self, model: LanguageModel, objective: Objective, carry: Carry) -> None:
        super().__init__()
        self.model = model
        self.objective = objective
        self.carry = carry

    def forward(self, segment: Segment) -> Tensor:
        """Sum the loss over the real pieces of a segment; no gradient goes back through the state after it."""
        features, last = self.model(segment.inputs, self.carry.before(segment))
        self.carry.after(segment, tuple(tuple(part.detach() for part in layer) for layer in last))
        gold, features = (rows.flatten(0, 1).index_select(0, segment.pieces) for rows in (segment.outputs, features))
        device = self.model.output.weight.device
        return self.objective([features.to(device)], gold.to(device), self.model.output).to(self.model.device)


def validate_text(model: LanguageModel, text: Sequences, precision: Precision, *, stop: StopRequest) -> Scores | None:
    """Score a language model on a text, with the state carried on over the whole of it; None if asked to stop.

    That is how Zaremba et al. (2015, sec. 4.1) test, and it is done for models as well that were trained without
    (`training.carry_state`): reading on lowers their perplexity too. It always uses the full softmax and no dropout.
    """
    stream, total, state = TextStream(text), 0.0, None
    model.eval()
    try:
        with torch.inference_mode():
            for segment in Parts(stream, rows=1).segments(_STEPS):
                if stop.is_set():
                    return None
                here = segment.to(model.device)
                with autocast(model.device, precision):
                    features, state = model(here.inputs, state)
                    device = model.output.weight.device
                    features, gold = features.flatten(0, 1).to(device), here.outputs.flatten().to(device)
                    total += float(linear_cross_entropy(features, gold, model.output, label_smoothing=0.0))
        return Scores(total / len(stream), bleu=None)
    finally:
        model.train()
