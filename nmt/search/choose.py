"""A search for sentences that are all known: how it is chosen, the longest first, returned in their own order."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from nmt.config import SearchSettings
from nmt.search.beam import Beams
from nmt.search.constrained import ConstrainedBeams
from nmt.search.engine import Engine, Start
from nmt.search.frontier import FORBIDDEN, Frontier, Limits
from nmt.search.greedy import Greedy
from nmt.search.protocol import Hypothesis, Memory, SearchableModel, Sentence, State
from nmt.search.rules import RULES, Asked, Scoring
from nmt.search.sampling import Sampled, Sampling
from nmt.text.vocab import UNK


def search_batches(
    model: SearchableModel[Memory, State],
    sources: Sequence[Sequence[int]],
    *,
    settings: SearchSettings,
    reverse_source: bool,
    n_best: int = 1,
    with_attention: bool = False,
) -> list[list[Hypothesis]]:
    """Search for the translations of sources.

    Args:
        model: In evaluation mode.
        sources: Source pieces, without `</s>`.
        settings: Beam size, length penalty, longest output, and the budget rows x beams x longest source of a batch.
        reverse_source: Whether sources are reversed.
        n_best: Hypotheses wanted for each source, at most the beam size.
        with_attention: Keep the attention of each piece.

    Returns:
        For each source, in order, its hypotheses, best first: at least one.

    Raises:
        ModelError: The model gives scores that are not finite numbers.
    """
    start = start_of(settings, Kind(n_best=n_best, with_attention=with_attention))
    engine = Engine(
        model, start, batch_tokens=settings.batch_tokens, reverse_source=reverse_source, beams=settings.beam_size
    )
    sentences = [Sentence(tuple(ids), number) for number, ids in enumerate(sources)]
    # the longest first: what does not fit fails early
    waiting = sorted(sentences, key=lambda sentence: len(sentence.ids))
    found: list[list[Hypothesis]] = [[] for _ in sentences]
    while waiting or engine.busy:
        if waiting and engine.hungry:
            count = min(engine.at_once(len(waiting[-1].ids)), len(waiting))
            engine.add([waiting.pop() for _ in range(count)])
        for number, hypotheses in engine.step():
            found[number] = hypotheses
    return found


_EXTRA_STEPS = 10


@dataclass(frozen=True)
class Kind(Asked):
    """What is asked of a search beyond its settings."""

    n_best: int = 1
    """Hypotheses of each sentence."""
    sampling: Sampling | None = None
    """Draw them at random."""
    with_attention: bool = False
    """Keep the attention of each piece."""
    allow_unknown: bool = False
    """Let `<unk>` be produced."""
    constrained: bool = False
    """Heed what sentences require."""
    continuing: frozenset[int] = frozenset()
    """Pieces that go on within a word, before which a required one has not ended yet."""
    opening: Mapping[int, int] = field(default_factory=dict)
    """Pieces that begin a text, and what each of them is elsewhere, where scripts have no spaces."""
    weighed: bool = False
    """The model's scores are sums of weighted log-probabilities, as those of `nmt.search.combined`."""


def start_of(settings: SearchSettings, kind: Kind = Kind()) -> Start:
    """Choose the kind of search.

    Samples if that is asked for; a beam search with constraints where pieces are required; greedy search where one
    hypothesis is wanted from a beam of one, and no coverage penalty, of which it knows nothing; else a beam search.
    """
    greedy = settings.beam_size == 1 and kind.n_best == 1 and not (kind.constrained or settings.coverage_penalty)
    scoring = Scoring.of(settings)

    def start(sentences: Sequence[Sentence], src_lengths: Tensor) -> Frontier:
        limits = _limits(sentences, src_lengths, settings, kind)
        attention = kind.with_attention
        if kind.sampling is not None:
            numbers = torch.tensor([sentence.number for sentence in sentences], device=src_lengths.device)
            count, sampling = kind.n_best, kind.sampling
            return Sampled.start(
                limits, numbers, count=count, sampling=sampling, scoring=scoring, with_attention=attention
            )
        if greedy:
            return Greedy.start(limits, scoring=scoring, with_attention=attention)
        start_beams: Callable[..., Frontier] = Beams.start
        if kind.constrained:
            start_beams = partial(
                ConstrainedBeams.start,
                required=[sentence.required for sentence in sentences],
                continuing=kind.continuing,
                copied=kind.copied,
                opening=kind.opening,
            )
        return start_beams(
            limits,
            beam_size=settings.beam_size,
            n_best=kind.n_best,
            scoring=scoring,
            src_lengths=src_lengths,
            with_attention=attention,
        )

    return start


def _limits(sentences: Sequence[Sentence], src_lengths: Tensor, settings: SearchSettings, kind: Kind) -> Limits:
    pieces = src_lengths - 1
    longest = (pieces * settings.max_length_ratio).long() + _EXTRA_STEPS
    shortest = (pieces * settings.min_length_ratio).long()
    if kind.constrained:
        needed = [sum(map(len, sentence.required)) for sentence in sentences]
        longest = longest + torch.tensor(needed, device=pieces.device)
    if kind.with_prefixes:
        longest = longest + torch.tensor([len(sentence.prefix) for sentence in sentences], device=pieces.device)
    made = (rule.of(sentences, longest, settings, kind) for rule in RULES)
    rules = [rule for rule in made if rule is not None]
    never = tuple(piece for piece in FORBIDDEN if not (piece == UNK and kind.allow_unknown))
    return Limits.start(longest, shortest, rules, never=never, weighed=kind.weighed)
