"""The full softmax: output layer and cross-entropy in one.

The [N, V] logits exist for a slice of the pieces at a time, and only once.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from nmt.config import TrainingSettings
from nmt.models.kernels import ROW_MULTIPLE, filled_up, outer_product, product

_CELLS: Final = {"cpu": 2**24, "cuda": 2**28}
"""Cells of a slice of logits, 32 or 512 MiB in bf16: every slice reads and writes the whole gradient of the weights."""
_TINY = torch.finfo(torch.float32).tiny


class FullSoftmax:
    """Cross-entropy over the whole vocabulary, with label smoothing (Szegedy et al., 2016, sec. 7)."""

    passes = 1

    def __init__(self, *, label_smoothing: float) -> None:
        self.label_smoothing = label_smoothing

    def __call__(self, passes: Sequence[Tensor], gold: Tensor, output: nn.Linear) -> Tensor:
        """Sum the loss over N pieces: features of one pass [N, F], gold ids [N], the output layer [V, F]."""
        (features,) = passes
        return linear_cross_entropy(features, gold, output, label_smoothing=self.label_smoothing)


def full(settings: TrainingSettings, counts: NDArray[np.int64]) -> FullSoftmax:
    """Make the objective with the settings' label smoothing."""
    return FullSoftmax(label_smoothing=settings.label_smoothing)


def linear_cross_entropy(features: Tensor, gold: Tensor, output: nn.Linear, *, label_smoothing: float) -> Tensor:
    """Sum the smoothed cross-entropy of `gold` under softmax(output(features)), gradients included.

    The gradient of the logits is softmax - target, so it is known as soon as the loss is: it is turned into those of
    features, weight and bias at once, and nothing of size [N, V] is kept for backward.

    Args:
        features: [N, F]; their type is that of the matrix products: fp32 or bf16, or fp16 under an autocast to it,
            for which the softmax is widened.
        gold: Ids of the pieces, [N].
        output: The output layer, [V, F].
        label_smoothing: Share of the target spread over the whole vocabulary.

    Returns:
        The loss in nats, summed over pieces, a scalar. With gradients, no piece counts for more than 87 nats, where
        fp32 probabilities end; its gradient is that of its true loss.

    Raises:
        TypeError: Features are in float16, and nobody asked for it.
    """
    device = features.device.type
    asks_fp16 = torch.is_autocast_enabled(device) and torch.get_autocast_dtype(device) == torch.float16
    if features.dtype == torch.float16 and not asks_fp16:
        raise TypeError("features are torch.float16, which no precision but fp16 asks for")
    if torch.is_grad_enabled():
        with torch.no_grad(), torch.autocast(device, enabled=False):  # it would widen the softmax to fp32
            loss, grads = _loss_and_gradients(features, gold, output.weight, output.bias, label_smoothing)
        return with_gradients(loss, grads, features, output.weight, output.bias)
    table, offset = output.weight.to(features.dtype), output.bias.to(features.dtype)
    losses = [
        functional.cross_entropy(
            product(features[part], table, offset).float(), gold[part], reduction="sum", label_smoothing=label_smoothing
        )
        for part in slices(len(gold), output.out_features, cells=_CELLS[device] // 8)  # and as large temporaries
    ]
    return torch.stack(losses).sum()


def slices(pieces: int, vocab_size: int, *, cells: int) -> list[slice]:
    """Cut the pieces into slices; no pieces are one empty slice, whose gradients are zeros."""
    size = max(1, cells // vocab_size // ROW_MULTIPLE) * ROW_MULTIPLE
    return [slice(first, first + size) for first in range(0, max(1, pieces), size)]


def with_gradients(loss: Tensor, grads: Sequence[Tensor], *inputs: Tensor) -> Tensor:
    """Return a loss whose gradients by `inputs` are known already; nobody else may hold them."""
    known: Tensor = _Known.apply(loss, grads, *inputs)  # type: ignore[no-untyped-call]
    return known


class _Known(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, loss: Tensor, grads: Sequence[Tensor], *inputs: Tensor) -> Tensor:
        ctx.save_for_backward(*grads)
        return loss

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, *(grad.mul_(outer[0]) for grad in ctx.saved_tensors)


def _loss_and_gradients(
    features: Tensor, gold: Tensor, weight: Tensor, bias: Tensor, smoothing: float
) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
    # the gradient of the logits is softmax - target; its smoothing part, the same for all, needs no logits
    table, offset = weight.to(features.dtype), bias.to(features.dtype)
    pieces = len(gold)
    features, gold = filled_up(features), functional.pad(gold, (0, -pieces % ROW_MULTIPLE))
    features_grad, weight_grad, bias_grad = torch.empty_like(features), torch.empty_like(weight), torch.zeros_like(bias)
    loss, softmax_type = bias.new_zeros(()), torch.float32 if table.dtype == torch.float16 else table.dtype
    for i, part in enumerate(slices(len(gold), len(weight), cells=_CELLS[weight.device.type])):
        real = pieces - part.start
        row = torch.arange(len(gold[part]), device=gold.device) * len(weight) + gold[part]
        logits = product(features[part], table, offset).to(softmax_type)  # [n, V]
        gold_logits = logits.view(-1)[row].float()  # [n]
        grad = torch.softmax(logits, dim=1, out=logits)  # in place: fresh memory of this size costs more
        gold_p = grad.view(-1)[row].float()
        loss += (smoothing * gold_logits - gold_p.clamp_min(_TINY).log())[:real].sum()
        grad.view(-1)[row] = (gold_p - (1 - smoothing)).to(grad.dtype)
        grad[real:] = 0.0
        narrow = grad.to(table.dtype)
        features_grad[part] = product(narrow, table.t())
        part_grad = outer_product(narrow, features[part])
        weight_grad = weight_grad.add_(part_grad) if i else weight_grad.copy_(part_grad)
        bias_grad += grad.new_ones(len(grad)) @ grad
    if smoothing:
        mean_vector, feature_sum = weight.mean(dim=0), features.sum(dim=0, dtype=weight.dtype)
        loss -= smoothing * (feature_sum @ mean_vector + pieces * bias.mean())
        features_grad -= (smoothing * mean_vector).to(features.dtype)
        weight_grad -= smoothing / len(weight) * feature_sum
        bias_grad -= smoothing * pieces / len(weight)
    return loss, (features_grad[:pieces], weight_grad, bias_grad)
