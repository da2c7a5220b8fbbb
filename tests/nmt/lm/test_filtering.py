import io
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from nmt.errors import DataError, ModelError
from nmt.lm import LanguageScorer
from nmt.lm.filtering import Difference, copy_chosen, differences, lowest, read_sides
from nmt.lm.scorer import LineScore
from nmt.text.tokenizer import tokenizer_files
from nmt.text.tokenizer_training import TokenizerPlan, train_tokenizer

MakeLanguageModel = Callable[..., Path]


@dataclass(frozen=True)
class Counting:
    """Gives every word of a line, and its end, this log-probability; blank lines have no words."""

    log_prob: float

    def score(self, lines: Sequence[str]) -> list[LineScore]:
        counts = [len(line.split()) + 1 if line.split() else 0 for line in lines]
        return [LineScore((4,) * count, (self.log_prob,) * count, 0, 0) for count in counts]


@dataclass(frozen=True)
class Liking:
    """Gives a word that it likes -1, another and the end of a line -3."""

    word: str

    def score(self, lines: Sequence[str]) -> list[LineScore]:
        found = []
        for line in lines:
            log_probs = (*(-1.0 if word == self.word else -3.0 for word in line.split()), -3.0)
            found.append(LineScore((4,) * len(log_probs), log_probs, 0, 0))
        return found


def test_the_difference_is_of_cross_entropies_per_piece_with_the_end() -> None:
    judge = Difference(Liking("goal"), Liking("price"))
    # "goal goal price": in the domain (1 + 1 + 3 + 3) / 4 = 2, in general (3 + 3 + 1 + 3) / 4 = 2.5
    # "price": (3 + 3) / 2 = 3 and (1 + 3) / 2 = 2; "x": 3 and 3
    assert judge.of(["goal goal price", "price", "x"]) == [-0.5, 1.0, 0.0]


def test_a_blank_line_is_infinitely_unlike_the_domain() -> None:
    assert Difference(Counting(-2.0), Counting(-3.0)).of(["a", ""]) == [-1.0, math.inf]


def test_the_differences_of_both_sides_are_added() -> None:
    src, tgt = Difference(Liking("a"), Liking("b")), Difference(Counting(-2.0), Counting(-4.5))
    rows = [("a", "x"), ("b", "y"), ("", "y"), ("a", "")]
    assert differences(rows, [src, tgt]).tolist() == [-1.0 - 2.5, 1.0 - 2.5, -2.5, math.inf]
    assert differences(rows, [src, None]).tolist() == [-1.0, 1.0, 0.0, -1.0]
    assert differences([], [src, tgt]).tolist() == []


def test_many_rows_pass_by_in_blocks() -> None:
    done: list[int] = []
    rows = [("a" if number % 3 else "b",) for number in range(4500)]
    found = differences(rows, [Difference(Liking("a"), Liking("b"))], on_rows=done.append)
    assert done == list(range(250, 4501, 250))
    assert found.tolist() == [-1.0 if number % 3 else 1.0 for number in range(4500)]


@pytest.mark.parametrize(
    ("share", "kept"),
    [
        (0.0, []),
        (0.2, [3]),
        (0.4, [1, 3]),
        (0.5, [1, 3, 4]),
        (0.6, [1, 3, 4]),
        (0.8, [0, 1, 3, 4]),
        (1.0, [0, 1, 3, 4]),
    ],
)
def test_a_share_of_the_lowest_is_kept_and_no_infinite_one(share: float, kept: list[int]) -> None:
    scores = np.array([2.0, 1.0, math.inf, -1.0, 1.0])
    assert lowest(scores, share).nonzero()[0].tolist() == kept


def write(path: Path, *lines: str) -> Path:
    path.write_bytes("".join(f"{line}\n" for line in lines).encode())
    return path


def test_files_are_read_side_by_side_as_they_are(tmp_path: Path) -> None:
    src = [write(tmp_path / "1.src", " a ", "b"), write(tmp_path / "2.src", "e\u0301")]
    tgt = [write(tmp_path / "1.tgt", "x", ""), write(tmp_path / "2.tgt", "z")]
    assert list(read_sides([src, tgt])) == [(" a ", "x"), ("b", ""), ("e\u0301", "z")]
    assert list(read_sides([src])) == [(" a ",), ("b",), ("e\u0301",)]


@pytest.mark.parametrize(
    ("src", "tgt", "found"), [("aaa", "xx", "3 lines"), ("a", "xxx", "1 line"), ("", "x", "0 lines")]
)
def test_files_that_do_not_match_are_an_error(tmp_path: Path, src: str, tgt: str, found: str) -> None:
    paths = [write(tmp_path / "src", *src), write(tmp_path / "tgt", *tgt)]
    expected = f"{paths[0]} has {found} but {paths[1]} has {len(tgt)}; parallel files must match"
    with pytest.raises(DataError, match=f"^{re.escape(expected)}$"):
        list(read_sides([[path] for path in paths]))


def test_chosen_rows_are_copied_in_their_order(tmp_path: Path) -> None:
    sides = [[write(tmp_path / "src", " a", "b", "c")], [write(tmp_path / "tgt", "x", "y", "z")]]
    outputs = [io.BytesIO(), io.BytesIO()]
    copy_chosen(sides, outputs, np.array([True, False, True]))
    assert [file.getvalue() for file in outputs] == [b" a\nc\n", b"x\nz\n"]


@pytest.mark.parametrize("count", [2, 4])
def test_files_that_have_changed_are_an_error(tmp_path: Path, count: int) -> None:
    side = write(tmp_path / "src", "a", "b", "c")
    with pytest.raises(DataError, match=rf"src and what follows it had {count} lines to score, but has 3 now$"):
        copy_chosen([[side]], [io.BytesIO()], np.ones(count, dtype=np.bool_))


def test_models_are_loaded_if_they_cut_text_in_the_same_way(
    toy_model: Path, tmp_path: Path, make_language_model: MakeLanguageModel
) -> None:
    [tokenizer] = tokenizer_files(toy_model)
    first = make_language_model(tmp_path / "first", tokenizer)
    second = make_language_model(tmp_path / "second", tokenizer, seed=2)
    lines = ["bat cow", "", "hat"]
    found = Difference.load(first, second, device="cpu").of(lines)
    one, two = (LanguageScorer.load(folder, device="cpu").score(lines) for folder in (first, second))
    expected = [
        -a.log_probability / a.pieces + b.log_probability / b.pieces for a, b in zip(one, two, strict=True) if a.pieces
    ]
    assert [found[0], found[2]] == pytest.approx(expected)
    assert found[1] == math.inf
    foreign = tmp_path / tokenizer.name
    foreign.write_bytes(train_tokenizer(["the dog runs ."], TokenizerPlan("unigram", 16)))
    other = make_language_model(tmp_path / "other", foreign)
    message = (
        f"{other} has another tokenizer than {first}; cross-entropies compare only where text is cut in the same way: "
        f"prepare its text with `nmt prepare DATA_DIR --text FILE --tokenizer {first}`"
    )
    with pytest.raises(ModelError, match=f"^{re.escape(message)}$"):
        Difference.load(first, other, device="cpu")
