import math

import pytest

from nmt.training.observers import Scores


def test_perplexity_is_how_many_equally_likely_words_would_be_as_hard() -> None:
    assert Scores(math.log(8), bleu=None).perplexity == pytest.approx(8.0)


def test_a_loss_that_has_exploded_still_has_a_perplexity() -> None:
    assert Scores(1e6, bleu=None).perplexity == math.exp(50)


def test_the_numbers_of_further_sets_have_their_names() -> None:
    scores = Scores(0.0, 12.5, {"news": Scores(0.0, 10.0), "lines": Scores(math.log(2), None)})
    assert scores.numbers() == {
        "loss": 0.0,
        "perplexity": 1.0,
        "bleu": 12.5,
        "news/loss": 0.0,
        "news/perplexity": 1.0,
        "news/bleu": 10.0,
        "lines/loss": math.log(2),
        "lines/perplexity": pytest.approx(2.0),
    }
    assert Scores(0.0, None).numbers() == {"loss": 0.0, "perplexity": 1.0}
