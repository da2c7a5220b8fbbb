import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
import torch

from nmt.config import SearchSettings
from nmt.errors import ModelError
from nmt.search import engine
from nmt.search.beam import Beams
from nmt.search.constrained import ConstrainedBeams
from nmt.search.engine import Kind, search_batches, start_of
from nmt.search.forbidden import ForbiddenWords
from nmt.search.frontier import Frontier, Limits
from nmt.search.greedy import Greedy
from nmt.search.protocol import Sentence
from nmt.search.rules import Asked, Forbidden, NoRepeatNgram, Prefix, Scoring
from nmt.search.sampling import Sampled, Sampling
from nmt.text.vocab import EOS
from tests.nmt.search.alone import beam_search, greedy_search, run

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
    monkeypatch.setattr(engine, "RULES", (*engine.RULES, OnlyTwice))
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
    assert frontier.limits.weighed is weighed


@pytest.fixture
def model(random_model: Callable[[int], Any]) -> Any:
    return random_model(5)


SENTENCES = 7  # that the model has tables for
SRC = [[4, 5], [6], [7, 8, 9, 4], [5, 6, 7], [], [4], [9, 9, 9]]


@pytest.mark.parametrize("batch_tokens", [1, 12, 40, 4000])
def test_hypotheses_are_those_of_each_source_alone_in_the_order_of_the_sources(model: Any, batch_tokens: int) -> None:
    settings = SearchSettings(beam_size=3, length_penalty=0.6, max_length_ratio=1.5, batch_tokens=batch_tokens)
    found = search_batches(model, SRC, settings=settings, reverse_source=False)
    for row in range(len(SRC)):
        pieces = SRC[row]
        expected = beam_search(
            model.decoder,
            model.start([sum(pieces) % SENTENCES]),
            limits=Limits.start(torch.tensor([math.floor(1.5 * len(pieces)) + 10])),
            beam_size=3,
            scoring=Scoring(0.6),
        )
        assert [found[row]] == expected[0]


def test_sentences_under_way_keep_to_the_budget_with_the_longest_first(model: Any) -> None:
    settings = SearchSettings(beam_size=2, batch_tokens=20)
    search_batches(model, SRC, settings=settings, reverse_source=False)
    assert [tuple(batch.shape) for batch in model.batches] == [(7, 5)]
    assert model.decoder.steps[:2] == [(7, 1), (2, 2)]  # 3 x 2 x 5 would be above 20
    assert max(rows for rows, _ in model.decoder.steps[1:]) <= 5  # 5 x 2 x 2


def test_a_source_over_the_budget_is_searched_alone(model: Any) -> None:
    settings = SearchSettings(beam_size=5, batch_tokens=1)
    search_batches(model, SRC, settings=settings, reverse_source=False)
    assert {rows for rows, _ in model.decoder.steps[1:]} == {1}


def test_sources_are_reversed_where_the_model_wants_it(model: Any) -> None:
    search_batches(model, [[4, 5, 6]], settings=SearchSettings(), reverse_source=True)
    assert model.batches[0].tolist() == [[6, 5, 4, EOS]]


def test_a_beam_of_one_is_greedy_search_whatever_the_length_penalty(model: Any) -> None:
    settings = SearchSettings(beam_size=1, length_penalty=2.0)
    found = search_batches(model, SRC, settings=settings, reverse_source=False)
    for row in range(len(SRC)):
        pieces = SRC[row]
        state = model.start([sum(pieces) % SENTENCES])
        limits = Limits.start(torch.tensor([2 * len(pieces) + 10]))
        assert [found[row]] == greedy_search(model.decoder, state, limits=limits, scoring=Scoring(2.0))


def test_no_sources_give_no_hypotheses(model: Any) -> None:
    assert search_batches(model, [], settings=SearchSettings(), reverse_source=True) == []


@pytest.mark.parametrize("beam_size", [1, 2])
def test_a_model_that_gives_no_numbers_is_refused(model: Any, beam_size: int) -> None:
    model.decoder.table[:] = math.nan
    with pytest.raises(ModelError, match=r"^the model gives scores that are not finite numbers"):
        search_batches(model, SRC, settings=SearchSettings(beam_size=beam_size), reverse_source=True)
