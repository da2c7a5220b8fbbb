"""R-Drop (Liang et al., 2021): its loss on the output layer, a slice of the logits at a time, gradients at once."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nmt.config import TrainingSettings
from nmt.models.kernels import outer_product, product
from nmt.training.objectives.full import slices, with_gradients

_CELLS: Final = {"cpu": 2**24, "cuda": 2**26}
"""Cells of a slice of logits: every slice reads and writes the whole gradient of the weights."""
_BLOCK: Final = {"cpu": 2**17, "cuda": 2**26}
"""Cells whose divergence is computed at a time, which takes half a dozen tensors of this size in fp32: on a CPU they
stay in its caches."""


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
            loss, vocab_size, device = bias.new_zeros(()), output.out_features, first.device.type
            for part in slices(len(gold), vocab_size, cells=_CELLS[device]):
                logits = [product(features[part], table, offset) for features in passes]
                for rows in slices(len(logits[0]), vocab_size, cells=_BLOCK[device]):
                    block = logits[0][rows], logits[1][rows]
                    loss += self._loss_of_block(*block, gold[part][rows, None], bias_grad)
                for features, features_grad, grad in zip(passes, features_grads, logits, strict=True):
                    features_grad[part] = product(grad, table.t())
                    weight_grad += outer_product(grad, features[part])
        return with_gradients(loss, (*features_grads, weight_grad, bias_grad), first, second, output.weight, bias)

    def _loss_of_block(self, p_logits: Tensor, q_logits: Tensor, gold: Tensor, bias_grad: Tensor) -> Tensor:
        """Return the loss of a block, and put its gradients by the logits in their place; add that by the bias, [V].

        With d = log p - log q, the logits of p get p (d - KL(p || q)) from KL(p || q), and p - q from KL(q || p).

        Args:
            p_logits: Logits of the first pass, [n, V].
            q_logits: Those of the second.
            gold: Ids of the pieces, [n, 1].
        """
        pull, sharp = self.weight / 4, (1 - self.label_smoothing) / 2
        smooth = self.label_smoothing / 2 / p_logits.shape[1]
        log_p, log_q = p_logits.float().log_softmax(dim=1), q_logits.float().log_softmax(dim=1)
        loss = -smooth * (log_p.sum() + log_q.sum()) - sharp * (log_p.gather(1, gold) + log_q.gather(1, gold)).sum()
        p, q = log_p.exp(), log_q.exp()
        d = log_p.sub_(log_q)
        there, back = (p * d).sum(dim=1, keepdim=True), -(q * d).sum(dim=1, keepdim=True)  # [n, 1]
        d *= pull
        p_grad = (d + (0.5 + pull - pull * there)).mul_(p).sub_(q, alpha=pull).sub_(smooth)
        q_grad = ((0.5 + pull - pull * back) - d).mul_(q).sub_(p, alpha=pull).sub_(smooth)
        for logits, grad in ((p_logits, p_grad), (q_logits, q_grad)):
            grad.scatter_add_(1, gold, grad.new_full((1, 1), -sharp).expand_as(gold))
            bias_grad += grad.sum(dim=0)
            logits.copy_(grad)
        return loss + pull * (there + back).sum()


def r_drop(settings: TrainingSettings, counts: NDArray[np.int64]) -> RDrop:
    """Make the objective with the settings' weight and label smoothing."""
    return RDrop(weight=settings.r_drop, label_smoothing=settings.label_smoothing)
