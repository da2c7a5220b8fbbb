"""Searches of all sentences at once, without the engine that lets them come and go."""

from typing import Any

import torch

from nmt.search.beam import Beams
from nmt.search.frontier import Frontier, Limits
from nmt.search.greedy import Greedy
from nmt.search.protocol import Hypothesis
from nmt.search.rules import Scoring


def run(decoder: Any, state: Any, frontier: Frontier) -> list[list[Hypothesis]]:
    """Search until every sentence is over: `state` has as many beams as `frontier`."""
    while not bool(frontier.over().all()):
        logits, state = decoder.step(frontier.ids, state)
        frontier, parents = frontier.grow(logits, state)
        if parents is not None:
            state = state.select(parents)
    return frontier.hypotheses()


@torch.inference_mode()
def greedy_search(decoder: Any, state: Any, *, limits: Limits, scoring: Scoring) -> list[Hypothesis]:
    return [found for (found,) in run(decoder, state, Greedy.start(limits, scoring=scoring))]


@torch.inference_mode()
def beam_search(
    decoder: Any, state: Any, *, limits: Limits, beam_size: int, scoring: Scoring, n_best: int = 1
) -> list[list[Hypothesis]]:
    return run(decoder, state, Beams.start(limits, beam_size=beam_size, n_best=n_best, scoring=scoring))
