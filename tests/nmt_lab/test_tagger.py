from collections.abc import Callable

import pytest
import torch

from nmt_lab import tagger
from nmt_lab.common import Labeller, Options
from nmt_lab.tagger import HIDDEN, TAGS, encode, give_tags, learn, read_sentences


def test_words_have_the_tags_of_the_dictionary() -> None:
    found = {
        " ".join(word for word, _ in sentence): [TAGS[tag] for _, tag in sentence] for sentence in read_sentences()
    }
    assert len(found) == 5000
    assert found["this is pierre's house"] == ["other", "other", "name", "noun"]


def test_unknown_words_are_hidden_and_no_tag_stands_behind_a_sentence() -> None:
    ids, tags, lengths = encode([[("a", 0), ("fish", 1)], [("swims", 2)]], {HIDDEN: 0, "a": 1, "swims": 2})
    assert ids.tolist() == [[1, 0], [2, 0]]
    assert tags.tolist() == [[0, 1], [2, -1]]
    assert lengths.tolist() == [2, 1]


def test_both_ways_a_hidden_word_is_known_by_what_follows() -> None:
    numbers = {HIDDEN: 0, "red": 1, "fish": 2, "the": 3, ".": 4}
    sentences = [[("red", 3), ("fish", 1)], [("the", 0), (".", 0)]] * 8
    torch.manual_seed(0)
    network = Labeller("gru", symbols=5, units=8, classes=len(TAGS), bidirectional=True)
    learn(network, sentences, numbers, Options(units=8, steps=80))
    ids, lengths = torch.tensor([[0, 2], [0, 4]]), torch.tensor([2, 2])
    assert give_tags(network, ids, lengths)[:, 0].tolist() == [3, 0]


@pytest.mark.slow
def test_who_reads_both_ways_knows_more_of_the_hidden_words(run: Callable[..., list[str]]) -> None:
    lines = run(tagger)[1:]
    hidden = [float(line.split("correctly, ")[1].split("%")[0]) for line in lines]
    assert hidden[1] > 90 > hidden[0]
    assert all(float(line.split(": ")[1].split("%")[0]) > 99 for line in lines)
