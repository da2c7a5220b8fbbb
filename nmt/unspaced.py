"""The scripts that put no spaces between words, and which characters are theirs."""

import re
import unicodedata
from typing import Final

SCRIPTS: Final = {
    "Thai": "\u0e00-\u0e7f",
    "Laoo": "\u0e80-\u0eff",
    "Tibt": "\u0f00-\u0fff",
    "Mymr": "\u1000-\u109f\ua9e0-\ua9ff\uaa60-\uaa7f\U000116d0-\U000116ff",
    "Khmr": "\u1780-\u17ff\u19e0-\u19ff",
    "Hira": "\u3040-\u309f\U0001b001-\U0001b11f\U0001b132-\U0001b154\U0001f200",
    "Kana": "\u30a0-\u30ff\u31f0-\u31ff\uff66-\uff9f\U0001aff0-\U0001b000\U0001b120-\U0001b131\U0001b155-\U0001b16f",
    "Hani": "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3031-\u303c\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00016fe3\U00020000-\U0003ffff",
    "Bopo": "\u3100-\u312f\u31a0-\u31bf",
}
"""By their codes in ISO 15924: letters, marks, digits and signs, as they stand between brackets in an expression."""

CHARACTERS: Final = "".join(SCRIPTS.values())
"""Those of all of them."""

_JOINERS: Final = ("\u200c", "\u200d")
"""They stand within words of Persian and Hindi."""
_WITH_SIGNS: Final = re.compile(
    rf"(?!\d)[{SCRIPTS['Thai']}{SCRIPTS['Laoo']}{SCRIPTS['Tibt']}{SCRIPTS['Mymr']}{SCRIPTS['Khmr']}]"
)
_UNSPACED: Final = re.compile(rf"(?!\d)[{CHARACTERS}]")


def is_unspaced(character: str) -> bool:
    """Tell whether a character is of one of these scripts, and no digit: digits make one number together anywhere."""
    return _UNSPACED.match(character) is not None


def continues(character: str) -> bool:
    """Tell whether a character goes on in the word of a character like it: letters, marks, digits and joiners do, but
    for what is of these scripts."""
    return character in _JOINERS or (unicodedata.category(character)[0] in "LMN" and not is_unspaced(character))


def takes_signs(character: str) -> bool:
    """Tell whether a character is of those of these scripts that write vowels or tones as signs on letters."""
    return _WITH_SIGNS.match(character) is not None


def is_sign(character: str) -> bool:
    """Tell whether a character is a vowel or tone sign of these scripts, without which nobody reads the letter before
    it: no word ends between them."""
    return unicodedata.category(character)[0] == "M" and is_unspaced(character)
