import math

import pytest

from nmt.training.reports import Scores


def test_perplexity_is_how_many_equally_likely_words_would_be_as_hard() -> None:
    assert Scores(math.log(8), bleu=None).perplexity == pytest.approx(8.0)


def test_a_loss_that_has_exploded_still_has_a_perplexity() -> None:
    assert Scores(1e6, bleu=None).perplexity == math.exp(50)
