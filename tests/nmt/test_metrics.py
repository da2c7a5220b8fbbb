import math
import re
from pathlib import Path

import numpy as np
import pytest
import sacrebleu

from nmt.config.training import BleuTokenizer
from nmt.errors import ConfigError, DataError, UsageError
from nmt.metrics import (
    METRICS,
    ScoreOptions,
    Spread,
    bleu,
    compare_files,
    make_bleu,
    score_files,
    score_lines,
    spread_of,
)

VERSION = f"version:{sacrebleu.__version__}"


def test_a_text_scored_against_itself_is_perfect() -> None:
    lines = ["Der Hund läuft schnell nach Hause.", "Es regnet heute nicht sehr stark."]
    assert [(one.metric, round(one.score, 9)) for one in score_lines(lines, lines)] == [
        ("bleu", 100.0),
        ("chrf", 100.0),
        ("ter", 0.0),
    ]


def test_bleu_is_the_geometric_mean_of_four_precisions() -> None:
    # 4 of 5 words, 3 of 4 pairs, 2 of 3 triples and 1 of 2 quadruples are right; the lengths are equal
    assert bleu(["a b c d e"], ["a b c d f"]).score == pytest.approx(100 * (4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25)


def test_bleu_punishes_short_output() -> None:
    assert bleu(["a b c d"], ["a b c d e"]).score == pytest.approx(100 * math.exp(1 - 5 / 4))


def test_bleu_counts_over_the_corpus_not_the_line() -> None:
    # the two lines together: 8 of 9 words, 6 of 7 pairs, 4 of 5 triples, 2 of 3 quadruples
    both = bleu(["a b c d e", "f g h i"], ["a b c d x", "f g h i"]).score
    assert both == pytest.approx(100 * (8 / 9 * 6 / 7 * 4 / 5 * 2 / 3) ** 0.25)


def test_bleu_splits_punctuation_from_words() -> None:
    assert bleu(["a b c, d."], ["a b c , d ."]).score == pytest.approx(100)
    (untouched,) = score_lines(["a b c, d."], ["a b c , d ."], ScoreOptions(metrics=("bleu",), tokenizer="none"))
    assert untouched.score < 50
    assert "tok:none" in untouched.signature


@pytest.mark.parametrize(
    ("tokenizer", "error", "message"),
    [
        ("ja-mecab", RuntimeError, r"ja-mecab needs packages for Japanese: pip install 'sacrebleu\[ja\]'"),
        ("ko-mecab", RuntimeError, r"ko-mecab needs packages for Korean: pip install 'sacrebleu\[ko\]'"),
        ("flores200", OSError, "flores200 needs a model that sacrebleu downloads, which failed: try again with a conn"),
    ],
)
def test_what_a_tokenizer_lacks_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tokenizer: BleuTokenizer, error: type[Exception], message: str
) -> None:
    def fail(**settings: object) -> None:
        raise error("a long story\nof sacrebleu's")

    fail.TOKENIZERS = [tokenizer]  # type: ignore[attr-defined]
    monkeypatch.setattr("nmt.metrics.BLEU", fail)
    with pytest.raises(ConfigError, match=f"^the BLEU tokenizer {message}[^\n]*$"):
        make_bleu(tokenizer)


def test_chrf_averages_character_sequences() -> None:
    # one of two characters is right, the only pair is wrong: precision and recall are 1/4
    (chrf,) = score_lines(["ab"], ["ac"], ScoreOptions(metrics=("chrf",)))
    assert chrf.score == pytest.approx(25)


def test_ter_is_edits_for_each_reference_word() -> None:
    ter = ScoreOptions(metrics=("ter",))
    assert score_lines(["a b c d"], ["a b x d"], ter)[0].score == pytest.approx(25)
    assert score_lines(["d a b c"], ["a b c d"], ter)[0].score == pytest.approx(25), "moving one word is one edit"


def test_case_counts_unless_told_otherwise() -> None:
    upper, lower = ["A B C D"], ["a b c d"]
    assert bleu(upper, lower).score == 0
    (ignoring,) = score_lines(upper, lower, ScoreOptions(metrics=("bleu",), lowercase=True))
    assert ignoring.score == pytest.approx(100)
    assert "case:lc" in ignoring.signature


def test_signatures_are_those_of_sacrebleu() -> None:
    assert [(one.name, one.signature) for one in score_lines(["a b c d"], ["a b c d"])] == [
        ("BLEU", f"nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|{VERSION}"),
        ("chrF2", f"nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|{VERSION}"),
        ("TER", f"nrefs:1|case:lc|tok:tercom|norm:no|punct:yes|asian:no|{VERSION}"),
    ]


def test_metrics_come_in_the_order_asked_for() -> None:
    assert METRICS == ("bleu", "chrf", "ter")
    assert [one.metric for one in score_lines(["a"], ["a"], ScoreOptions(metrics=("ter", "bleu")))] == ["ter", "bleu"]


def test_intervals_come_from_a_seeded_bootstrap_that_the_signature_names() -> None:
    hypotheses, references = ["a b c d", "a b x d"] * 10, ["a b c d"] * 20
    first, second = (score_lines(hypotheses, references, ScoreOptions(confidence=True)) for _ in range(2))
    assert first == second
    for one in first:
        assert "bs:1000|seed:" in one.signature
        assert one.confidence is not None
        assert abs(one.confidence.mean - one.score) < one.confidence.half_width
    same = score_lines(references, references, ScoreOptions(confidence=True))[0].confidence
    assert same is not None
    assert (round(same.mean, 6), same.half_width) == (100, 0)


def test_a_score_of_nothing_but_zeros_has_an_interval_of_width_0() -> None:
    (one,) = score_lines(["a b"] * 3, ["c d"] * 3, ScoreOptions(metrics=("bleu",), confidence=True))
    assert one.confidence is not None
    assert (one.score, one.confidence.mean, one.confidence.half_width) == (0, 0, 0)


def test_empty_lines_are_lines() -> None:
    assert bleu(["a b c d", ""], ["a b c d", ""]).score == pytest.approx(100)
    assert [one.score for one in score_lines(["", ""], ["a b", ""], ScoreOptions(metrics=("bleu", "chrf", "ter")))] == [
        0,
        0,
        100,
    ]


def test_scoring_says_nothing_of_its_own(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    bleu(["A dog runs ."] * 100, ["A dog runs."] * 100)
    assert (capfd.readouterr().err, caplog.messages) == ("", [])


def test_different_numbers_of_lines_are_refused() -> None:
    with pytest.raises(
        DataError, match=r"^the hypothesis has 1 line but the reference has 2; scoring needs one translation per line$"
    ):
        bleu(["a"], ["a", "b"])


def test_no_lines_are_refused() -> None:
    with pytest.raises(DataError, match=r"^the reference has no lines; there is nothing to score$"):
        bleu([], [])


def test_files_are_scored_in_the_order_given(tmp_path: Path) -> None:
    for name, text in {"ref": "a b c d\n", "good": "a b c d\n", "bad": "x\n"}.items():
        (tmp_path / name).write_text(text)
    bad, good = score_files(tmp_path / "ref", [tmp_path / "bad", tmp_path / "good"], ScoreOptions(metrics=("bleu",)))
    assert (bad.hypothesis.name, bad.lines, bad.scores[0].score) == ("bad", 1, 0)
    assert (good.hypothesis.name, round(good.scores[0].score, 9)) == ("good", 100)


def test_the_spread_of_runs_is_estimated_from_all_but_one(tmp_path: Path) -> None:
    (tmp_path / "ref").write_text("a b c d\n")
    for name, text in (("one", "a b c d"), ("two", "a b c x"), ("three", "a b x y")):
        (tmp_path / name).write_text(f"{text}\n")
    scored = score_files(
        tmp_path / "ref", [tmp_path / name for name in ("one", "two", "three")], ScoreOptions(metrics=("ter",))
    )
    assert spread_of(scored) == [Spread(pytest.approx(25.0), pytest.approx(25.0))]


def test_lines_end_at_newlines_only(tmp_path: Path) -> None:
    (tmp_path / "ref").write_text("a\u2028b\nc\x0bd\n", encoding="utf-8")
    (scored,) = score_files(tmp_path / "ref", [tmp_path / "ref"])
    assert scored.lines == 2


def test_a_file_of_another_length_is_named(tmp_path: Path) -> None:
    (tmp_path / "ref").write_text("a\nb\nc\n")
    (tmp_path / "out").write_text("a\nb\n")
    message = f"{tmp_path / 'out'} has 2 lines but {tmp_path / 'ref'} has 3; scoring needs one translation per line"
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        score_files(tmp_path / "ref", [tmp_path / "ref", tmp_path / "out"])


def test_an_empty_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "ref").write_text("")
    with pytest.raises(
        DataError, match=f"^{re.escape(str(tmp_path / 'ref'))} has no lines; there is nothing to score$"
    ):
        score_files(tmp_path / "ref", [tmp_path / "ref"])


def test_bad_utf_8_is_an_error_unless_it_is_to_be_replaced(tmp_path: Path) -> None:
    (tmp_path / "ref").write_bytes(b"a\xff b\n")
    with pytest.raises(DataError, match="line 1"):
        score_files(tmp_path / "ref", [tmp_path / "ref"])
    (scored,) = score_files(
        tmp_path / "ref", [tmp_path / "ref"], ScoreOptions(metrics=("chrf",)), on_bad_utf8="replace"
    )
    assert scored.scores[0].score == pytest.approx(100)


@pytest.fixture
def compared(tmp_path: Path) -> list[Path]:
    """A reference, and two files that get other lines of it wrong."""
    lines = [f"this is line {number} of a text , one of many" for number in range(12)]
    half, few = [list(lines) for _ in range(2)]
    for row in range(1, 12, 2):
        half[row] = half[row].replace("is line", "was row")
    for row in (2, 5):
        few[row] = few[row].replace("text", "book")
    paths = [tmp_path / name for name in ("ref", "half", "few")]
    for path, text in zip(paths, (lines, half, few), strict=True):
        path.write_text("".join(f"{line}\n" for line in text))
    return paths


def test_the_paired_test_is_that_of_the_same_lines_drawn_for_both(compared: list[Path]) -> None:
    first, second = compare_files(compared[0], compared[1:], ScoreOptions(metrics=("bleu",), confidence=True))
    texts = [np.array(path.read_text().splitlines()) for path in compared]
    drawn = np.random.default_rng(12345).choice(12, size=(1000, 12))
    scores = [[bleu(list(text[rows]), list(texts[0][rows])).score for rows in drawn] for text in texts[1:]]
    differences = np.abs(np.array(scores[1]) - np.array(scores[0]))
    real = abs(second.scores[0].score - first.scores[0].score)
    expected = (int((differences - differences.mean() > real).sum()) + 1) / 1001
    assert second.scores[0].p_value == pytest.approx(expected)
    assert 0 < expected < 1
    assert first.scores[0].p_value is None
    assert second.scores[0].confidence is not None
    assert second.scores[0].confidence.mean == pytest.approx(np.mean(scores[1]), abs=1e-3)
    assert second.scores[0].signature == f"nrefs:1|bs:1000|seed:12345|case:mixed|eff:no|tok:13a|smooth:exp|{VERSION}"


def test_files_that_are_compared_have_the_scores_that_they_have_alone(compared: list[Path]) -> None:
    together, alone = compare_files(compared[0], compared[1:]), score_files(compared[0], compared[1:])
    for file, other in zip(together, alone, strict=True):
        assert (file.hypothesis, file.lines) == (other.hypothesis, 12)
        assert [(one.metric, one.name) for one in file.scores] == [(one.metric, one.name) for one in other.scores]
        assert [one.score for one in file.scores] == pytest.approx([one.score for one in other.scores])
        assert all(one.confidence is None for one in file.scores)


def test_a_file_compared_with_itself_does_not_differ(compared: list[Path]) -> None:
    _, same = compare_files(compared[0], [compared[1], compared[1]])
    assert [one.p_value for one in same.scores] == [1.0, 1.0, 1.0]


def test_one_file_is_compared_with_nothing(compared: list[Path]) -> None:
    with pytest.raises(UsageError, match=r"^a paired test compares two files of translations or more, found 1$"):
        compare_files(compared[0], compared[1:2])
