import re
from typing import Any

import pytest

from nmt.errors import DataError
from tools.phrasebook.spelling import Spelling, make_spelling


def table() -> dict[str, Any]:
    return {
        "english": {
            "vowels": "aeiou",
            "consonant": ["university"],
            "vowel": ["hour"],
            "before_vowel": {"a": "an"},
            "contractions": {"can not": "cannot"},
        },
        "french": {
            "vowels": "aàeéêiouh",
            "consonant": ["onze"],
            "vowel": ["y"],
            "before_vowel": {"le": "l'", "la": "l'", "de": "d'", "ne": "n'", "je": "j'", "ma": "mon", "ce": "cet"},
            "contractions": {"de le": "du", "de les": "des", "à le": "au"},
        },
    }


def spelling() -> Spelling:
    return make_spelling(table(), aspirated=["homard"], plural_adjectives=["petits", "jolies"])


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        ("this is a apple.", "This is an apple."),
        ("a university and a hour", "A university and an hour"),
        ("I can not see .", "I cannot see."),
        ("is he working  ?", "Is he working?"),
        ("hello , I  work.", "Hello, I work."),
    ],
)
def test_english(raw: str, sentence: str) -> None:
    assert spelling().english(raw) == sentence


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        ("le ami de le homme", "L'ami de l'homme"),
        ("je ne aime pas le homard", "Je n'aime pas le homard"),
        ("il ne y a pas de eau .", "Il n'y a pas d'eau."),
        ("le onze mai", "Le onze mai"),
        ("la couleur de le mur de les maisons", "La couleur du mur des maisons"),
        ("ma école, ma maison", "Mon école, ma maison"),
        ("ce homme et ce garçon", "Cet homme et ce garçon"),
        ("le beau|bel hôtel et le beau|bel lit", "Le bel hôtel et le beau lit"),
        ("des petits lits, des jolies robes, des lits", "De petits lits, de jolies robes, des lits"),
        ("la porte de les petits lits", "La porte des petits lits"),
        ("où est Paul  ?", "Où est Paul ?"),
        ("le train de Alice", "Le train d'Alice"),
        ("éplucher", "Éplucher"),
    ],
)
def test_french(raw: str, sentence: str) -> None:
    assert spelling().french(raw) == sentence


def test_a_missing_table_is_named() -> None:
    broken = table()
    del broken["french"]["before_vowel"]
    with pytest.raises(DataError, match=f"^{re.escape('spelling.toml: [french]: before_vowel is missing')}$"):
        make_spelling(broken, aspirated=[], plural_adjectives=["petits"])
    del broken["french"]
    with pytest.raises(DataError, match=f"^{re.escape('spelling.toml: french is missing')}$"):
        make_spelling(broken, aspirated=[], plural_adjectives=["petits"])
