"""One step's choice: from logits to the best continuations, in an order that leaves nothing to chance."""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import torch
from torch import Tensor, nn

from nmt.vocab import BOS, PAD, UNK

FORBIDDEN: Final = (PAD, UNK, BOS)
"""What no translation contains as a rule. The probability of these ids is lost, not shared out among the others."""

_BLOCK: Final = 64
"""Words of which only the best is looked at first."""


class Candidates(NamedTuple):
    """The best continuations of each sentence, best first; beyond the possible ones, scores are -inf."""

    log_probs: Tensor
    """Of the whole hypotheses, [B, C]."""
    parents: Tensor
    """The beam that is continued, [B, C]; 0 beyond the possible ones."""
    ids: Tensor
    """The word that continues it, [B, C]; PAD beyond the possible ones."""


def word_log_probs(logits: Tensor, never: Sequence[int] = FORBIDDEN) -> Tensor:
    """Turn logits [..., V] into float32 log-probabilities, -inf for what is `never` produced."""
    return forbidding(logits.log_softmax(dim=-1, dtype=torch.float32), never)


def forbidding(log_probs: Tensor, never: Sequence[int] = FORBIDDEN) -> Tensor:
    """Put -inf into log-probabilities [..., V] for what is `never` produced; all others stay as they are."""
    for word in never:
        log_probs[..., word] = -math.inf
    return log_probs


def best_candidates(log_probs: Tensor, totals: Tensor, count: int) -> Candidates:
    """Find the `count` best of all K x V continuations; equal ones go by lower beam, then by lower id.

    Args:
        log_probs: Of each next word, [B, K, V].
        totals: Of the hypotheses so far, [B, K].
        count: C, the candidates wanted.
    """
    if not log_probs.is_cpu:
        return candidates_by_key(log_probs, totals, count)  # no one waits for the device
    candidates, unsure = candidates_by_blocks(log_probs, totals, count)
    if bool(unsure.any()):
        rows = unsure.nonzero().squeeze(1)
        sure = candidates_by_key(log_probs[rows], totals[rows], count)
        candidates = Candidates(*(part.index_copy(0, rows, new) for part, new in zip(candidates, sure, strict=True)))
    return candidates


def candidates_by_blocks(log_probs: Tensor, totals: Tensor, count: int) -> tuple[Candidates, Tensor]:
    """Find the best continuations in the blocks of words whose best word is among the best blocks' best.

    As no word is better than the best of its block, C + 1 blocks hold the C + 1 best words. Which of equal blocks, or
    of equal words at the edge of the choice, get in is left to the library; where that may break the rule of
    `best_candidates`, a flag says so.

    Returns:
        The candidates, and the flags, [B].
    """
    _, beams, vocab_size = log_probs.shape
    best = _block_maxima(log_probs).add_(totals[:, :, None]).flatten(1)  # [B, K * blocks]
    blocks = best.topk(min(count + 1, best.shape[1]), dim=1).indices  # [B, N]
    per_beam = best.shape[1] // beams
    parents, first = blocks.div(per_beam, rounding_mode="floor"), blocks.remainder(per_beam).mul_(_BLOCK)
    ids = first[:, :, None] + torch.arange(_BLOCK)  # [B, N, 64]
    flat = (parents[:, :, None] * vocab_size + ids.clamp(max=vocab_size - 1)).flatten(1)
    values = log_probs.flatten(1).gather(1, flat).view_as(ids) + totals.gather(1, parents)[:, :, None]
    values = values.masked_fill_(ids >= vocab_size, -math.inf).flatten(1)
    if values.shape[1] <= count:
        values, flat = (
            nn.functional.pad(x, (0, count + 1 - x.shape[1]), value=v) for x, v in ((values, -math.inf), (flat, 0))
        )
    values, order = values.topk(count + 1, dim=1)
    unsure = (values[:, count] == values[:, count - 1]) & (values[:, count] > -math.inf)
    flat, order = flat.gather(1, order[:, :count]).sort(dim=1)
    values, order = values.gather(1, order).sort(dim=1, descending=True, stable=True)
    return _candidates(values, flat.gather(1, order), vocab_size), unsure


def candidates_by_key(log_probs: Tensor, totals: Tensor, count: int) -> Candidates:
    """Find the best continuations by numbers that hold value and place in one, so that no two are equal."""
    vocab_size = log_probs.shape[2]
    values = (log_probs + totals[:, :, None]).flatten(1)  # [B, K * V]
    values = values.masked_fill(values.isnan(), -math.inf)
    if values.shape[1] < count:
        values = nn.functional.pad(values, (0, count - values.shape[1]), value=-math.inf)
    bits = (values + 0.0).view(torch.int32).long()  # + 0.0 makes one zero of the two
    ascending = torch.where(bits < 0, -(bits & 0x7FFFFFFF), bits)
    places = torch.arange(values.shape[1], device=values.device)
    flat = (ascending * 2**31 - places).topk(count, dim=1).indices
    return _candidates(values.gather(1, flat), flat, vocab_size)


def _block_maxima(log_probs: Tensor) -> Tensor:
    """Return the best of every 64 words, [B, K, blocks]; the last block may be smaller."""
    batch, beams, vocab_size = log_probs.shape
    count = vocab_size // _BLOCK
    whole = count * _BLOCK
    parts = [log_probs[:, :, :whole].view(batch, beams, count, _BLOCK).amax(dim=3)] if count else []
    if whole < vocab_size:
        parts.append(log_probs[:, :, whole:].amax(dim=2, keepdim=True))
    return torch.cat(parts, dim=2)


def _candidates(values: Tensor, indices: Tensor, vocab_size: int) -> Candidates:
    impossible = ~(values > -math.inf)  # NaN too
    indices = indices.masked_fill(impossible, 0)  # flat index 0 is beam 0 and id 0, and that is PAD
    return Candidates(
        values.masked_fill(impossible, -math.inf),
        indices.div(vocab_size, rounding_mode="floor"),
        indices.remainder(vocab_size),
    )
