"""Greedy search: the best word at every step."""

import torch
from torch import Tensor

from nmt.search.candidates import word_log_probs
from nmt.search.hypothesis import Hypothesis
from nmt.search.penalties import length_penalties
from nmt.search.protocol import State, StepDecoder
from nmt.search.rows import longest_of, rows_where
from nmt.vocab import BOS, EOS, PAD


@torch.inference_mode()
def greedy_search(
    decoder: StepDecoder[State], state: State, *, max_lengths: Tensor, length_penalty: float = 0.0
) -> list[Hypothesis]:
    """Continue each sentence with its most probable word, the lowest id among equals, until that is `</s>`.

    Args:
        decoder: What scores the words.
        state: Its state before the first step, with one beam a sentence.
        max_lengths: Most steps of each sentence, [B], at least 1. After the last one the hypothesis ends as it is.
        length_penalty: Alpha of the length penalty, for the score; it changes no choice.

    Returns:
        The hypothesis of each sentence.

    Raises:
        ValueError: A length or the penalty is out of range.
    """
    count, longest, device = len(max_lengths), longest_of(max_lengths), max_lengths.device
    written = torch.full((count, longest), PAD, device=device)
    log_probs = torch.zeros(count, device=device)
    lengths = torch.zeros_like(max_lengths)
    places = torch.arange(count, device=device)  # [B], the sentences that go on
    ids = torch.full((count, 1), BOS, device=device)
    while len(places):
        logits, state = decoder.step(ids, state)
        best, ids = word_log_probs(logits).squeeze(1).max(dim=1, keepdim=True)  # [B, 1]
        written[places, lengths[places]] = ids.squeeze(1)
        log_probs[places] += best.squeeze(1)
        lengths[places] += 1
        going = ((ids.squeeze(1) != EOS) & (lengths < max_lengths)[places]).tolist()
        if not all(going):
            kept = rows_where(going, device)
            places, ids, state = places[kept], ids[kept], state.take(kept)
    scores = log_probs.double() / length_penalties(longest, alpha=length_penalty, device=device)[lengths]
    rows = zip(written.tolist(), lengths.tolist(), log_probs.tolist(), scores.tolist(), strict=True)
    return [Hypothesis(_words(row[:length]), log_prob, score) for row, length, log_prob, score in rows]


def _words(produced: list[int]) -> tuple[int, ...]:
    return tuple(produced[:-1] if produced[-1] == EOS else produced)
