"""Validation: cross-entropy by the full softmax, and BLEU of greedy translations on real text."""

from dataclasses import dataclass

import numpy as np
import torch

from nmt.batching import Batch, cut_batches, source_batch, target_batch
from nmt.config import Settings
from nmt.corpus.placeholders import mask, unmask
from nmt.metrics import bleu
from nmt.models.devices import Precision, autocast
from nmt.models.seq2seq import Seq2Seq
from nmt.prepared import ValidationPairs
from nmt.search.batches import search_batches
from nmt.subword import Tokenizers
from nmt.training.cross_entropy import linear_cross_entropy

_BATCH_TOKENS = 4000


@dataclass(frozen=True)
class Validator:
    """Scores a model on the validation pairs; validation always uses the full softmax and no dropout."""

    pairs: ValidationPairs
    tokenizers: Tokenizers
    settings: Settings
    precision: Precision

    def __call__(self, model: Seq2Seq) -> tuple[float, float]:
        """Return the cross-entropy in nats a word, and BLEU."""
        model.eval()
        try:
            with torch.inference_mode():
                return self._loss(model), self._bleu(model)
        finally:
            model.train()

    def _loss(self, model: Seq2Seq) -> float:
        src, tgt = self.pairs.src, self.pairs.tgt
        order = np.lexsort((src.lengths, tgt.lengths))
        runs = cut_batches(src.lengths[order] + 1, tgt.lengths[order] + 1, batch_tokens=_BATCH_TOKENS)
        total = 0.0
        for first, last in runs:
            rows = order[first:last]
            sources = source_batch(src, rows, reverse_source=self.settings.model.reverse_source)
            batch = Batch(sources, target_batch(tgt, rows)).to(model.device)
            with autocast(model.device, self.precision):
                features = model(batch).flatten(0, 1)
                real = batch.tgt.weights.flatten().nonzero().squeeze(1)
                gold = batch.tgt.outputs.flatten()[real]
                total += float(linear_cross_entropy(features[real], gold, model.output, label_smoothing=0.0))
        return total / (int(tgt.lengths.sum()) + len(tgt))

    def _bleu(self, model: Seq2Seq) -> float:
        found = search_batches(
            model,
            self.pairs.src,
            settings=self.settings.search.model_copy(update={"beam_size": 1}),
            reverse_source=self.settings.model.reverse_source,
        )
        texts = self.tokenizers.tgt.decode([hypotheses[0].ids for hypotheses in found])
        kinds = self.settings.tokenizer.placeholders
        originals = [mask(text, kinds)[1] for text in self.pairs.src_texts]
        hypotheses = [unmask(text, spans) for text, spans in zip(texts, originals, strict=True)]
        return bleu(hypotheses, self.pairs.tgt_texts).score
