from pathlib import Path

import pytest

from nmt.errors import ConfigError, DataError
from nmt.text.tokenizer_training import VocabularyTooLargeError, train_apart, train_tokenizer

LINES = ["the dog runs", "", "the cat sleeps\r", "a\u2028b", "the dog sleeps"] * 3


def test_a_tokenizer_that_is_trained_apart_is_the_same(tmp_path: Path) -> None:
    apart = train_apart(LINES, tmp_path / "sample", kind="bpe", vocab_size=40, symbols=("<a>",))
    assert apart == train_tokenizer(LINES, kind="bpe", vocab_size=40, symbols=("<a>",))
    assert list(tmp_path.iterdir()) == []


def test_errors_come_through(tmp_path: Path) -> None:
    with pytest.raises(VocabularyTooLargeError) as caught:
        train_apart(LINES, tmp_path / "sample", kind="unigram", vocab_size=4000)
    assert caught.value.asked == 4000 > caught.value.largest
    with pytest.raises(ConfigError, match="is too small for this corpus"):
        train_apart(LINES, tmp_path / "sample", kind="bpe", vocab_size=16)
    with pytest.raises(DataError, match="there is no text to train a tokenizer on"):
        train_apart([], tmp_path / "sample", kind="bpe", vocab_size=16)
    assert list(tmp_path.iterdir()) == []
