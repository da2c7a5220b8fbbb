"""R-Drop (Liang et al., 2021): its loss on the output layer, a slice of the logits at a time, gradients at once."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from nmt.config import TrainingSettings

_CELLS = 2**20
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
        """Sum the loss over N pieces: features of both passes [N, F], gold ids [N], the output layer [V, F]."""
        first, second = passes
        return r_drop_cross_entropy(
            first, second, gold, output, label_smoothing=self.label_smoothing, weight=self.weight
        )


def r_drop(settings: TrainingSettings, counts: NDArray[np.int64], device: torch.device) -> RDrop:
    """Make the objective with the settings' weight and label smoothing."""
    return RDrop(weight=settings.r_drop, label_smoothing=settings.label_smoothing)


def r_drop_cross_entropy(
    first: Tensor, second: Tensor, gold: Tensor, output: nn.Linear, *, label_smoothing: float, weight: float
) -> Tensor:
    """Sum (CE(p) + CE(q)) / 2 + weight / 4 (KL(p || q) + KL(q || p)) over pieces, gradients included.

    Args:
        first: Features of the first pass, [N, F], whose pieces have the distribution p.
        second: Features of the second pass, [N, F], with q.
        gold: Ids of the pieces, [N].
        output: The output layer, [V, F].
        label_smoothing: Share of the target spread over the whole vocabulary.
        weight: Weight of the divergence, alpha in the paper.

    Returns:
        The loss in nats, a scalar.
    """
    loss: Tensor = _RDrop.apply(first, second, gold, output.weight, output.bias, label_smoothing, weight)  # type: ignore[no-untyped-call]
    return loss


class _RDrop(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        first: Tensor,
        second: Tensor,
        gold: Tensor,
        weight: Tensor,
        bias: Tensor,
        smoothing: float,
        alpha: float,
    ) -> Tensor:
        with torch.autocast(first.device.type, enabled=False):  # the types are chosen here
            loss, grads = _loss_and_gradients((first, second), gold, weight, bias, smoothing, alpha)
        ctx.save_for_backward(*grads)
        return loss

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        first, second, weight, bias = (saved.mul_(grads[0]) for saved in ctx.saved_tensors)
        return first, second, None, weight, bias, None, None


def _loss_and_gradients(
    passes: tuple[Tensor, Tensor], gold: Tensor, weight: Tensor, bias: Tensor, smoothing: float, alpha: float
) -> tuple[Tensor, tuple[Tensor, ...]]:
    table, offset = weight.to(passes[0].dtype), bias.to(passes[0].dtype)
    weight_grad, bias_grad = torch.zeros_like(weight), torch.zeros_like(bias)
    features_grads = torch.empty_like(passes[0]), torch.empty_like(passes[1])
    loss = bias.new_zeros(())
    size = max(1, _CELLS // len(weight))
    for start in range(0, len(gold), size):
        part = slice(start, start + size)
        p_logits, q_logits = (functional.linear(features[part], table, offset).float() for features in passes)
        value, logit_grads = _slice_loss(p_logits, q_logits, gold[part, None], smoothing, alpha)
        loss += value
        for features, features_grad, grad in zip(passes, features_grads, logit_grads, strict=True):
            narrow = grad.to(table.dtype)
            torch.mm(narrow, table, out=features_grad[part])
            weight_grad += narrow.t() @ features[part]
            bias_grad += grad.sum(dim=0)
    return loss, (*features_grads, weight_grad, bias_grad)


def _slice_loss(
    p_logits: Tensor, q_logits: Tensor, gold: Tensor, smoothing: float, alpha: float
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Return the loss of a slice, logits [n, V] and gold ids [n, 1], and its gradients by the logits.

    With d = log p - log q, the logits of p get p (d - KL(p || q)) from KL(p || q), and p - q from KL(q || p).
    """
    log_p, log_q = p_logits.log_softmax(dim=1), q_logits.log_softmax(dim=1)
    p, q, d = log_p.exp(), log_q.exp(), log_p - log_q
    there, back = (p * d).sum(dim=1, keepdim=True), -(q * d).sum(dim=1, keepdim=True)  # [n, 1]
    target = torch.full_like(p, smoothing / p.shape[1])
    target.scatter_add_(1, gold, target.new_full((1, 1), 1 - smoothing).expand_as(gold))
    loss = -(target * (log_p + log_q)).sum() / 2 + alpha / 4 * (there + back).sum()
    p_grad = (p - target) / 2 + alpha / 4 * (p * (d - there) + p - q)
    q_grad = (q - target) / 2 + alpha / 4 * (q * (-d - back) + q - p)
    return loss, (p_grad, q_grad)
