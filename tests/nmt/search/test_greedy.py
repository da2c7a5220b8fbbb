import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from nmt.search.frontier import Limits
from nmt.search.greedy import Greedy
from nmt.search.protocol import Hypothesis
from nmt.search.rules import Scoring
from nmt.text.vocab import BOS, EOS
from tests.nmt.search.alone import beam_search, greedy_search, run

A, B = 4, 5
RandomDecoder = Callable[..., Any]


@dataclass(frozen=True)
class Nothing:
    """The state of a decoder that remembers nothing."""

    pieces = None
    attention = torch.zeros(1, 1, 1)

    def select(self, parents: Tensor) -> "Nothing":
        return self

    def take(self, sentences: Tensor) -> "Nothing":
        return self


@dataclass(frozen=True)
class Chain:
    """A Markov chain: the next piece depends on the last one alone."""

    probabilities: dict[int, dict[int, float]]

    def step(self, prev_ids: Tensor, state: Nothing) -> tuple[Tensor, Nothing]:
        rows = torch.zeros(6, 6)
        for last, after in self.probabilities.items():
            for piece, probability in after.items():
                rows[last, piece] = probability
        return rows.log()[prev_ids], state


CHAIN = Chain({BOS: {A: 0.5, B: 0.25, EOS: 0.25}, A: {B: 0.5, A: 0.25, EOS: 0.25}, B: {EOS: 0.75, A: 0.25}})


def test_greedy_follows_the_most_probable_pieces_to_the_end() -> None:
    [found] = greedy_search(CHAIN, Nothing(), limits=Limits.start(torch.tensor([9])), scoring=Scoring(1.0))
    assert found.ids == (A, B)
    assert found.log_probability == pytest.approx(math.log(0.5 * 0.5 * 0.75))
    assert found.score == pytest.approx(math.log(0.5 * 0.5 * 0.75) / ((5 + 3) / 6))


def test_greedy_stops_at_the_step_limit_of_each_sentence() -> None:
    one, two, three = greedy_search(CHAIN, Nothing(), limits=Limits.start(torch.tensor([1, 2, 3])), scoring=Scoring())
    assert one.ids == (A,)
    assert one.score == one.log_probability == pytest.approx(math.log(0.5))
    assert two.ids == three.ids == (A, B)
    assert two.log_probability == pytest.approx(math.log(0.25))
    assert three.log_probability == pytest.approx(math.log(0.1875))


def test_an_end_in_the_first_step_is_an_empty_hypothesis() -> None:
    [found] = greedy_search(
        Chain({BOS: {EOS: 1.0}}), Nothing(), limits=Limits.start(torch.tensor([9])), scoring=Scoring()
    )
    assert found == Hypothesis((), 0.0, 0.0)


def test_of_equal_pieces_the_lowest_is_taken() -> None:
    [found] = greedy_search(
        Chain({BOS: {A: 0.5, B: 0.5}, A: {EOS: 1.0}}),
        Nothing(),
        limits=Limits.start(torch.tensor([9])),
        scoring=Scoring(),
    )
    assert found.ids == (A,)


def test_pad_unk_and_bos_are_never_produced() -> None:
    chain = Chain({BOS: {0: 0.25, 1: 0.25, BOS: 0.375, A: 0.125}, A: {EOS: 1.0}})
    [found] = greedy_search(chain, Nothing(), limits=Limits.start(torch.tensor([9])), scoring=Scoring())
    assert found.ids == (A,)
    assert found.log_probability == pytest.approx(math.log(0.125))


@given(seed=st.integers(0, 2**32), levels=st.sampled_from([0, 3]), limit=st.integers(1, 12))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_greedy_is_a_beam_of_one_without_length_penalty(
    random_decoder: RandomDecoder, seed: int, levels: int, limit: int
) -> None:
    decoder = random_decoder(seed, vocab_size=8, sentences=5, levels=levels)
    limits = torch.tensor([limit, 12, 1, 5, limit])
    greedy = greedy_search(decoder, decoder.start(range(5)), limits=Limits.start(limits), scoring=Scoring())
    beam = beam_search(decoder, decoder.start(range(5)), limits=Limits.start(limits), beam_size=1, scoring=Scoring())
    assert [[hypothesis] for hypothesis in greedy] == beam


def test_a_sentence_alone_and_in_any_company_is_the_same(random_decoder: RandomDecoder) -> None:
    decoder = random_decoder(3, vocab_size=20, sentences=12)
    limits = torch.arange(1, 13)
    alone = [
        greedy_search(decoder, decoder.start([i]), limits=Limits.start(limits[i : i + 1]), scoring=Scoring())[0]
        for i in range(12)
    ]
    order = torch.randperm(12, generator=torch.Generator().manual_seed(1))
    together = greedy_search(
        decoder, decoder.start(order.tolist()), limits=Limits.start(limits[order]), scoring=Scoring()
    )
    assert together == [alone[i] for i in order.tolist()]


def test_what_has_been_found_stays_when_a_sentence_that_is_over_goes_on(random_decoder: RandomDecoder) -> None:
    decoder = random_decoder(2, vocab_size=9, sentences=6)
    decoder.table[:, :, EOS] += 1.0
    limits = Limits.start(torch.tensor([1, 4, 8, 8, 8, 8]))
    frontier, state = Greedy.start(limits, scoring=Scoring(), with_attention=True), decoder.start(range(6))
    found: dict[int, Hypothesis] = {}
    for _ in range(10):
        logits, state = decoder.step(frontier.ids, state)
        frontier, parents = frontier.grow(logits, state)
        assert parents is None
        for sentence, over in enumerate(frontier.over().tolist()):
            if over:
                [now] = frontier.hypotheses()[sentence]
                before = found.setdefault(sentence, now)
                assert now == before
                assert torch.equal(now.attention, before.attention)
    assert len(found) == 6
    assert len({len(hypothesis.ids) for hypothesis in found.values()}) > 2


def test_the_attention_of_a_hypothesis_is_that_with_which_its_pieces_were_chosen(random_decoder: RandomDecoder) -> None:
    decoder = random_decoder(4, vocab_size=9, sentences=2, sizes=[4, 2])
    frontier = Greedy.start(Limits.start(torch.tensor([6, 6])), scoring=Scoring(), with_attention=True)
    for sentence, [found] in enumerate(run(decoder, decoder.start([0, 1]), frontier)):
        expected = torch.zeros(len(found.ids), 4)
        for step, row in enumerate(expected):
            row[: decoder.sizes[sentence]] = decoder.next_attention(sentence, found.ids[:step])
        assert found.ids
        assert torch.equal(found.attention, expected)
