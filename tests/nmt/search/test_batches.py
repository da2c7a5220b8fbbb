import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from nmt.config import SearchSettings
from nmt.errors import ModelError
from nmt.search.choose import search_batches
from nmt.search.frontier import Limits
from nmt.search.rules import Scoring
from nmt.text.vocab import EOS
from tests.nmt.search.alone import beam_search, greedy_search


@pytest.fixture
def model(random_model: Callable[[int], Any]) -> Any:
    return random_model(5)


SENTENCES = 7  # that the model has tables for
SRC = [[4, 5], [6], [7, 8, 9, 4], [5, 6, 7], [], [4], [9, 9, 9]]


@pytest.mark.parametrize("batch_tokens", [1, 12, 40, 4000])
def test_hypotheses_are_those_of_each_source_alone_in_the_order_of_the_sources(model: Any, batch_tokens: int) -> None:
    settings = SearchSettings(beam_size=3, length_penalty=0.6, max_length_ratio=1.5, batch_tokens=batch_tokens)
    found = search_batches(model, SRC, settings=settings, reverse_source=False, n_best=2)
    for row in range(len(SRC)):
        pieces = SRC[row]
        expected = beam_search(
            model.decoder,
            model.start([sum(pieces) % SENTENCES]),
            limits=Limits.start(torch.tensor([math.floor(1.5 * len(pieces)) + 10])),
            beam_size=3,
            scoring=Scoring(0.6),
            n_best=2,
        )
        assert found[row] == expected[0]


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
        assert found[row] == [greedy_search(model.decoder, state, limits=limits, scoring=Scoring(2.0))[0]]


def test_no_sources_give_no_hypotheses(model: Any) -> None:
    assert search_batches(model, [], settings=SearchSettings(), reverse_source=True) == []


@pytest.mark.parametrize("beam_size", [1, 2])
def test_a_model_that_gives_no_numbers_is_refused(model: Any, beam_size: int) -> None:
    model.decoder.table[:] = math.nan
    with pytest.raises(ModelError, match=r"^the model gives scores that are not finite numbers"):
        search_batches(model, SRC, settings=SearchSettings(beam_size=beam_size), reverse_source=True)
