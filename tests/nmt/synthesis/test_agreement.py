from pathlib import Path

import pytest

from nmt.io.lines import Pair
from nmt.search.protocol import Hypothesis
from nmt.synthesis.judging import Agreement
from nmt.translate import Translator


@pytest.fixture(scope="module")
def toy(toy_model: Path) -> Translator:
    return Translator.load(toy_model, device="cpu", precision="fp32")


def test_models_disagree_on_what_surprises_both_or_one_more_than_the_other(
    toy: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    surprises = {("a", "b"): 1.0, ("b", "a"): 3.0, ("c", "d"): 2.0, ("d", "c"): 2.0}

    def known(translator: Translator, pairs: list[tuple[str, str]], *, tag: str | None = None) -> list[Hypothesis]:
        return [Hypothesis((), 0.0, -surprises[pair]) for pair in pairs]

    monkeypatch.setattr("nmt.synthesis.judging.follow", known)
    pairs = [Pair("a", "b", "f", 1), Pair("c", "d", "f", 2)]
    assert Agreement(toy, toy).disagreements(pairs) == [2 + 2, 2]


def test_nothing_is_asked_about_no_pairs(toy: Translator) -> None:
    assert Agreement(toy, toy).disagreements([]) == []


def test_the_backward_model_reads_with_the_tag_that_it_translated_with(
    toy: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str | None]] = []

    def note(translator: Translator, pairs: list[tuple[str, str]], *, tag: str | None = None) -> list[Hypothesis]:
        asked.append((pairs[0][0], tag))
        return []

    monkeypatch.setattr("nmt.synthesis.judging.follow", note)
    Agreement(toy, toy, "<news>").disagreements([Pair("source", "target", "", 1)])
    assert asked == [("source", None), ("target", "<news>")]
