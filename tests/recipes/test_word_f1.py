import sys
from collections import Counter
from pathlib import Path

import pytest

from recipes import word_f1
from recipes.word_f1 import Found, score_words


def test_words_are_grouped_and_compared_within_their_lines() -> None:
    references, hypotheses = ["the cat sees the dog", "a dog"], ["the the the dog", "a cat"]
    counts = Counter({"the": 9, "a": 3, "dog": 3, "cat": 1})
    found = score_words(references, hypotheses, value=counts.__getitem__, starts=(0, 1, 2, 5))
    # "sees" is not written; the one "cat" stands in the other line; of "dog" and "a" three are asked, two written
    assert found == [Found("0", 1, 0.0), Found("1", 1, 0.0), Found("2-4", 3, 80.0), Found("5+", 2, 80.0)]


def test_the_recipe_prints_a_table_of_each_grouping(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, text in {"train": "ab ab", "ref": "ab abcdef", "good": "ab abcdef", "bad": "ab x"}.items():
        (tmp_path / name).write_text(f"{text}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["word_f1", "train", "ref", "good=good", "bad=bad"])
    word_f1.main()
    assert capsys.readouterr().out.splitlines() == [
        "| times in the training text | 0 | 1 | 2-4 | 5-9 | 10-99 | 100-999 | 1000+ |",
        "|---|---|---|---|---|---|---|---|",
        "| good | 100.0 | 0.0 | 100.0 | 0.0 | 0.0 | 0.0 | 0.0 |",
        "| bad | 0.0 | 0.0 | 100.0 | 0.0 | 0.0 | 0.0 | 0.0 |",
        "| words of the references | 1 | 0 | 1 | 0 | 0 | 0 | 0 |",
        "",
        "| characters | 1-4 | 5-9 | 10-14 | 15-19 | 20+ |",
        "|---|---|---|---|---|---|",
        "| good | 100.0 | 100.0 | 0.0 | 0.0 | 0.0 |",
        "| bad | 66.7 | 0.0 | 0.0 | 0.0 | 0.0 |",
        "| words of the references | 1 | 1 | 0 | 0 | 0 |",
    ]
