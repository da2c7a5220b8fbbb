"""What words do to each other when they meet: "a" before a vowel, elision, contraction, capital letters."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from tools.phrasebook.lexicon import required

Polish = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Spelling:
    """How a chain of English words, and one of French words, becomes a sentence."""

    english: Polish
    french: Polish


def make_spelling(table: dict[str, Any], *, aspirated: Iterable[str], plural_adjectives: Iterable[str]) -> Spelling:
    """Compile the rules of spelling.toml.

    Args:
        table: The whole file.
        aspirated: French words with an aspirated h.
        plural_adjectives: French plural adjectives that stand before the noun; "des" is "de" in front of them.

    Raises:
        DataError: The file lacks a table.
    """
    english = _meetings(table, "english")
    french = _meetings(table, "french", aspirated)
    # Before the contractions: the "des" that is "de les" stays.
    des = re.compile(rf"\bdes (?=(?:{'|'.join(sorted(plural_adjectives))})\b)")

    def polish_english(text: str) -> str:
        return _capital(english(_single_spaces(text).replace(" ?", "?")))

    def polish_french(text: str) -> str:
        return _capital(french(des.sub("de ", _single_spaces(text))))

    return Spelling(english=polish_english, french=polish_french)


def _meetings(spelling: dict[str, Any], language: str, more_consonants: Iterable[str] = ()) -> Polish:
    table = required(spelling, language, "spelling.toml")
    for key in ("vowels", "vowel", "consonant", "before_vowel", "contractions"):
        required(table, key, f"spelling.toml: [{language}]")
    consonants = "|".join(sorted({*table["consonant"], *more_consonants}))
    vowel = rf"(?=(?:{'|'.join(table['vowel'])})\b|(?!(?:{consonants})\b)[{table['vowels']}])"
    before_vowel: dict[str, str] = table["before_vowel"]
    contractions: dict[str, str] = table["contractions"]
    # "beau|bel" or a word of the table, then a space, then a vowel
    meeting = re.compile(rf"\b(?:\w+\|(\w+)|({'|'.join(before_vowel)})) {vowel}", re.IGNORECASE)
    contraction = re.compile(rf"\b(?:{'|'.join(contractions)})\b")

    def replace(match: re.Match[str]) -> str:
        word = match[1] or before_vowel[match[2]]
        return word if word.endswith("'") else word + " "

    def polish(text: str) -> str:
        text = _ALTERNATIVE.sub(r"\1", meeting.sub(replace, text))
        return contraction.sub(lambda match: contractions[match[0]], text)

    return polish


_ALTERNATIVE = re.compile(r"\b(\w+)\|\w+")


def _single_spaces(text: str) -> str:
    # Optional phrases that are empty leave spaces behind.
    return " ".join(text.split()).replace(" .", ".").replace(" ,", ",")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
