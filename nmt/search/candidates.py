"""One step's choice: from logits to the best continuations, in an order that leaves nothing to chance."""

import math
from typing import Final, NamedTuple

import torch
from torch import Tensor, nn

from nmt.vocab import BOS, PAD, UNK

FORBIDDEN: Final = (PAD, UNK, BOS)
"""What no translation contains. The probability of these ids is lost, not shared out among the others."""


class Candidates(NamedTuple):
    """The best continuations of each sentence, best first; beyond the possible ones, scores are -inf."""

    log_probs: Tensor
    """Of the whole hypotheses, [B, C]."""
    parents: Tensor
    """The beam that is continued, [B, C]; 0 beyond the possible ones."""
    ids: Tensor
    """The word that continues it, [B, C]; PAD beyond the possible ones."""


def word_log_probs(logits: Tensor) -> Tensor:
    """Turn logits [..., V] into float32 log-probabilities, -inf for what is never produced."""
    log_probs = logits.log_softmax(dim=-1, dtype=torch.float32)
    for word in FORBIDDEN:
        log_probs[..., word] = -math.inf
    return log_probs


def best_candidates(totals: Tensor, count: int) -> tuple[Candidates, Tensor]:
    """Find the `count` best of all K x V continuations; equal ones go by lower beam, then by lower id.

    Which of the equal ones at the edge of the choice get in is left to the device's fast selection; where that may
    break the rule, a flag says so, and `best_candidates_by_sorting` must decide.

    Args:
        totals: Log-probabilities of the hypotheses with each next word, [B, K, V].
        count: C, the candidates wanted.

    Returns:
        The candidates, and the flags, [B].
    """
    flat = totals.flatten(1)  # [B, K * V]
    if flat.shape[1] <= count:
        flat = nn.functional.pad(flat, (0, count + 1 - flat.shape[1]), value=-math.inf)
    values, indices = flat.topk(count + 1, dim=1)
    unsure = (values[:, count] == values[:, count - 1]) & (values[:, count] > -math.inf)
    indices, order = indices[:, :count].sort(dim=1)
    values, order = values.gather(1, order).sort(dim=1, descending=True, stable=True)
    return _candidates(values, indices.gather(1, order), totals.shape[2]), unsure


def best_candidates_by_sorting(totals: Tensor, count: int) -> Candidates:
    """Find the `count` best of all continuations by sorting them all: slow, and exact whatever is equal."""
    flat = totals.flatten(1)
    if flat.shape[1] < count:
        flat = nn.functional.pad(flat, (0, count - flat.shape[1]), value=-math.inf)
    values, indices = flat.sort(dim=1, descending=True, stable=True)
    return _candidates(values[:, :count], indices[:, :count], totals.shape[2])


def _candidates(values: Tensor, indices: Tensor, vocab_size: int) -> Candidates:
    impossible = ~(values > -math.inf)  # NaN too
    indices = indices.masked_fill(impossible, 0)  # flat index 0 is beam 0 and id 0, and that is PAD
    return Candidates(
        values.masked_fill(impossible, -math.inf),
        indices.div(vocab_size, rounding_mode="floor"),
        indices.remainder(vocab_size),
    )
