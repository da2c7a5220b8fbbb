import re
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import pytest

from nmt.errors import DataError
from tools.phrasebook.inflection import agreement
from tools.phrasebook.lexicon import Entry, Lexicon, read_lexicon

SHE = agreement("3s", 1)
WE = agreement("1p", 0)
Edit = Callable[[str, str, str], Path]


@pytest.fixture
def edit(tmp_path: Path) -> Edit:
    """A copy of the assets in which one text of one file is replaced."""

    def replace(name: str, old: str, new: str) -> Path:
        for asset in files("tools.phrasebook").iterdir():
            if not asset.is_file():  # what Python has compiled
                continue
            text = asset.read_text(encoding="utf-8")
            if asset.name == name:
                assert old in text
                text = text.replace(old, new, 1)
            (tmp_path / asset.name).write_text(text, encoding="utf-8")
        return tmp_path

    return replace


@pytest.fixture(scope="module")
def lexicon() -> Lexicon:
    return read_lexicon(files("tools.phrasebook"))


def entry(lexicon: Lexicon, name: str) -> Entry:
    return next(entry for entry in lexicon.entries() if entry.name == name)


def test_nouns_have_gender_and_plurals(lexicon: Lexicon) -> None:
    knife = entry(lexicon, "noun knife/couteau")
    assert knife.agreement == agreement("3s", 0)
    assert (knife.en[""][agreement("3p", 0)], knife.fr[""][agreement("3p", 0)]) == ("knives", "couteaux")


def test_professions_have_a_feminine(lexicon: Lexicon) -> None:
    assert entry(lexicon, "noun nurse/infirmier").fr[""][:4] == ("infirmier", "infirmière", "infirmiers", "infirmières")


def test_adjectives_stand_on_one_side_of_the_noun(lexicon: Lexicon) -> None:
    old, red = entry(lexicon, "adjective old/vieux"), entry(lexicon, "adjective red/rouge")
    assert (old.fr["before"][0], old.fr["after"][0], old.fr[""][0]) == ("vieux|vieil", "", "vieux")
    assert (red.fr["before"][0], red.fr["after"][0]) == ("", "rouge")


def test_adjectives_without_degrees_are_not_gradable(lexicon: Lexicon) -> None:
    assert entry(lexicon, "adjective red/rouge") in lexicon.categories["adjective clothes"]
    assert entry(lexicon, "adjective red/rouge") not in lexicon.categories["gradable clothes"]
    assert entry(lexicon, "adjective warm/chaud") in lexicon.categories["gradable clothes"]


def test_reflexive_verbs_take_a_pronoun_and_be(lexicon: Lexicon) -> None:
    dress = entry(lexicon, "verb get dressed/s'habiller")
    assert (dress.en["present"][SHE], dress.en["ing"][0]) == ("gets dressed", "getting dressed")
    assert (dress.fr["clitic"][WE], dress.fr["auxiliary"][WE], dress.fr["participle"][SHE]) == (
        "nous",
        "sommes",
        "habillée",
    )


def test_verbs_with_have_agree_only_when_asked(lexicon: Lexicon) -> None:
    buy = entry(lexicon, "verb buy/acheter")
    assert (buy.fr["participle"][SHE], buy.fr["agreed"][SHE]) == ("acheté", "achetée")


@pytest.mark.parametrize(
    ("name", "present", "future"),
    [
        ("verb open/ouvrir", "ouvre ouvre ouvrons ouvrez ouvrent", "ouvrira"),
        ("verb feed/nourrir", "nourris nourrit nourrissons nourrissez nourrissent", "nourrira"),
        ("verb sleep/dormir", "dors dort dormons dormez dorment", "dormira"),
        ("verb come back/revenir", "reviens revient revenons revenez reviennent", "reviendra"),
        ("verb understand/comprendre", "comprends comprend comprenons comprenez comprennent", "comprendra"),
        ("verb paint/peindre", "peins peint peignons peignez peignent", "peindra"),
        ("verb recognise/reconnaître", "reconnais reconnaît reconnaissons reconnaissez reconnaissent", "reconnaîtra"),
        ("verb know/savoir", "sais sait savons savez savent", "saura"),
        ("verb see/voir", "vois voit voyons voyez voient", "verra"),
        ("verb send/envoyer", "envoie envoie envoyons envoyez envoient", "enverra"),
        ("verb clean/nettoyer", "nettoie nettoie nettoyons nettoyez nettoient", "nettoiera"),
        ("verb call/appeler", "appelle appelle appelons appelez appellent", "appellera"),
        ("verb prefer/préférer", "préfère préfère préférons préférez préfèrent", "préférera"),
        ("verb drive/conduire", "conduis conduit conduisons conduisez conduisent", "conduira"),
        ("verb say/dire", "dis dit disons dites disent", "dira"),
        ("verb smile/sourire", "souris sourit sourions souriez sourient", "sourira"),
        ("verb leave/partir", "pars part partons partez partent", "partira"),
        ("verb choose/choisir", "choisis choisit choisissons choisissez choisissent", "choisira"),
    ],
)
def test_french_verbs(lexicon: Lexicon, name: str, present: str, future: str) -> None:
    verb = entry(lexicon, name)
    assert " ".join(verb.fr["present"][::4]) == present
    assert verb.fr["future"][SHE] == future


def test_grammatical_words_are_closed(lexicon: Lexicon) -> None:
    assert entry(lexicon, "phrase I/je").closed
    assert lexicon.constants["be"].closed
    assert not entry(lexicon, "phrase Paul/Paul").closed


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        (
            "nouns.toml",
            '{ en = "pear", fr = "poire", gender = "f"',
            '{ en = "pear", fr = "poire"',
            'nouns.toml: entry \'pear\': gender is missing; expected "m" or "f"',
        ),
        (
            "nouns.toml",
            'en = "pear", fr = "poire", gender = "f"',
            'en = "pear", gender = "f"',
            "nouns.toml: entry 'pear': fr is missing; expected the fr form of",
        ),
        (
            "nouns.toml",
            'fr = "poire", gender = "f"',
            'fr = "poire", gender = "f", plural = "poires"',
            "nouns.toml: entry 'pear': unknown key 'plural'; "
            "expected one of aspirated, en_plural, feminine, fr_plural, gender",
        ),
        (
            "nouns.toml",
            'en = "pear", fr = "poire"',
            'en = "apple", fr = "pomme"',
            "nouns.toml: entry 'apple': noun apple/pomme is in the dictionary twice; expected one entry",
        ),
        (
            "adjectives.toml",
            'fr = "bon", feminine = "bonne", kinds = ["food", "meal", "reading", "profession"]',
            'fr = "bon", feminine = "bonne"',
            "adjectives.toml: entry 'good': kinds is missing; expected what the word can be used for",
        ),
        (
            "verbs.toml",
            'fr = "manger"',
            'fr = "mangeur"',
            "verbs.toml: entry 'eat': no pattern of conjugation.toml fits 'mangeur'; expected an end such as 'er'",
        ),
        ("conjugation.toml", 'future = "ger", ', "", "conjugation.toml: pattern 'ger': future is missing"),
        (
            "phrases.toml",
            'fr = ["mon", "ma", "mes", "mes"]',
            'fr = ["mon", "ma", "mes"]',
            "phrases.toml: entry 'my': fr is ['mon', 'ma', 'mes']; expected one form, or a list of four or five",
        ),
        (
            "phrases.toml",
            'agreement = "1s m"',
            'agreement = "7s m"',
            "phrases.toml: entry 'I': agreement is '7s m'; expected for example '3s f'",
        ),
        ("verbs.toml", "[[group]]", "[[group", "verbs.toml is not valid TOML: "),
    ],
)
def test_a_malformed_entry_is_named(edit: Edit, file: str, old: str, new: str, message: str) -> None:
    with pytest.raises(DataError, match=f"^{re.escape(message)}"):
        read_lexicon(edit(file, old, new))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    message = f"conjugation.toml: missing from the phrasebook's folder {tmp_path}"
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        read_lexicon(tmp_path)


def test_a_file_without_groups_is_named(edit: Edit) -> None:
    folder = edit("numbers.toml", "", "")
    (folder / "numbers.toml").write_text("", encoding="utf-8")
    with pytest.raises(DataError, match=r"^numbers.toml: no \[\[group\]\] of words; expected at least one$"):
        read_lexicon(folder)
