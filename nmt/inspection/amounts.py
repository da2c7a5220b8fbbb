"""How shares, characters and texts are shown to people."""

import unicodedata
from dataclasses import dataclass

_KINDS = {"Cc": "control character", "Co": "private use", "Cn": "unassigned", "Cs": "half of a surrogate pair"}
_DOTTED_CIRCLE = "\u25cc"
_REPLACEMENT = 0xFFFD
# Neither HTML nor a terminal can have control characters; Unicode has pictures of the first ones.
_PICTURES = (
    {code: 0x2400 + code for code in range(0x20)}
    | {0x7F: 0x2421}
    | dict.fromkeys(range(0x80, 0xA0), _REPLACEMENT)
    | dict.fromkeys(range(0xD800, 0xE000), _REPLACEMENT)
)


def percent(part: float, whole: float = 1.0) -> str:
    """Say which share of a whole a part is: "12.3%", "0.04%", "< 0.01%"."""
    share = part / whole if whole else 0.0
    if 0 < share < 0.0001:
        return "< 0.01%"
    return f"{share:.1%}" if share >= 0.1 else f"{share:.2%}"


def visible(text: str) -> str:
    """Return a text with something to look at for each control character and each half of a surrogate pair."""
    return text.translate(_PICTURES)


@dataclass(frozen=True)
class Named:
    """A character, and what Unicode calls it."""

    shown: str
    """Something to look at: a mark that belongs on another character is on a circle; what cannot be seen is blank."""
    code: str
    """As U+0041."""
    name: str


def describe(character: str) -> Named:
    """Say which character this is."""
    category = unicodedata.category(character)
    name = unicodedata.name(character, _KINDS.get(category, "no name"))
    shown = {"M": _DOTTED_CIRCLE + character, "C": "", "Z": ""}.get(category[0], character)
    return Named(shown, f"U+{ord(character):04X}", name)
