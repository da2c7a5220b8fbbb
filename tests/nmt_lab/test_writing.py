import math
from collections.abc import Callable

import pytest
import torch

from nmt_lab import writing
from nmt_lab.common import Options, make_network
from nmt_lab.writing import bits_by_counting, encode, learn, predict, read_text, surprise, write

ALPHABET = "\nab"


def test_the_text_is_a_sentence_a_line_and_the_test_has_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "LINES", 1500)
    train, test = read_text()
    assert (train.count("\n"), test.count("\n")) == (1500, 500)
    assert not {*train.splitlines()} & {*test.splitlines()}


def test_counts_of_characters_and_of_pairs_give_bits() -> None:
    """After a comes b and the other way round: alone each is one bit, in pairs next to none."""
    text = encode("ab" * 500, ALPHABET)
    single, double = bits_by_counting(text, text, size=3)
    assert single == pytest.approx(1.0, abs=0.01)
    assert double == pytest.approx(0.0, abs=0.01)


def test_surprise_is_bits_and_a_network_that_knows_nothing_is_surprised_by_the_alphabet() -> None:
    network = make_network(Options(units=4, steps=1), input_size=3, output_size=3)
    torch.nn.init.zeros_(network.output.weight)
    torch.nn.init.zeros_(network.output.bias)
    bits = surprise(network, ["abab", "a"], ALPHABET)
    assert [row.tolist() for row in bits] == [pytest.approx([math.log2(3)] * 5), pytest.approx([math.log2(3)] * 2)]


def test_what_has_been_learnt_is_written() -> None:
    options = Options(units=12, steps=80)
    network, text = make_network(options, input_size=3, output_size=3), encode("aab\n" * 50, ALPHABET)
    assert list(learn(network, text, options)) == list(range(1, 81))
    assert write(network, ALPHABET, 3) == ["aab"] * 3
    assert surprise(network, ["aab"], ALPHABET)[0].max() < 0.5
    assert predict(network, text[None, :5]).shape == (1, 5, 3)


def test_a_line_that_does_not_end_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "LONGEST", 5)
    network = make_network(Options(units=4, steps=1), input_size=3, output_size=3)
    torch.nn.init.zeros_(network.output.weight)
    network.output.bias.data.copy_(torch.tensor([-50.0, 50.0, -50.0]))
    assert write(network, ALPHABET, 2) == ["aaaaa"] * 2


@pytest.mark.slow
def test_a_network_needs_far_fewer_bits_than_counts_of_pairs(run: Callable[..., list[str]]) -> None:
    head, counted, *_ = run(writing)
    network, pairs = float(head.split()[3].rstrip(";")), float(head.split()[-1])
    assert network < 1.3 < pairs
    assert float(counted.split()[-5].rstrip("%")) > 90
