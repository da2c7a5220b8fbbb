"""Validation: cross-entropy by the full softmax, and BLEU of greedy translations on real text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from nmt.batching import Batch, cut_batches, source_batch, target_batch
from nmt.config import Settings
from nmt.corpus.placeholders import fill, mask, place, written_for
from nmt.models.devices import Precision, autocast
from nmt.models.seq2seq import Seq2Seq
from nmt.prepared import PreparedData, ValidationSet
from nmt.search.batches import search_batches
from nmt.search.protocol import Hypothesis
from nmt.subword import Tokenizers
from nmt.training.objectives import word_features
from nmt.training.objectives.full import linear_cross_entropy
from nmt.training.reports import Scores, StopRequest

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
