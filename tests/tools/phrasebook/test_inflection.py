import pytest

from tools.phrasebook.inflection import (
    agreement,
    conjugate,
    english_ing,
    english_past,
    english_plural,
    english_third,
    french_agreement,
    french_plural,
    parse_agreement,
    spread,
)

ENDINGS = {"future": ["ai", "a", "ons", "ez", "ont"], "imperfect": ["ais", "ait", "ions", "iez", "aient"]}


def test_agreement_numbers_person_plural_and_gender() -> None:
    assert agreement("1s", 0) == 0
    assert agreement("3s", 1) == 4 + 1
    assert agreement("3p", 1) == 16 + 2 + 1


def test_the_polite_you_is_singular_for_adjectives() -> None:
    assert agreement("2p", 0) == 12


@pytest.mark.parametrize(("text", "number"), [("3s f", 5), ("1p m", 10), ("3s", None), ("4s m", None), ("3s n", None)])
def test_agreements_are_read_as_written(text: str, number: int | None) -> None:
    assert parse_agreement(text) == number


def test_one_form_serves_every_agreement() -> None:
    assert spread(["x"]) == ("x",) * 20


def test_four_forms_follow_gender_and_number() -> None:
    forms = spread(["beau", "belle", "beaux", "belles"])
    assert [forms[agreement(person, 1)] for person in ("1s", "2p", "3p")] == ["belle", "belle", "belles"]


def test_five_forms_follow_the_person() -> None:
    forms = spread(["suis", "est", "sommes", "êtes", "sont"])
    assert [forms[agreement(person, 1)] for person in ("3s", "2p", "3p")] == ["est", "êtes", "sont"]


@pytest.mark.parametrize(
    ("noun", "plural"),
    [
        ("cat", "cats"),
        ("box", "boxes"),
        ("church", "churches"),
        ("city", "cities"),
        ("key", "keys"),
        ("boss", "bosses"),
    ],
)
def test_english_plurals(noun: str, plural: str) -> None:
    assert english_plural(noun) == plural


@pytest.mark.parametrize(
    ("base", "third", "past", "ing"),
    [
        ("wash", "washes", "washed", "washing"),
        ("study", "studies", "studied", "studying"),
        ("play", "plays", "played", "playing"),
        ("prepare", "prepares", "prepared", "preparing"),
        ("go", "goes", "goed", "going"),
        ("see", "sees", "seed", "seeing"),
        ("wait for", "waits for", "waited for", "waiting for"),
    ],
)
def test_english_verbs(base: str, third: str, past: str, ing: str) -> None:
    assert (english_third(base), english_past(base), english_ing(base)) == (third, past, ing)


@pytest.mark.parametrize(
    ("word", "plural"),
    [("chat", "chats"), ("souris", "souris"), ("cheval", "chevaux"), ("bateau", "bateaux"), ("neveu", "neveux")],
)
def test_french_plurals(word: str, plural: str) -> None:
    assert french_plural(word) == plural


@pytest.mark.parametrize(
    ("given", "forms"),
    [
        (("petit",), ("petit", "petite", "petits", "petites")),
        (("rouge",), ("rouge", "rouge", "rouges", "rouges")),
        (("heureux", "heureuse"), ("heureux", "heureuse", "heureux", "heureuses")),
        (("bleu", None, "bleus"), ("bleu", "bleue", "bleus", "bleues")),
        (("marron", "marron", "marron"), ("marron",) * 4),
    ],
)
def test_french_adjectives(given: tuple[str, ...], forms: tuple[str, ...]) -> None:
    assert french_agreement(*given) == forms


def test_a_pattern_conjugates_its_stem() -> None:
    pattern = {"present": ["ge", "ge", "geons", "gez", "gent"], "future": "ger", "participle": "gé"}
    forms = conjugate("man", pattern, ENDINGS)
    assert forms["present"] == ("mange", "mange", "mangeons", "mangez", "mangent")
    assert "imperfect" not in forms
    assert forms["future"][4] == "mangeront"
    assert forms["conditional"][0] == "mangerais"
    assert forms["agreed"] == ("mangé", "mangée", "mangés", "mangées")


def test_a_pattern_with_a_stem_for_it_has_an_imperfect() -> None:
    pattern = {
        "present": ["suis", "est", "sommes", "êtes", "sont"],
        "imperfect": "ét",
        "future": "ser",
        "participle": "été",
    }
    assert conjugate("", pattern, ENDINGS)["imperfect"][1] == "était"
