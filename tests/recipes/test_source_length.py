import sys
from pathlib import Path

import pytest
from PIL import Image

from recipes import source_length
from recipes.source_length import cut_by_length, score_groups


def test_lines_are_put_into_groups_of_like_lengths() -> None:
    src = ["a b c", "a", "a b", "a b", "a b c d", "a"]
    assert cut_by_length(src, 3) == [[1, 5], [2, 3], [0, 4]]
    assert cut_by_length(["a", "b", "c c"], 3) == [[0, 1], [2]]


def test_each_group_has_a_score_of_its_own() -> None:
    references = ["a b c d e", "f g h i j"]
    assert score_groups([[0], [1]], references, ["a b c d e", "x"]) == pytest.approx([100, 0])


def test_the_recipe_prints_a_table_and_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ["a b c d", "a b c d e f g h"]
    for name in ("src", "ref", "good"):
        (tmp_path / name).write_text("\n".join(lines) + "\n")
    (tmp_path / "bad").write_text("x\ny\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["source_length", "src", "ref", "good=good", "bad=bad", "--groups", "2"])
    source_length.main()
    head, _, good, bad, count = capsys.readouterr().out.splitlines()
    assert head == "| system | 4 to 4 | 8 to 8 | all |"
    assert good == "| good | 100.00 | 100.00 | 100.00 |"
    assert bad == "| bad | 0.00 | 0.00 | 0.00 |"
    assert count == "| lines | 1 | 1 | 2 |"
    with Image.open(tmp_path / "source_length.png") as picture:
        assert picture.size == (700, 420)
