"""Validation of a language model: the cross-entropy of a text, read as one stream from beginning to end."""

from dataclasses import dataclass

import torch

from nmt.models.devices import Precision, autocast
from nmt.models.language_model import LanguageModel
from nmt.training.objectives.full import linear_cross_entropy
from nmt.training.reports import Scores, StopRequest
from nmt.training.stream import Parts, TextStream

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
