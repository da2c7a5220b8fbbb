"""The translation that is most like all, and how alike two are."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numpy.random import default_rng
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from nmt.errors import UsageError
from nmt.io.arriving import FileLines
from nmt.search.protocol import Hypothesis
from nmt.search.sampling import Sampling
from nmt.translate import Options, Translator
from nmt.translate.bayes_risk import BayesRisk, likeness_by, mutual_bleu, mutual_chrf
from nmt.translate.options import Utility
from nmt.translate.translator import Job

LINES = ["bat cow", "den", "", "gum hat jam kit", "map log fig bat"]
HOT = Sampling(temperature=3.0, seed=4)


@pytest.fixture(scope="module")
def toy(toy_model: Path) -> Translator:
    return Translator.load(toy_model, device="cpu", precision="fp32")


def some_texts() -> list[str]:
    rng, words = default_rng(1), "der Hund läuft , a b . ein !  eine aa Ende.".split(" ")
    return ["", " ", "a", "ab", "a b c", *(" ".join(rng.choice(words, size)) for size in (1, 2, 2, 3, 4, 5, 9, 20, 20))]


def test_chrf_of_each_with_each_is_that_of_sacrebleu() -> None:
    texts, scorer = some_texts(), CHRF()
    expected = [[scorer.sentence_score(one, [other]).score for other in texts] for one in texts]
    assert np.abs(mutual_chrf(texts) - np.array(expected)).max() < 1e-9


def test_bleu_of_each_with_each_is_that_of_sacrebleu(toy: Translator) -> None:
    texts, scorer = some_texts(), BLEU(effective_order=True)
    expected = [[scorer.sentence_score(one, [other]).score for other in texts] for one in texts]
    assert np.abs(likeness_by("bleu", toy.settings)(texts) - np.array(expected)).max() < 1e-9


def test_scores_by_hand() -> None:
    # a b c and a b: 2 of 3 words and 1 of 2 pairs of the first are right, and no triple of 1, which counts as a half
    longer, shorter = mutual_bleu([("a", "b", "c"), ("a", "b")])
    assert longer[1] == pytest.approx(100 * (2 / 3 * 1 / 2 * 1 / 2) ** (1 / 3))
    assert shorter[0] == pytest.approx(100 * np.exp(1 - 3 / 2)), "all is right, but it is too short"
    # one of two characters is right, the only pair is wrong
    assert mutual_chrf(["ab", "ac"]).round(9).tolist() == [[100, 25], [25, 100]]


def test_what_is_most_like_all_wins_and_equal_ones_count_each_time() -> None:
    texts = {0: "aaaa", 1: "aaab", 2: "zzzz"}
    risk = BayesRisk(mutual_chrf, lambda rows: [texts[row[0]] for row in rows], n_best=2)
    samples = [Hypothesis((kind,), -float(place), -float(place)) for place, kind in enumerate([2, 1, 0, 1])]
    likeness = mutual_chrf(["aaaa", "aaab"])[1, 0]
    [(number, (best, second))] = risk([(7, samples)], lambda number, text: pytest.fail("read by nobody"))
    assert (number, best.ids, best.log_probability, best.score) == (7, (1,), -1.0, pytest.approx((200 + likeness) / 4))
    assert second.ids == (0,)


@pytest.mark.parametrize("utility", ["chrf", "bleu"])
@pytest.mark.parametrize("sampling", [None, HOT])
def test_it_is_chosen_from_what_is_found_otherwise_too(
    toy: Translator, utility: Utility, sampling: Sampling | None
) -> None:
    likeness = likeness_by(utility, toy.settings)
    beam = {} if sampling else {"beam_size": 8}
    found = toy.translate(LINES, Options(sampling=sampling, n_best=8, **beam))  # type: ignore[arg-type]
    chosen = toy.translate(LINES, Options(sampling=sampling, mbr=8, utility=utility))
    for all_of_them, [best] in zip(found, chosen, strict=True):
        texts = [one.text for one in all_of_them]
        means = likeness(texts).mean(axis=1) if texts[0] else np.zeros(1)
        assert best.text == texts[int(means.round(9).argmax())]
        assert best.score == pytest.approx(means.max())


@pytest.mark.parametrize("options", [Options(mbr=6), Options(mbr=6, sampling=HOT)])
def test_nothing_depends_on_the_batch_or_on_how_many_processes_there_are(
    toy: Translator, toy_model: Path, options: Options
) -> None:
    found = toy.translate(LINES * 3, options)
    assert [toy.translate([line], options, first_line=number)[0] for number, line in enumerate(LINES * 3)] == found
    job = Job(partial(Translator.load, toy_model, device="cpu", precision="fp32"), options, workers=2)
    assert [one for block in job.translate(FileLines(LINES * 3), block=4) for one in block] == found


def test_a_wider_beam_than_asked_for_has_no_more_to_choose_from(toy: Translator) -> None:
    [[best]] = toy.translate(LINES[:1], Options(mbr=2, beam_size=8))
    first, second = toy.translate(LINES[:1], Options(n_best=2, beam_size=8))[0]
    likeness = likeness_by("bleu", toy.settings)([first.text, second.text])
    assert (best.text, best.score) == (first.text, pytest.approx(likeness.mean(axis=1).max()))


def test_required_words_a_given_beginning_and_ensembles_go_with_it(toy_model: Path) -> None:
    both = Translator.load(toy_model, toy_model, device="cpu", precision="fp32")
    [[best]] = both.translate(["bat cow"], Options(mbr=4, required=("mapo",)))
    assert "mapo" in best.text
    [[best]] = both.translate(["bat cow\tfigo"], Options(mbr=4, prefix_after_tab=True))
    assert best.text.startswith("figo")


def test_more_translations_than_there_are_and_models_that_rescore_are_refused(toy: Translator, toy_model: Path) -> None:
    with pytest.raises(UsageError, match=r"^5 translations per line were requested, but mbr = 4 chooses among 4$"):
        toy.translate(LINES, Options(mbr=4, n_best=5))
    beside = Translator.load(toy_model, device="cpu", rescoring=[toy_model])
    message = (
        r"^translations that are chosen by their likeness \(mbr\) cannot be rescored by other models; leave one of"
    )
    with pytest.raises(UsageError, match=message):
        beside.translate(LINES, Options(mbr=4))
