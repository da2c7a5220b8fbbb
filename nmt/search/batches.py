"""Search over any number of sources: sorted by length, in batches under a budget, returned in their own order."""

import math
from typing import Protocol, TypeVar

import numpy as np
import torch

from nmt.batching import FlatSequences, SourceBatch, cut_batches, source_batch
from nmt.config.settings import SearchSettings
from nmt.errors import ModelError
from nmt.search.beam import beam_search
from nmt.search.greedy import greedy_search
from nmt.search.hypothesis import Hypothesis
from nmt.search.protocol import State, StepDecoder

Memory = TypeVar("Memory")

_EXTRA_STEPS = 10


class SearchableModel(StepDecoder[State], Protocol[Memory, State]):
    """A model that encodes sources and decodes step by step."""

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        ...

    def encode(self, src: SourceBatch) -> Memory:
        """Encode padded sources."""
        ...

    def start(self, memory: Memory) -> State:
        """Return the decoder's state before `<s>`, with one beam a sentence."""
        ...


@torch.inference_mode()
def search_batches(
    model: SearchableModel[Memory, State],
    src: FlatSequences,
    *,
    settings: SearchSettings,
    reverse_source: bool,
    n_best: int = 1,
) -> list[list[Hypothesis]]:
    """Search for the translations of sources: greedily if one hypothesis is wanted from a beam of one, else by beam.

    Args:
        model: In evaluation mode.
        src: Source pieces, without `</s>`.
        settings: Beam size, length penalty, longest output, and the budget rows x beams x longest source of a batch.
        reverse_source: Whether the model reads its sources last word first.
        n_best: Hypotheses wanted for each source, at most the beam size.

    Returns:
        For each source, in order, its hypotheses, best first: at least one.

    Raises:
        ModelError: The model gives scores that are not finite numbers.
    """
    order = np.argsort(-src.lengths, kind="stable").astype(np.int64)  # the longest first: what does not fit fails early
    lengths = src.lengths[order] + 1
    results: list[list[Hypothesis]] = [[] for _ in range(len(src))]
    for first, last in cut_batches(lengths, lengths, batch_tokens=settings.batch_tokens // settings.beam_size):
        rows = order[first:last]
        batch = source_batch(src, rows, reverse_source=reverse_source)
        for row, hypotheses in zip(rows.tolist(), _search_batch(model, batch, settings, n_best), strict=True):
            if not (hypotheses and math.isfinite(hypotheses[0].score)):
                raise ModelError("the model gives scores that are not finite numbers; its weights cannot be used")
            results[row] = hypotheses
    return results


def _search_batch(
    model: SearchableModel[Memory, State], batch: SourceBatch, settings: SearchSettings, n_best: int
) -> list[list[Hypothesis]]:
    src = SourceBatch(batch.ids.to(model.device), batch.lengths.to(model.device))
    state = model.start(model.encode(src))
    pieces = src.lengths - 1
    max_lengths = (pieces * settings.max_length_ratio).long() + _EXTRA_STEPS
    alpha = settings.length_penalty
    if settings.beam_size == 1 and n_best == 1:
        greedy = greedy_search(model, state, max_lengths=max_lengths, length_penalty=alpha)
        return [[hypothesis] for hypothesis in greedy]
    return beam_search(
        model, state, max_lengths=max_lengths, beam_size=settings.beam_size, length_penalty=alpha, n_best=n_best
    )
