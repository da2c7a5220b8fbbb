"""The regular inflection of English and French words, as spelling rules."""

from collections.abc import Mapping, Sequence
from typing import Any

# Agreement is one number, 4 * person + 2 * plural + feminine; the persons are I, he or she, we, you, they.
# "You" is the polite French "vous": a plural verb with singular adjectives.
PERSONS = ("1s", "3s", "1p", "2p", "3p")
GENDERS = ("m", "f")
AGREEMENTS = 4 * len(PERSONS)

Forms = tuple[str, ...]


def agreement(person: str, gender: int) -> int:
    """Number the agreement of a person, one of `PERSONS`, and a gender (0 masculine, 1 feminine)."""
    return 4 * PERSONS.index(person) + 2 * (person in ("1p", "3p")) + gender


def parse_agreement(text: str) -> int | None:
    """Read an agreement such as "3s f"; None: it is none."""
    person, _, gender = text.partition(" ")
    return agreement(person, GENDERS.index(gender)) if person in PERSONS and gender in GENDERS else None


def spread(forms: Sequence[str]) -> Forms:
    """Lay out one form, four (gender and number) or five (person) so that an agreement is their index."""
    if len(forms) == 1:
        return tuple(forms) * AGREEMENTS
    if len(forms) == 4:
        return tuple(forms) * len(PERSONS)
    return tuple(form for form in forms for _ in range(4))


def english_plural(noun: str) -> str:
    """Return the regular plural of an English noun."""
    return noun[:-1] + "ies" if _ends_in_consonant_y(noun) else noun + ("es" if _hisses(noun) else "s")


def english_third(verb: str) -> str:
    """Return what a verb (the first word of `verb`) becomes after "he"."""
    head, rest = _split(verb)
    if _ends_in_consonant_y(head):
        return head[:-1] + "ies" + rest
    return head + ("es" if _hisses(head) or head.endswith("o") else "s") + rest


def english_past(verb: str) -> str:
    """Return the regular past of a verb (the first word of `verb`)."""
    head, rest = _split(verb)
    if _ends_in_consonant_y(head):
        return head[:-1] + "ied" + rest
    return head + ("d" if head.endswith("e") else "ed") + rest


def english_ing(verb: str) -> str:
    """Return the present participle of a verb (the first word of `verb`)."""
    head, rest = _split(verb)
    silent = head.endswith("e") and not head.endswith("ee")
    return (head[:-1] if silent else head) + "ing" + rest


def french_plural(word: str) -> str:
    """Return the regular plural of a French noun or adjective."""
    if word.endswith(("s", "x", "z")):
        return word
    if word.endswith("al"):
        return word[:-2] + "aux"
    return word + ("x" if word.endswith(("au", "eu")) else "s")


def french_agreement(masculine: str, feminine: str | None = None, plural: str | None = None) -> Forms:
    """Return the four forms of a French adjective or participle: masculine, feminine and their plurals."""
    if feminine is None:
        feminine = masculine if masculine.endswith("e") else masculine + "e"
    invariable = plural == masculine == feminine
    plural_feminine = feminine if invariable else french_plural(feminine)
    return masculine, feminine, plural or french_plural(masculine), plural_feminine


def conjugate(stem: str, pattern: Mapping[str, Any], endings: Mapping[str, Sequence[str]]) -> dict[str, Forms]:
    """Return the present, future, conditional and, if the pattern has it, imperfect; and the four forms "agreed"."""
    future = stem + pattern["future"]
    imperfect = [stem + pattern["imperfect"] + ending for ending in endings["imperfect"] if "imperfect" in pattern]
    return {
        **({"imperfect": tuple(imperfect)} if imperfect else {}),
        "present": tuple(stem + ending for ending in pattern["present"]),
        "future": tuple(future + ending for ending in endings["future"]),
        "conditional": tuple(future + ending for ending in endings["imperfect"]),
        "agreed": french_agreement(stem + pattern["participle"]),
    }


def _split(verb: str) -> tuple[str, str]:
    head, space, rest = verb.partition(" ")
    return head, space + rest


def _hisses(word: str) -> bool:
    return word.endswith(("s", "x", "z", "ch", "sh"))


def _ends_in_consonant_y(word: str) -> bool:
    return word.endswith("y") and word[-2] not in "aeiou"
