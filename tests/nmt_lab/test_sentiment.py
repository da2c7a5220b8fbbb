import random
from collections.abc import Callable

import pytest
import torch

from nmt_lab import sentiment
from nmt_lab.common import Labeller, Options
from nmt_lab.sentiment import (
    BAD,
    GOOD,
    NEGATIONS,
    VOCABULARY,
    Counter,
    accuracy,
    believe,
    draw_sentence,
    draw_test,
    learn,
)


def verdict(clause: str) -> bool:
    """Classify by hand: a good word, or a bad one that is turned round."""
    words = clause.split()
    (value,) = (word in GOOD for word in words if word in {*GOOD, *BAD})
    return value != any(word in NEGATIONS for word in words)


def test_what_is_behind_but_counts_and_the_clauses_of_a_side_agree() -> None:
    rng, kinds = random.Random(1), set()
    for _ in range(200):
        sentence, good = draw_sentence(rng)
        *before, behind = [[verdict(clause) for clause in side.split(" and ")] for side in sentence.split(" but ")]
        assert set(behind) == {good}
        assert all(set(side) == {not good} for side in before)
        kinds.add((len(before), good))
    assert kinds == {(0, True), (0, False), (1, True), (1, False)}


def test_test_sentences_are_new_and_different(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sentiment, "TESTED", 20)
    seen = {sentence for sentence, _ in (draw_sentence(random.Random(seed)) for seed in range(50))}
    test = draw_test(random.Random(7), seen=seen)
    assert len({sentence for sentence, _ in test} - seen) == 20


def test_a_bag_of_words_adds_up_their_weights() -> None:
    counter = Counter()
    counter.weights.weight.data.copy_(torch.arange(float(len(VOCABULARY)))[:, None])
    sums = counter(torch.tensor([[1, 2, 2]]), torch.tensor([3]))
    assert sums[0, :, 0].tolist() == [1.0, 3.0, 5.0]


def test_a_network_learns_that_not_turns_a_word_round_and_a_bag_of_words_cannot() -> None:
    """The same words in two orders."""
    sentences = [
        ("the food was not good but the soup was fresh", True),
        ("the food was good but the soup was not fresh", False),
    ]
    torch.manual_seed(0)
    options = Options(units=8, steps=60)
    network, counter = Labeller("gru", symbols=len(VOCABULARY), units=8, classes=1), Counter()
    for classifier in (network, counter):
        learn(classifier, [sentences] * options.steps, options)
    assert accuracy(network, sentences) == 1.0
    assert accuracy(counter, sentences) == 0.5
    assert [len(belief) for belief in believe(network, ["the food was good", "the"])] == [4, 1]


@pytest.mark.slow
def test_unseen_sentences_are_classified_correctly_by_the_network_alone(run: Callable[..., list[str]]) -> None:
    network, counter = (float(line.split(": ")[1].split("%")[0]) for line in run(sentiment))
    assert network > 99
    assert counter < 70
