"""Output layer and cross-entropy in one: the [N, V] logits exist for a slice of the words at a time, and only once."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

_CELLS = 2**21
"""Cells of a slice of logits, 8 MiB in fp32: small enough for a CPU's cache, large enough for a full matmul."""


def linear_cross_entropy(features: Tensor, gold: Tensor, output: nn.Linear, *, label_smoothing: float) -> Tensor:
    """Sum the smoothed cross-entropy of `gold` under softmax(output(features)), gradients included.

    The gradient of the logits is softmax - target, so it is known as soon as the loss is: it is turned into those of
    features, weight and bias while the slice is still in the cache, and nothing of size [N, V] is kept for backward.

    Args:
        features: [N, F]; their type, fp32 or bf16, is that of the matrix products.
        gold: Word ids, [N].
        output: The output layer, [V, F].
        label_smoothing: Share of the target spread over the whole vocabulary.

    Returns:
        The loss in nats, summed over words, a scalar.
    """
    if torch.is_grad_enabled():
        loss: Tensor = _LinearCrossEntropy.apply(features, gold, output.weight, output.bias, label_smoothing)  # type: ignore[no-untyped-call]
        return loss
    losses = [
        reference_cross_entropy(features[part], gold[part], output, label_smoothing=label_smoothing)
        for part in _slices(len(gold), output.out_features)
    ]
    return torch.stack(losses).sum()


def reference_cross_entropy(features: Tensor, gold: Tensor, output: nn.Linear, *, label_smoothing: float) -> Tensor:
    """Sum the same loss by the library's own functions, with all logits at once."""
    logits = output(features).float()  # [N, V]
    return functional.cross_entropy(logits, gold, reduction="sum", label_smoothing=label_smoothing)


def _slices(words: int, vocab_size: int) -> list[slice]:
    size = max(1, _CELLS // vocab_size)
    return [slice(first, first + size) for first in range(0, words, size)]


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, gold: Tensor, weight: Tensor, bias: Tensor, smoothing: float) -> Tensor:
        table, offset = weight.to(features.dtype), bias.to(features.dtype)
        features_grad = torch.empty_like(features)
        weight_grad, bias_grad = None, torch.zeros_like(bias)
        loss = bias.new_zeros(())
        for part in _slices(len(gold), len(weight)):
            words = gold[part, None]  # [n, 1]
            logits = functional.linear(features[part], table, offset).float()
            log_p = torch.log_softmax(logits, dim=1)  # [n, V]
            loss -= (1 - smoothing) * log_p.gather(1, words).sum()
            if smoothing:
                loss -= smoothing * log_p.mean(dim=1).sum()
            grad = log_p.exp_()
            grad.scatter_add_(1, words, grad.new_full((1, 1), smoothing - 1).expand_as(words))
            if smoothing:
                grad -= smoothing / len(weight)
            bias_grad += grad.sum(dim=0)
            narrow = grad.to(features.dtype)
            torch.mm(narrow, table, out=features_grad[part])
            part_grad = (narrow.t() @ features[part]).float()
            weight_grad = part_grad if weight_grad is None else weight_grad.add_(part_grad)
        ctx.save_for_backward(features_grad, weight_grad, bias_grad)
        return loss

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        features_grad, weight_grad, bias_grad = ctx.saved_tensors
        scale = grads[0]
        # nobody else holds these, so they are scaled where they are
        return features_grad.mul_(scale), None, weight_grad.mul_(scale), bias_grad.mul_(scale), None
