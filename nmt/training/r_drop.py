"""The loss of R-Drop (Liang et al., 2021) on the output layer: a slice of the logits at a time, gradients at once."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

_CELLS = 2**20
"""Cells of a slice; half a dozen tensors of this size exist at a time, in fp32."""


def r_drop_cross_entropy(
    first: Tensor, second: Tensor, gold: Tensor, output: nn.Linear, *, label_smoothing: float, weight: float
) -> Tensor:
    """Sum (CE(p) + CE(q)) / 2 + weight / 4 (KL(p || q) + KL(q || p)) over words, gradients included.

    Args:
        first: Features of the first pass, [N, F], whose words have the distribution p.
        second: Features of the second pass, [N, F], with q.
        gold: Word ids, [N].
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
    p_logits: Tensor, q_logits: Tensor, words: Tensor, smoothing: float, alpha: float
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Return the loss of a slice, logits [n, V] and words [n, 1], and its gradients by the logits.

    With d = log p - log q, the logits of p get p (d - KL(p || q)) from KL(p || q), and p - q from KL(q || p).
    """
    log_p, log_q = p_logits.log_softmax(dim=1), q_logits.log_softmax(dim=1)
    p, q, d = log_p.exp(), log_q.exp(), log_p - log_q
    there, back = (p * d).sum(dim=1, keepdim=True), -(q * d).sum(dim=1, keepdim=True)  # [n, 1]
    target = torch.full_like(p, smoothing / p.shape[1])
    target.scatter_add_(1, words, target.new_full((1, 1), 1 - smoothing).expand_as(words))
    loss = -(target * (log_p + log_q)).sum() / 2 + alpha / 4 * (there + back).sum()
    p_grad = (p - target) / 2 + alpha / 4 * (p * (d - there) + p - q)
    q_grad = (q - target) / 2 + alpha / 4 * (q * (-d - back) + q - p)
    return loss, (p_grad, q_grad)
