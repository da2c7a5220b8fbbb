"""A translation model as a run trains it: its task, and validation by cross-entropy over the full softmax
and by BLEU of greedy translations.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from nmt.batching import Batch, cut_batches, source_batch, target_batch
from nmt.config import Settings
from nmt.errors import counted
from nmt.models.build import build_model
from nmt.models.devices import Precision, autocast
from nmt.models.folder import Vocabularies
from nmt.models.seq2seq import Seq2Seq
from nmt.prepared import PreparedData, ValidationSet
from nmt.prepared.manifest import TRAIN
from nmt.search.engine import search_batches
from nmt.search.protocol import Hypothesis
from nmt.text.placeholders import fill, mask, place, written_for
from nmt.text.tokenizer import Tokenizers
from nmt.training.feeding import DataOrder, Feed, Share, TrainingPairs, pairs_of_pass
from nmt.training.objectives import TrainingLoss, make_objective, word_features
from nmt.training.objectives.full import linear_cross_entropy
from nmt.training.observers import Scores, StopRequest
from nmt.training.resampling import make_resamplers
from nmt.training.state import Position
from nmt.training.task import Place
from nmt.training.word_vectors import start_from_vectors

if TYPE_CHECKING:
    from nmt.metrics import Score


_BATCH_TOKENS = 4000
_BLOCK = 200
"""Sentences translated between two looks at whether to stop."""


def validate_sets(
    model: Seq2Seq, data: PreparedData, settings: Settings, precision: Precision, *, stop: StopRequest
) -> Scores | None:
    """Score a model on every validation set of prepared data; None if asked to stop before all scores are known."""
    found = dict[str, Scores]()
    for pairs in data.valid_sets:
        scores = Validator(pairs, data.tokenizers, settings, precision)(model, stop)
        if scores is None:
            return None
        found[pairs.name] = scores
    first = found.pop(data.valid.name)
    return replace(first, others=found)


@dataclass(frozen=True)
class Validator:
    """Scores a model on the validation pairs; validation always uses the full softmax and no dropout."""

    pairs: ValidationSet
    tokenizers: Tokenizers
    settings: Settings
    precision: Precision

    def __call__(self, model: Seq2Seq, stop: StopRequest) -> Scores | None:
        """Return the cross-entropy in nats a piece, and BLEU; None if asked to stop before they are known."""
        model.eval()
        try:
            with torch.inference_mode():
                loss = self.loss(model, stop)
                bleu = None if loss is None else self.bleu(model, stop)
                return None if loss is None or bleu is None else Scores(loss, bleu.score, signature=bleu.signature)
        finally:
            model.train()

    def loss(self, model: Seq2Seq, stop: StopRequest) -> float | None:
        """Return the cross-entropy in nats a piece; None if asked to stop."""
        src, tgt = self.pairs.src, self.pairs.tgt
        order = np.lexsort((src.lengths, tgt.lengths))
        bounds = cut_batches(np.maximum(src.lengths, tgt.lengths)[order] + 1, batch_tokens=_BATCH_TOKENS)
        total = 0.0
        for rows in np.split(order, bounds[1:-1]):
            if stop.is_set():
                return None
            sources = source_batch(src, rows, reverse_source=self.settings.model.reverse_source)
            batch = Batch(sources, target_batch(tgt, rows)).to(model.device)
            with autocast(model.device, self.precision):
                features, gold = word_features(model, batch)
                total += float(linear_cross_entropy(features, gold, model.output, label_smoothing=0.0))
        return total / (int(tgt.lengths.sum()) + len(tgt))

    def bleu(self, model: Seq2Seq, stop: StopRequest) -> "Score | None":
        """Return the BLEU of greedy translations; None if asked to stop."""
        from nmt.metrics import bleu, tokenizer_for  # loads sacrebleu, which the first step need not wait for

        kinds = self.settings.tokenizer.placeholders
        src, search = self.pairs.src, self.settings.search.model_copy(update={"beam_size": 1})
        order, best = np.argsort(src.lengths, kind="stable"), dict[int, Hypothesis]()
        for first in range(0, len(order), _BLOCK):
            if stop.is_set():
                return None
            rows = order[first : first + _BLOCK]
            sources = [src.row(row) for row in rows]
            reverse_source = self.settings.model.reverse_source
            found = search_batches(
                model, sources, settings=search, reverse_source=reverse_source, with_attention=bool(kinds)
            )
            best.update(zip(rows.tolist(), (hypotheses[0] for hypotheses in found), strict=True))
        texts = self.tokenizers.tgt.decode([best[row].ids for row in range(len(src))])
        if kinds:
            texts = self._filled(texts, best)
        references = self.pairs.tgt_texts
        return bleu(texts, references, tokenizer_for(self.settings, references))

    def _filled(self, texts: Sequence[str], best: Mapping[int, Hypothesis]) -> list[str]:
        """Put what placeholders stand for where the attention has read it, as `nmt translate` does."""
        kinds, filled = self.settings.tokenizer.placeholders, list[str]()
        src_surfaces, tgt_surfaces = self.tokenizers.src.surfaces, self.tokenizers.tgt.surfaces
        for row, text in enumerate(texts):
            originals = mask(self.pairs.src_texts[row], kinds)[1]
            src = [src_surfaces[index] for index in self.pairs.src.row(row)]
            tgt = [tgt_surfaces[index] for index in best[row].ids]
            attention = np.asarray(best[row].attention, dtype=np.float32)
            filling = place(originals, src, tgt, attention).filling
            filled.append(fill(text, written_for(text, filling, self.settings.search.zero_digit)))
        return filled


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
