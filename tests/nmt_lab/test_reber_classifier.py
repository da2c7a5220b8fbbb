import random
from collections.abc import Callable

import pytest
import torch

from nmt_lab import reber_classifier
from nmt_lab.common import Labeller, Options
from nmt_lab.reber import is_grammatical
from nmt_lab.reber_classifier import believe, draw_batch, encode, learn, measure


def test_the_first_half_of_a_batch_is_good_and_the_other_half_is_bad() -> None:
    strings = draw_batch(random.Random(1), 40)
    assert [is_grammatical(string) for string in strings] == [True] * 20 + [False] * 20


def test_a_belief_about_a_beginning_does_not_know_what_follows() -> None:
    torch.manual_seed(0)
    network = Labeller("gru", symbols=7, units=4, classes=1)
    whole, beginning = believe(network, ["BTBTXSETE", "BTBT"])
    assert (len(whole), len(beginning)) == (9, 4)
    torch.testing.assert_close(whole[:4], beginning)


def test_shares_are_those_of_each_kind_of_test_string(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {"good": 0.9, "bad": 0.2}
    monkeypatch.setattr(
        reber_classifier, "believe", lambda _, strings: [torch.tensor([0.5, said[string]]) for string in strings]
    )
    test = ["good", "good", "bad", "good", "bad", "bad", "bad", "good"]
    assert measure(Labeller("gru", symbols=7, units=1, classes=1), test) == (0.75, 1.0, 0.5)


def test_a_few_updates_tell_good_strings_from_bad_ones() -> None:
    """Of one good string and one bad one."""
    torch.manual_seed(0)
    network = Labeller("gru", symbols=7, units=8, classes=1)
    strings = ["BTBTXSETE", "BTBTXSEPE"]
    options = Options(units=8, steps=60)
    *_, (step, shares) = learn(network, [strings] * options.steps, strings * 2, options)
    assert step == 60
    good, bad = believe(network, strings)
    assert good[-1] > 0.9
    assert bad[-1] < 0.1
    assert all(0 <= share <= 1 for share in shares)


def test_strings_are_numbers_with_their_lengths() -> None:
    ids, lengths = encode(["BEP", "X"])
    assert ids.tolist() == [[0, 1, 2], [6, 0, 0]]
    assert lengths.tolist() == [3, 1]


@pytest.mark.slow
def test_nearly_all_unseen_strings_are_classified_correctly(run: Callable[..., list[str]]) -> None:
    share = run(reber_classifier)[0].split()[2]
    assert float(share.rstrip("%")) > 99
