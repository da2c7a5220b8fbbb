"""R-Drop (Liang et al., 2021): its loss on the output layer, a slice of the logits at a time, gradients at once."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nmt.config import TrainingSettings
from nmt.models.kernels import outer_product, product
from nmt.training.objectives.full import with_gradients

_CELLS: Final = {"cpu": 2**20, "cuda": 2**26}
"""Cells of a slice; half a dozen tensors of this size exist at a time, in fp32."""


class RDrop:
    """Two passes with different dropout, and how far apart they are (Liang et al., 2021, eq. 4, halved).

    The loss is the mean cross-entropy of the two, plus `weight` / 4 times their divergence in both directions: half the
    paper's, so that it compares with the loss of one pass.
    """

    passes = 2

    def __init__(self, *, weight: float, label_smoothing: float) -> None:
        self.weight = weight
        self.label_smoothing = label_smoothing

    def __call__(self, passes: Sequence[Tensor], gold: Tensor, output: nn.Linear) -> Tensor:
        """Sum (CE(p) + CE(q)) / 2 + weight / 4 (KL(p || q) + KL(q || p)) over N pieces, gradients included.

        Args:
            passes: Features of both passes, [N, F] each, whose pieces have the distributions p and q.
            gold: Ids of the pieces, [N].
            output: The output layer, [V, F].

        Returns:
            The loss in nats, a scalar.
        """
        (first, second), bias = passes, output.bias
        with torch.no_grad(), torch.autocast(first.device.type, enabled=False):  # the types are chosen here
            table, offset = output.weight.to(first.dtype), bias.to(first.dtype)
            weight_grad, bias_grad = torch.zeros_like(output.weight), torch.zeros_like(bias)
            features_grads = torch.empty_like(first), torch.empty_like(second)
            loss = bias.new_zeros(())
            size = max(1, _CELLS[first.device.type] // output.out_features)
            for start in range(0, len(gold), size):
                part = slice(start, start + size)
                p_logits, q_logits = (product(features[part], table, offset).float() for features in passes)
                value, logit_grads = self._slice_loss(p_logits, q_logits, gold[part, None])
                loss += value
                for features, features_grad, grad in zip(passes, features_grads, logit_grads, strict=True):
                    narrow = grad.to(table.dtype)
                    features_grad[part] = product(narrow, table.t())
                    weight_grad += outer_product(narrow, features[part])
                    bias_grad += grad.sum(dim=0)
        return with_gradients(loss, (*features_grads, weight_grad, bias_grad), first, second, output.weight, bias)

    def _slice_loss(self, p_logits: Tensor, q_logits: Tensor, gold: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Return the loss of a slice, logits [n, V] and gold ids [n, 1], and its gradients by the logits.

        With d = log p - log q, the logits of p get p (d - KL(p || q)) from KL(p || q), and p - q from KL(q || p).
        """
        log_p, log_q = p_logits.log_softmax(dim=1), q_logits.log_softmax(dim=1)
        p, q, d = log_p.exp(), log_q.exp(), log_p - log_q
        there, back = (p * d).sum(dim=1, keepdim=True), -(q * d).sum(dim=1, keepdim=True)  # [n, 1]
        target = torch.full_like(p, self.label_smoothing / p.shape[1])
        target.scatter_add_(1, gold, target.new_full((1, 1), 1 - self.label_smoothing).expand_as(gold))
        loss = -(target * (log_p + log_q)).sum() / 2 + self.weight / 4 * (there + back).sum()
        p_grad = (p - target) / 2 + self.weight / 4 * (p * (d - there) + p - q)
        q_grad = (q - target) / 2 + self.weight / 4 * (q * (-d - back) + q - p)
        return loss, (p_grad, q_grad)


def r_drop(settings: TrainingSettings, counts: NDArray[np.int64]) -> RDrop:
    """Make the objective with the settings' weight and label smoothing."""
    return RDrop(weight=settings.r_drop, label_smoothing=settings.label_smoothing)
