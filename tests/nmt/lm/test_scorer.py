from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from nmt.config import load_settings
from nmt.errors import DataError, ModelError
from nmt.io.arriving import FileLines
from nmt.lm import LanguageScorer, LineScore
from nmt.text.vocab import EOS, UNK

LINES = ["bat cow den", "", "fig gum", " \t", "hat", "jam kit log map bat cow"]


def test_a_line_has_its_pieces_and_its_end(scorer: LanguageScorer) -> None:
    [score] = scorer.score(["bat cow"])
    assert score.ids == (*scorer.tokenizer.encode(["bat cow"])[0], EOS)
    assert len(score.log_probs) == score.pieces == len(score.ids)
    assert (score.characters, score.space_separated) == (8, 3)


def test_every_line_has_its_score_in_order(scorer: LanguageScorer) -> None:
    assert scorer.score(LINES) == [scorer.score([line])[0] for line in LINES]


@pytest.mark.parametrize("blank", ["", " ", "\t\u3000"])
def test_nothing_of_a_blank_line_is_scored(scorer: LanguageScorer, blank: str) -> None:
    nothing = LineScore(ids=(), log_probs=(), characters=0, space_separated=0)
    assert scorer.score([blank]) == scorer.score_text([blank]) == [nothing]


def test_a_blank_line_changes_nothing_in_a_text(scorer: LanguageScorer) -> None:
    without = scorer.score_text([line for line in LINES if line.strip()])
    assert [score for score in scorer.score_text(LINES) if score.pieces] == without


def test_a_text_is_scored_as_one_line_with_ends_in_it(scorer: LanguageScorer) -> None:
    ids = [scorer.tokenizer.encode([line])[0] for line in ("bat cow", "den")]
    words = torch.tensor([[EOS, *ids[0], EOS, *ids[1], EOS]])
    model = scorer.on.model
    with torch.inference_mode():
        log_probs = model.output(model(words[:, :-1])[0]).log_softmax(dim=2)
    expected = log_probs[0].gather(1, words[0, 1:, None]).squeeze(1).tolist()
    found = scorer.score_text(["bat cow", "den"])
    assert [value for score in found for value in score.log_probs] == pytest.approx(expected, abs=1e-5)


def test_a_long_line_is_scored_as_a_text(scorer: LanguageScorer) -> None:
    long = "bat cow den " * 100
    assert scorer.score([long])[0].pieces > 1001
    [hat, found, blank, jam] = scorer.score(["hat", long, "", "jam"])
    assert [found] == scorer.score_text([long])
    assert [hat, blank, jam] == scorer.score(["hat", "", "jam"])
    [short] = scorer.score([long[:120]])
    assert found.log_probs[:50] == pytest.approx(short.log_probs[:50], abs=1e-4)


def test_white_space_around_a_line_and_the_form_of_its_accents_do_not_count(scorer: LanguageScorer) -> None:
    assert scorer.score(["  bat e\u0301 "]) == scorer.score(["bat \u00e9"])


def test_what_nobody_sees_is_scored_only_by_a_model_that_has_seen_it(scorer: LanguageScorer) -> None:
    assert scorer.settings.data.clean_invisible
    assert scorer.score(["ba\u00adt\u00a0ball"]) == scorer.score(["bat ball"])
    before = replace(scorer, settings=load_settings(overrides=["data.clean_invisible=false"], base=scorer.settings))
    assert before.score(["ba\u00adt\u00a0ball"]) != scorer.score(["bat ball"])


def test_unknown_characters_are_scored_as_unknown(scorer: LanguageScorer) -> None:
    [score] = scorer.score(["bat \u4e09"])
    assert UNK in score.ids


@pytest.mark.parametrize("block", [1, 2, 100])
def test_a_source_is_scored_as_its_lines_are(scorer: LanguageScorer, block: int) -> None:
    for carry, expected in ((False, scorer.score(LINES)), (True, scorer.score_text(LINES))):
        found = list(scorer.score_source(FileLines(LINES), carry=carry, block=block))
        assert [score for scores in found for score in scores] == expected
        assert max(map(len, found)) <= block


def test_lines_before_one_that_cannot_be_read_are_scored(scorer: LanguageScorer) -> None:
    def lines():  # type: ignore[no-untyped-def]  # noqa: ANN202
        yield from LINES
        raise DataError("broken")

    found = scorer.score_source(FileLines(lines()), carry=True, block=100)
    assert next(found) == scorer.score_text(LINES)
    with pytest.raises(DataError, match="broken"):
        next(found)


def test_threads_may_share_a_scorer(scorer: LanguageScorer) -> None:
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(scorer.score_text, [LINES] * 8))
    assert found == [scorer.score_text(LINES)] * 8


def test_lines_are_carried_on_as_in_training(scorer: LanguageScorer) -> None:
    assert scorer.carries is scorer.settings.training.carry_state is True


@pytest.mark.needs("bf16")
def test_bf16_is_near_to_fp32(scorer: LanguageScorer, toy_language_model: Path) -> None:
    other = LanguageScorer.load(toy_language_model, device="cpu", precision="bf16")
    for exact, rough in zip(scorer.score(LINES), other.score(LINES), strict=True):
        assert rough.log_probs == pytest.approx(exact.log_probs, abs=0.1)
    assert other.score(LINES) != scorer.score(LINES)


def test_as_many_threads_are_used_as_are_asked_for(toy_language_model: Path) -> None:
    LanguageScorer.load(toy_language_model, device="cpu", threads=2)
    assert torch.get_num_threads() == 2


def test_a_translation_model_is_refused(toy_model: Path) -> None:
    with pytest.raises(ModelError, match=r"toy holds a translation model, expected a language model$"):
        LanguageScorer.load(toy_model, device="cpu")
