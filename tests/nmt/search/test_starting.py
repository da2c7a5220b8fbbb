import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
import torch

from nmt.config import SearchSettings
from nmt.search import choose
from nmt.search.beam import Beams
from nmt.search.choose import Kind, start_of
from nmt.search.constrained import ConstrainedBeams
from nmt.search.forbidden import ForbiddenWords
from nmt.search.frontier import Frontier
from nmt.search.greedy import Greedy
from nmt.search.protocol import Sentence
from nmt.search.rules import Asked, Forbidden, NoRepeatNgram, Prefix
from nmt.search.sampling import Sampled, Sampling
from nmt.text.vocab import EOS
from tests.nmt.search.alone import run

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


class OnlyTwice(NamedTuple):
    """No piece comes more than twice."""

    @classmethod
    def of(cls, sentences: Any, longest: torch.Tensor, settings: SearchSettings, asked: Asked) -> "OnlyTwice | None":
        return OnlyTwice() if asked.with_prefixes else None

    def apply(
        self, log_probs: torch.Tensor, *, pieces: torch.Tensor | None, written: torch.Tensor, lengths: torch.Tensor
    ) -> None:
        counts = torch.nn.functional.one_hot(written, log_probs.shape[2]).sum(dim=2)
        log_probs[:, :, EOS + 1 :].masked_fill_(counts[:, :, EOS + 1 :] > 1, -math.inf)

    def take(self, sentences: torch.Tensor) -> "OnlyTwice":
        return self

    def join(self, other: "OnlyTwice") -> "OnlyTwice":
        return self


@pytest.mark.parametrize("kind", [Kind(), Kind(constrained=True), Kind(sampling=Sampling())])
def test_a_new_rule_is_one_class_and_its_name_in_the_list(
    random_decoder: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, kind: Kind
) -> None:
    monkeypatch.setattr(choose, "RULES", (*choose.RULES, OnlyTwice))
    decoder = random_decoder(1, vocab_size=7, sizes=[40])
    sentences, lengths = [Sentence((4,) * 39)], torch.tensor([40])
    settings = SearchSettings(min_length_ratio=0.15, max_length_ratio=0.2)
    without, under_it = (
        run(decoder, decoder.start([0]), start_of(settings, replace(kind, with_prefixes=asked))(sentences, lengths))
        for asked in (False, True)
    )
    assert max(Counter(without[0][0].ids).values()) > 2
    assert max(Counter(under_it[0][0].ids).values()) == 2


@pytest.mark.parametrize("kind", [Kind(), Kind(constrained=True), Kind(sampling=Sampling())])
@pytest.mark.parametrize("weighed", [False, True])
def test_a_search_knows_whether_scores_are_weighed_sums(kind: Kind, weighed: bool) -> None:
    frontier: Any = started(replace(kind, weighed=weighed))
    limits = frontier.beams.limits if kind.constrained else frontier.limits
    assert limits.weighed is weighed
