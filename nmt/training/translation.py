"""A translation model as a run trains it: its loss, and validation by cross-entropy and greedy BLEU."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from nmt.batching import Batch, cut_batches
from nmt.config import Settings
from nmt.errors import ConfigError, counted
from nmt.models.build import build_model
from nmt.models.devices import Precision, autocast, for_gpu
from nmt.models.parts import freeze
from nmt.models.placement import spread
from nmt.models.seq2seq import Seq2Seq
from nmt.prepared import PreparedData, ValidationSet
from nmt.search.engine import search_batches
from nmt.search.protocol import Hypothesis
from nmt.text.placeholders import fill, mask, place, written_for
from nmt.text.tokenizer import Tokenizers
from nmt.training.distributed import Place
from nmt.training.feeding import DataOrder, Feed, Share, TrainingPairs, pairs_of_epoch
from nmt.training.inheriting import inherit
from nmt.training.noising import make_noiser
from nmt.training.objectives.full import linear_cross_entropy
from nmt.training.observers import Scores, StopRequest
from nmt.training.resampling import make_resamplers
from nmt.training.state import Position
from nmt.training.update import Objective, make_objective
from nmt.training.word_vectors import CountedPieces, give_vectors

if TYPE_CHECKING:
    from nmt.metrics import Score

_BATCH_TOKENS = 4000
_BATCH_TOKENS_ON_GPU = 32_000
_TRAINED_MEANWHILE = 1.5
"""Pieces trained while one is validated: read for the loss, and translated; measured on Multi30k, on a CPU."""
_BLOCK = 200
"""Sentences translated between two looks at whether to stop."""
_BLOCK_ON_GPU = 4000
"""There they take a second or two, and the last ones of each block leave it idle."""


class TranslationTask:
    """An encoder-decoder and the pairs that it learns from."""

    carry = None
    """Every pair stands alone."""

    def __init__(self, data: PreparedData, settings: Settings, place: Place) -> None:
        training = settings.training
        further = [one.name for one in data.valid_sets[1:]]
        for name in (training.validation_weights or {}).keys() - set(further):
            found = ", ".join(further) or "the data have no others"
            raise ConfigError(
                f"training.validation_weights names {name!r}, expected a validation set after the first: {found}"
            )
        self.data = data
        self.settings = settings
        self.place = place
        self.tokenizers = data.tokenizers
        self.batch_tokens = training.batch_tokens
        if training.bleu_tokenizer != "auto":
            from nmt.metrics import make_bleu  # loads sacrebleu, which the first step need not wait for otherwise

            make_bleu(training.bleu_tokenizer)  # what it lacks is told of now, not at the first validation
        self.shares = tuple(Share(corpus.train, corpus.weight) for corpus in data.corpora)
        self.pairs_of_epoch = pairs_of_epoch(self.shares)
        limit, resamplers = settings.data.max_pieces, None
        if training.subword_sampling:
            resamplers = make_resamplers(data.tokenizers, alpha=training.subword_sampling, max_pieces=limit)
        pairs = TrainingPairs(
            data.train_src,
            data.train_tgt,
            settings.model.reverse_source,
            resamplers,
            make_noiser(data, settings) if training.noise else None,
            settings.model.right_to_left,
        )
        order = DataOrder(pairs, training.batch_tokens, training.seed, self.shares)
        self.feed = Feed(order, training.accumulate, place.ranks, pin=place.device.type == "cuda")

    @cached_property
    def model(self) -> Seq2Seq:
        """The model, freshly initialised when it is first asked for: a plan can be begun before."""
        src, tgt = len(self.tokenizers.src), len(self.tokenizers.tgt)
        joint, seed = self.tokenizers.joint, self.settings.training.seed
        model = build_model(self.settings.model, src_vocab_size=src, tgt_vocab_size=tgt, joint=joint, seed=seed)
        freeze(model, self.settings.training.freeze)
        spread(model, self.settings.training.placement or {}, self.place.device)
        return model

    def begin(self, on_message: Callable[[str], None]) -> None:
        """Plan the first epoch of a new run in the background, and start the model from a parent or from vectors."""
        self.feed.order.plan_ahead(0)  # which takes seconds for millions of pairs
        if parent := self.settings.training.parent:
            inherit(self.model, self.tokenizers, self.settings, parent, on_message=on_message)
        elif self.settings.model.src_vectors or self.settings.model.tgt_vectors:
            start_from_vectors(self.model, self.data, self.settings, on_message=on_message)

    def describe(self, position: Position) -> str:
        """Say what the epoch of `position` consists of."""
        plan = self.feed.order.plan(position.epoch)
        drawn = ""
        if any(share.weight != 1 for share in self.shares):
            drawn = f"{self.pairs_of_epoch:,} sampled per epoch by the weights of their corpora, "
        pairs, batches = counted(len(self.data.train_src), "pair"), counted(len(plan.batches), "batch", "batches")
        return f"{pairs}, {drawn}{self.pieces:,} target pieces in {batches} per epoch, {plan.padding:.1%} padding"

    @property
    def pieces(self) -> int:
        """Target pieces of an epoch, `</s>` included, as prepared and in the mean."""
        return round(self.data.pieces * self.pairs_of_epoch / len(self.data.train_src))

    @property
    def pieces_of_validation(self) -> float:
        """Target pieces that are trained in the time that a validation takes, roughly."""
        return _TRAINED_MEANWHILE * sum(int(one.tgt.lengths.sum()) + len(one.tgt) for one in self.data.valid_sets)

    def make_loss(self) -> nn.Module:
        """Make the loss that the settings ask for."""
        objective = make_objective(self.settings.training, self.data.target_counts)
        return TrainingLoss(self.model, objective)

    def validate(self, stop: StopRequest) -> Scores | None:
        """Score the model on the validation sets; None if asked to stop before the scores are known."""
        return validate_sets(self.model, self.data, self.settings, self.place.precision, stop=stop)


class TrainingLoss(nn.Module):
    """A model and its objective as one module, whose output is the loss: batches in, nats out."""

    def __init__(self, model: Seq2Seq, objective: Objective) -> None:
        super().__init__()
        self.model = model
        self.objective = objective

    def forward(self, batch: Batch) -> Tensor:
        """Sum the loss over the real pieces of a batch."""
        passes, pieces = self.objective.passes, len(batch.tgt.pieces)
        features, gold = piece_features(self.model, batch.repeated(passes))  # side by side, they take much less time
        each = features.split_with_sizes([pieces] * passes) if passes > 1 else (features,)
        return self.objective(each, gold[:pieces], self.model.output).to(self.model.device)


def piece_features(model: Seq2Seq, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return the features [N, F] and the gold ids [N] of the real target pieces of a batch, beside the output layer."""
    pieces, device = batch.tgt.pieces, model.output.weight.device
    # of distinct rows: an index would sum the gradients of each in a loop
    features, gold = (part.flatten(0, 1).index_select(0, pieces) for part in (model(batch), batch.tgt.outputs))
    return features.to(device), gold.to(device)


def start_from_vectors(
    model: Seq2Seq, data: PreparedData, settings: Settings, *, on_message: Callable[[str], None]
) -> None:
    """Put the word vectors that the settings name into a model: one file for both sides where they share a table."""
    tokenizers, src_file, tgt_file = data.tokenizers, settings.model.src_vectors, settings.model.tgt_vectors
    src = CountedPieces("source", tokenizers.src.pieces, data.source_counts)
    tgt = CountedPieces("target", tokenizers.tgt.pieces, data.target_counts)
    if src_file and tgt_file and model.src_embedding.table is model.tgt_embedding.table:  # then they are one file
        src, tgt_file = CountedPieces("source and target", src.pieces, src.counts + tgt.counts), None
    for embedding, words, path in ((model.src_embedding, src, src_file), (model.tgt_embedding, tgt, tgt_file)):
        if path:
            give_vectors(embedding, words, path, on_bad_utf8=settings.data.on_bad_utf8, on_message=on_message)


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
    beam_size: int = 1
    """Of the search for the translations that BLEU is computed of."""

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
        src, tgt, directions = self.pairs.src, self.pairs.tgt, self.settings.model
        pairs = TrainingPairs(src, tgt, directions.reverse_source, right_to_left=directions.right_to_left)
        order = np.lexsort((src.lengths, tgt.lengths))
        on_gpu = model.device.type == "cuda"
        tokens = _BATCH_TOKENS_ON_GPU if on_gpu else _BATCH_TOKENS
        bounds = cut_batches(np.maximum(src.lengths, tgt.lengths)[order] + 1, batch_tokens=tokens)
        total = torch.zeros((), dtype=torch.float64, device=model.device)  # looked at once, at the end
        for rows in np.split(order, bounds[1:-1]):
            if stop.is_set():
                return None
            batch = pairs.batch(rows).pinned().to(model.device) if on_gpu else pairs.batch(rows)
            with autocast(model.device, self.precision):
                features, gold = piece_features(model, batch)
                total += linear_cross_entropy(features, gold, model.output, label_smoothing=0.0)
        return float(total) / (int(tgt.lengths.sum()) + len(tgt))

    def bleu(self, model: Seq2Seq, stop: StopRequest) -> "Score | None":
        """Return the BLEU of translations; None if asked to stop."""
        from nmt.metrics import bleu, tokenizer_for  # loads sacrebleu, which the first step need not wait for

        kinds = self.settings.tokenizer.placeholders
        src, search = self.pairs.src, self.settings.search.model_copy(update={"beam_size": self.beam_size})
        order, best = np.argsort(src.lengths, kind="stable"), dict[int, Hypothesis]()
        on_gpu, directions = model.device.type == "cuda", self.settings.model
        searched, block = (for_gpu(model, self.precision), _BLOCK_ON_GPU) if on_gpu else (model, _BLOCK)
        for first in range(0, len(order), block):
            if stop.is_set():
                return None
            rows = order[first : first + block]
            sources = [src.row(row) for row in rows]
            found = search_batches(
                searched,
                sources,
                settings=search,
                reverse_source=directions.reverse_source,
                right_to_left=directions.right_to_left,
                with_attention=bool(kinds),
            )
            best.update(zip(rows.tolist(), found, strict=True))
        texts = self.tokenizers.tgt.decode([best[row].ids for row in range(len(src))])
        if kinds:
            texts = self._filled(texts, best)
        references, lowercase = self.pairs.tgt_texts, self.settings.data.lowercase
        return bleu(texts, references, tokenizer_for(self.settings, references), lowercase=lowercase)

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
