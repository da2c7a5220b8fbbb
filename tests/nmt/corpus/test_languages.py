import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from py3langid.langid import MODEL_FILE, LanguageIdentifier

from nmt.config.data import DataSettings
from nmt.corpus import languages
from nmt.corpus.cleaning import Cleaner, make_cleaner
from nmt.corpus.hashes import Overlap
from nmt.corpus.languages import is_foreign, known_language
from nmt.errors import ConfigError
from nmt.io.lines import Pair

SENTENCES = {
    "cs": "Dva muži stojí na ulici a čekají.",
    "de": "Zwei Männer stehen auf der Straße und warten.",
    "el": "Δύο άνδρες στέκονται στο δρόμο.",
    "en": "Two men are standing in the street and waiting.",
    "es": "Dos hombres están de pie en la calle y esperan.",
    "fr": "Deux hommes se tiennent debout dans la rue et attendent.",
    "ja": "二人の男性が通りに立っている。",
    "ru": "Двое мужчин стоят на улице и ждут.",
    "zh": "两个男人站在街上等着。",
}
NAMES = (
    "Wolfgang Amadeus Mozart",
    "São Paulo",
    "Lech Wałęsa",
    "IKEA",
    "Tom",
    "42",
    "?!",
    "",
    "3.14 / 2020-01-01",
    "Dvořák",
)


def cleaner(src_lang: str | None, tgt_lang: str | None) -> Cleaner:
    data = DataSettings(src_lang=src_lang, tgt_lang=tgt_lang, identify_languages=True, max_length_ratio=99)
    return make_cleaner(data, Overlap({}))


@pytest.mark.parametrize("language", SENTENCES)
def test_a_sentence_is_foreign_to_every_language_but_its_own(language: str) -> None:
    flags = is_foreign(list(SENTENCES.values()), language)
    assert dict(zip(SENTENCES, flags.tolist(), strict=True)) == {other: other != language for other in SENTENCES}


@pytest.mark.parametrize("language", ["en", "fr", "de", "ja"])
def test_names_and_numbers_are_foreign_nowhere(language: str) -> None:
    assert is_foreign(NAMES, language).tolist() == [False] * len(NAMES)


def test_short_sentences_that_could_be_several_languages_stay() -> None:
    texts = ["He quit.", "Lie still.", "Time for dinner.", "Too late.", "Join us."]
    assert is_foreign(texts, "en").tolist() == [False] * 5


@pytest.mark.parametrize(
    ("code", "own"), [("no", "Jeg vet ikke hva han heter."), ("nb", "Jeg vet ikke hva han heter.")]
)
def test_codes_that_the_model_calls_otherwise_are_known(code: str, own: str) -> None:
    assert is_foreign([own, SENTENCES["fr"]], code).tolist() == [False, True]


def test_either_side_in_another_language_rejects_a_pair() -> None:
    en, fr, de = (SENTENCES[language] for language in ("en", "fr", "de"))
    pairs = [Pair(src, tgt, "f", 1) for src, tgt in ((en, fr), (de, fr), (en, de), (fr, en), ("Tom", fr), (en, "42"))]
    assert cleaner("en", "fr").reasons(pairs) == [None, "language", "language", "language", None, None]


def test_regions_and_scripts_do_not_matter() -> None:
    assert [known_language(code, setting="") for code in ("EN_us", "zh-Hant-TW")] == ["en", "zh"]


@given(
    st.lists(st.text(max_size=30) | st.sampled_from([*SENTENCES.values(), *NAMES, "\ud800 a", "\u0378 b"]), max_size=6)
)
def test_a_text_is_judged_as_if_it_were_alone(texts: list[str]) -> None:
    assert is_foreign(texts, "en").tolist() == [is_foreign([text], "en").item() for text in texts]


def test_the_lead_is_what_the_package_itself_says() -> None:
    theirs = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    leads = languages._model().lead_over(("fr",), list(SENTENCES.values()))
    for sentence, lead in zip(SENTENCES.values(), leads.tolist(), strict=True):
        ranked = dict(theirs.rank(sentence))
        ranked.pop("zxx")
        assert np.exp(-lead) == pytest.approx(ranked["fr"] / max(ranked.values()), rel=1e-2)


def test_a_missing_language_is_an_error_that_names_the_setting() -> None:
    with pytest.raises(
        ConfigError, match=r"^data\.tgt_lang is not set, but data\.identify_languages needs it; expected a code such as"
    ):
        cleaner("en", None)


def test_a_language_that_the_model_does_not_know_is_an_error_that_says_which_it_knows() -> None:
    message = r"^data\.src_lang is 'xx', which data\.identify_languages does not know; expected one of ace, .*nb, .*zu$"
    with pytest.raises(ConfigError, match=message):
        cleaner("xx", "en")
    with pytest.raises(ConfigError, match="'zxx'"):
        cleaner("zxx", "en")


def test_the_pages_tell_how_many_languages_there_are() -> None:
    count = len(set(languages._model().labels) - {"zxx"})
    docs = Path(__file__).parents[3] / "docs"
    assert f"a language identifier for {count} languages" in (docs / "cleaning.md").read_text(encoding="utf-8")
    assert f"| languages | {count} |" in (docs / "decisions" / "0016-cleaning.md").read_text(encoding="utf-8")


def test_a_missing_package_is_an_error_that_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(languages, "_model", languages._model.__wrapped__)
    monkeypatch.setitem(sys.modules, "py3langid.langid", None)
    with pytest.raises(ConfigError) as error:
        cleaner("en", "fr")
    assert str(error.value) == (
        "data.identify_languages needs py3langid, which is not installed; in a checkout of nmt: pip install '.[langid]'"
    )


def test_the_model_stays_behind_when_a_cleaner_goes_to_another_process() -> None:
    assert len(pickle.dumps(cleaner("en", "fr"))) < 500
