import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from nmt.config import SearchSettings
from nmt.search.beam import Beams
from nmt.search.constrained import ConstrainedBeams
from nmt.search.forbidden import Forbidden, ForbiddenWords
from nmt.search.frontier import Frontier, run
from nmt.search.greedy import Greedy
from nmt.search.hypothesis import Sentence
from nmt.search.rules import NoRepeatNgram, Prefix
from nmt.search.sampling import Sampled, Sampling
from nmt.search.starting import Kind, start_of

PLAIN = Kind()


def started(kind: Kind = PLAIN, **settings: Any) -> Frontier:
    """Start the search for two sentences of 3 and 5 pieces."""
    sentences = [Sentence((4, 5, 6), prefix=(4, 5)), Sentence((4, 5, 6, 7, 8), number=1, required=((4,),))]
    return start_of(SearchSettings(**settings), kind)(sentences, torch.tensor([4, 6]))


def test_greedy_search_is_for_one_hypothesis_without_a_coverage_penalty() -> None:
    assert type(started(beam_size=1)) is Greedy
    assert type(started(beam_size=1, coverage_penalty=0.1)) is Beams
    assert type(started(beam_size=2)) is Beams
    assert type(started(Kind(constrained=True), beam_size=1)) is ConstrainedBeams
    assert type(started(Kind(sampling=Sampling()), beam_size=1, coverage_penalty=0.1)) is Sampled


@pytest.mark.parametrize("seed", range(3))
def test_the_score_of_a_beam_of_one_has_the_coverage_penalty_in_it(
    random_decoder: Callable[..., Any], seed: int
) -> None:
    decoder = random_decoder(seed, vocab_size=12, sizes=[40])
    settings = SearchSettings(beam_size=1, length_penalty=0.0, coverage_penalty=0.5, max_length_ratio=0.1)
    frontier = start_of(settings)([Sentence((4,) * 39)], torch.tensor([40]))
    assert isinstance(frontier, Beams)
    longest = int(frontier.limits.longest)
    [[found]] = run(decoder, decoder.start([0]), frontier)
    steps = min(len(found.ids) + 1, longest)  # the last one is that of </s>
    read = sum(decoder.next_attention(0, found.ids[:step]) for step in range(steps))
    penalty = sum(0.5 * math.log(min(one, 1.0)) for one in read.tolist())
    assert penalty < 0
    assert found.score == pytest.approx(found.log_probability + penalty, abs=1e-5)


def test_the_prefix_has_the_last_word_and_lets_forbidden_words_end_later() -> None:
    table = ForbiddenWords(["a"], ["", "", "", "", "a", "b"], torch.device("cpu"))
    kind = Kind(forbidden=table, with_prefixes=True)
    frontier = started(kind, beam_size=1, no_repeat_ngram=2, max_length_ratio=2.0)
    assert isinstance(frontier, Greedy)
    repeat, forbidden, prefix = frontier.limits.rules
    assert isinstance(repeat, NoRepeatNgram)
    assert isinstance(forbidden, Forbidden)
    assert isinstance(prefix, Prefix)
    assert forbidden.table is table
    # twice the pieces and ten more, and the prefix
    assert forbidden.longest.tolist() == frontier.limits.longest.tolist() == [18, 20]
    assert prefix.lengths.tolist() == [2, 0]


@pytest.mark.parametrize("kind", [Kind(), Kind(constrained=True), Kind(sampling=Sampling())])
@pytest.mark.parametrize("weighed", [False, True])
def test_a_search_knows_whether_scores_are_weighed_sums(kind: Kind, weighed: bool) -> None:
    frontier: Any = started(replace(kind, weighed=weighed))
    limits = frontier.beams.limits if kind.constrained else frontier.limits
    assert limits.weighed is weighed
