from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nmt.config import DataSettings, Settings, TrainingCorpusSettings
from nmt.errors import ConfigError, NmtWarning
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
        return [Hypothesis((), 0.0, -1.0)]

    monkeypatch.setattr("nmt.synthesis.judging.follow", note)
    Agreement(toy, toy, "<news>").disagreements([Pair("source", "target", "", 1)])
    assert asked == [("source", None), ("target", "<news>")]


def test_pairs_that_are_too_long_for_either_model_are_not_judged(
    toy: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def known(translator: Translator, pairs: list[tuple[str, str]], *, tag: str | None = None) -> list[Hypothesis]:
        assert all("cow" not in side for pair in pairs for side in pair)
        return [Hypothesis((), 0.0, -1.0) for _ in pairs]

    def limited(most: int) -> Translator:
        data = toy.settings.data.model_copy(update={"max_pieces": most})
        return replace(toy, settings=toy.settings.model_copy(update={"data": data}))

    monkeypatch.setattr("nmt.synthesis.judging.follow", known)
    words = "cow " * 9 + "cow"
    size = len(toy.tokenizers.src.encode([words])[0])
    short, long = Pair("bat", "bat", "f", 1), Pair("bat", words, "f", 2)
    for forward, backward, found in ((size - 1, size, None), (size, size - 1, None)):
        agreement = Agreement(limited(forward), limited(backward))
        assert agreement.disagreements([long, short, long._replace(src=words, tgt="bat")]) == [found, 1.0, found]
    monkeypatch.setattr("nmt.synthesis.judging.follow", lambda *_, **more: [Hypothesis((), 0.0, -1.0)])
    assert Agreement(limited(size), limited(size)).disagreements([long]) == [1.0], "as long as may be"


def reading(symbols: set[str], corpora: dict[str, bool]) -> Any:
    """What knows these pieces, and has learnt from corpora of these tags, reversed or not."""
    settings = tuple(TrainingCorpusSettings(path=("a",), tag=tag, reversed=way) for tag, way in corpora.items())
    tokenizer = SimpleNamespace(symbols=symbols, kind="unigram", encode=lambda texts: [[0] for _ in texts])
    return SimpleNamespace(
        settings=Settings(data=DataSettings(corpora=settings)), tokenizers=SimpleNamespace(src=tokenizer, tgt=tokenizer)
    )


def test_the_forward_model_reads_with_its_own_tag_else_with_that_of_the_way_back(
    toy: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[str | None]()

    def note(translator: Translator, pairs: list[tuple[str, str]], *, tag: str | None = None) -> list[Hypothesis]:
        asked.append(tag)
        return []

    monkeypatch.setattr("nmt.synthesis.judging.follow", note)
    both_ways = reading({"<en>", "<fr>"}, {"<en>": True, "<fr>": False})
    Agreement.of(both_ways, toy, tag="<en>").disagreements([])
    Agreement.of(reading({"<news>"}, {"<news>": False, "<web>": False}), toy, tag="<news>").disagreements([])
    Agreement.of(reading(set(), {}), toy, tag="<news>").disagreements([])
    Agreement.of(both_ways, toy, tag="<en>", forward_tag="<en>").disagreements([])
    assert asked == ["<fr>", "<en>", "<news>", "<news>", None, "<news>", "<en>", "<en>"]


def test_a_tag_that_the_forward_model_does_not_know_is_refused_and_one_that_it_lacks_warned_of(toy: Translator) -> None:
    tagged = reading({"<a>", "<b>"}, {"<a>": False, "<b>": False})
    with pytest.raises(ConfigError, match=r"^the model knows no tag <c>; it has <a>, <b>$"):
        Agreement.of(tagged, toy, forward_tag="<c>")
    with pytest.warns(NmtWarning, match=r"^all training sentences of the model that judges have a tag: <a>, <b>; name"):
        Agreement.of(tagged, toy, tag="<c>")
