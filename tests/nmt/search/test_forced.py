import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from nmt.config import SearchSettings
from nmt.errors import ModelError
from nmt.search.engine import search_batches
from nmt.search.forced import force
from nmt.search.protocol import Sentence
from nmt.text.vocab import EOS

RandomModel = Callable[[int], Any]
SENTENCES = [
    Sentence(tuple(4 + (3 * number + place) % 7 for place in range(1 + number % 5)), number, target)
    for number, target in enumerate([(5, 4), (), (6,), (4, 4, 4, 4, 9), (10, 1), (3,), (7, 8, 9)] * 20)
]


def followed(model: Any, sentences: list[Sentence], *, batch_tokens: int = 0) -> dict[int, Any]:
    return force(model, sentences, batch_tokens=batch_tokens, reverse_source=False)


def test_a_given_translation_is_as_probable_as_its_pieces_and_its_end_together(random_model: RandomModel) -> None:
    model = random_model(1)
    for number, found in followed(model, SENTENCES).items():
        source, target = SENTENCES[number].ids, SENTENCES[number].prefix
        table = sum(source) % 7
        pieces = (*target, EOS)
        log_probs = [model.decoder.next_log_probs(table, pieces[:place])[piece] for place, piece in enumerate(pieces)]
        assert found.ids == target
        assert found.log_probability == pytest.approx(float(sum(log_probs)), abs=1e-5)
        assert found.score == found.log_probability / len(pieces)


def test_from_right_to_left_a_given_translation_is_as_probable_as_turned_around(random_model: RandomModel) -> None:
    model = random_model(1)
    turned = [replace(one, prefix=one.prefix[::-1]) for one in SENTENCES]
    expected = followed(model, turned)
    found = force(model, SENTENCES, batch_tokens=0, reverse_source=False, right_to_left=True)
    assert found == {number: replace(one, ids=one.ids[::-1]) for number, one in expected.items()}
    assert found[0].ids == SENTENCES[0].prefix == (5, 4)


def test_what_a_model_thinks_does_not_depend_on_what_is_beside(random_model: RandomModel) -> None:
    model = random_model(2)
    together = followed(model, SENTENCES)
    assert list(together) != sorted(together)  # they go in another order than they came
    assert followed(model, SENTENCES[::-1], batch_tokens=9) == together
    assert [followed(model, [one])[one.number] for one in SENTENCES[:7]] == [together[number] for number in range(7)]


def test_a_translation_that_a_search_has_found_is_as_probable_as_it_said(random_model: RandomModel) -> None:
    model = random_model(3)
    model.decoder.table[:, :, EOS] += 2  # else they go on to their last step
    sources = [(4, 5, 6), (7,), (8, 9)]
    settings = SearchSettings(beam_size=3, length_penalty=0)
    best = search_batches(model, sources, settings=settings, reverse_source=False)
    given = [Sentence(source, number, one.ids) for number, (source, one) in enumerate(zip(sources, best, strict=True))]
    again = followed(model, given)
    for number, one in enumerate(best):
        assert again[number].log_probability == pytest.approx(one.log_probability, abs=1e-5)


def test_scores_that_are_no_numbers_are_an_error(random_model: RandomModel) -> None:
    model = random_model(4)
    model.decoder.table = torch.full_like(model.decoder.table, math.nan)
    with pytest.raises(ModelError, match="the model gives scores that are not finite numbers"):
        followed(model, SENTENCES[:1])
