"""What characters are: their scripts, and those written without spaces between words."""

import re
import unicodedata
from collections.abc import Sequence
from functools import cache
from itertools import chain
from typing import Final

import numpy as np
import regex  # type: ignore[import-untyped]
from numpy.typing import NDArray

from nmt.errors import ConfigError

Shares = NDArray[np.float64]
Kinds = NDArray[np.uint8]

_LANGUAGES: Final = {
    "Latn": "af an az br bs ca co crh cs cy da de en eo es et eu fi fil fo fr fy ga gd gl gn ha hr ht hu ia id ig is "
    "it jv kab kk ku la lb lg ln lt lv mg mi ms mt nb nl nn no nso ny oc om pl pt qu rm ro rw sc se sk sl sm "
    "sn so sq sr st su sv sw tk tl tn tr ts uz vec vi wa wo xh yo zu",
    "Cyrl": "ba be bg bs ce cv kk ky mk mn os ru sah sr tg tt uk uz",
    "Arab": "ar ary arz ckb fa ks ku pa ps sd ug ur",
    "Armn": "hy",
    "Beng": "as bn",
    "Bopo": "zh",
    "Cans": "iu",
    "Cher": "chr",
    "Deva": "bho hi ks mai mr ne sa sd",
    "Ethi": "am ti",
    "Geor": "ka",
    "Grek": "el grc",
    "Gujr": "gu",
    "Guru": "pa",
    "Hang": "ko",
    "Hani": "ja ko wuu yue zh",
    "Hebr": "he yi",
    "Hira": "ja",
    "Kana": "ja",
    "Khmr": "km",
    "Knda": "kn",
    "Laoo": "lo",
    "Mlym": "ml",
    "Mong": "mn",
    "Mymr": "my",
    "Nkoo": "nqo",
    "Olck": "sat",
    "Orya": "or",
    "Sinh": "si",
    "Syrc": "syr",
    "Taml": "ta",
    "Telu": "te",
    "Tfng": "kab zgh",
    "Thaa": "dv",
    "Thai": "th",
    "Tibt": "bo dz",
    "Yiii": "ii",
}
"""Those written in a script today, as ISO 639 codes, by the code of the script in ISO 15924."""
_SHARED: Final = {"Arab": "\u0640", "Hani": "\u3006", "Kana": "\u30fc\uff70\uff9e\uff9f"}
"""Letters that Unicode gives to no script, as several have them, but that stand in the words of one: ー and ـ, say."""
_ALIASES: Final = {"Hans": ("Hani",), "Hant": ("Hani",), "Jpan": ("Hani", "Hira", "Kana"), "Kore": ("Hang", "Hani")}
"""What ISO 15924 calls several scripts together, or one in a variety."""

_REST, _SPACE, _MARK, _SIGN, _OTHER_LETTER = range(5)
_KIND_OF_SCRIPT: Final = {code: kind for kind, code in enumerate(_LANGUAGES, start=_OTHER_LETTER + 1)}
_ASSIGNED: Final = (range(0x40000), range(0xE0000, 0xE0200))
"""Where characters are; the rest of the code space holds none, or private ones."""


def scripts_of(language: str | None, *, setting: str) -> tuple[str, ...]:
    """Return the scripts that a language is written in, as ISO 15924 codes such as "Latn".

    Args:
        language: An ISO 639 code such as "sr"; "sr-Latn" and "zh_Hant" name the script themselves, "en-GB" a region.
        setting: Where `language` comes from, for the ConfigError.
    """
    if language is None:
        raise ConfigError(f'{setting} is not set, but data.min_script_share needs it; expected a code such as "en"')
    primary, *subtags = language.replace("_", "-").split("-")
    for script in (subtag.title() for subtag in subtags if len(subtag) == 4):
        if script in _KIND_OF_SCRIPT or script in _ALIASES:
            return _ALIASES.get(script, (script,))
    scripts = tuple(code for code, languages in _LANGUAGES.items() if primary.lower() in languages.split())
    if not scripts:
        known = sorted({*" ".join(_LANGUAGES.values()).split()})
        raise ConfigError(
            f"{setting} is {language!r}, whose script data.min_script_share does not know; expected one of "
            f"{', '.join(known)}, or a code with its script such as 'sr-Latn'"
        )
    return scripts


def script_shares(texts: Sequence[str], scripts: Sequence[str]) -> Shares:
    """Return which share of the letters of each text is of these scripts; 1 where there is no letter.

    Signs that texts of any script use, as the micro sign or mathematical letters, are left aside.
    """
    wanted = np.zeros(256, dtype=np.bool_)
    wanted[[_KIND_OF_SCRIPT[script] for script in scripts]] = True
    kinds, starts = _kinds(texts)
    letters = _count(kinds >= _OTHER_LETTER, starts)
    return np.where(letters > 0, _count(wanted.take(kinds), starts) / np.maximum(letters, 1), 1.0)


def shares_by_script(texts: Sequence[str]) -> dict[str, float]:
    """Return which share of the letters of all texts together each script has, as ISO 15924 codes."""
    counts = np.bincount(_table().take(_codes("".join(texts))), minlength=256).tolist()
    letters = sum(counts[_OTHER_LETTER:])
    return {code: counts[kind] / letters for code, kind in _KIND_OF_SCRIPT.items() if counts[kind]}


def symbol_shares(texts: Sequence[str]) -> Shares:
    """Return which share of the characters of each text, spaces aside, is neither letter nor mark; 0 for no text."""
    kinds, starts = _kinds(texts)
    return _count(kinds == _REST, starts) / np.maximum(_count(kinds != _SPACE, starts), 1)


def _kinds(texts: Sequence[str]) -> tuple[Kinds, NDArray[np.int64]]:
    """Return the kind of each character of all texts end to end, a space after each, and where each text starts."""
    # One string and one look-up for all: a loop over characters would be ten times slower.
    kinds = _table().take(_codes(" ".join([*texts, ""])))
    lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts)) + 1
    return kinds, np.cumsum(lengths) - lengths


def _count(flags: NDArray[np.bool_], starts: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.add.reduceat(flags, starts, dtype=np.int64) if len(starts) else np.zeros(0, dtype=np.int64)


def _codes(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


@cache
def _table() -> Kinds:
    """Return the kind of every code point."""
    table = np.full(0x110000, _REST, dtype=np.uint8)
    for code in chain(*_ASSIGNED):
        character = chr(code)
        category = unicodedata.category(character)[0]
        if category in "LM":
            table[code] = _OTHER_LETTER if category == "L" else _MARK
        elif character.isspace():
            table[code] = _SPACE
    letters = "".join(map(chr, np.flatnonzero(table == _OTHER_LETTER)))
    for script, kind in {"Common": _SIGN, "Inherited": _SIGN, **_KIND_OF_SCRIPT}.items():
        found = regex.findall(rf"[\p{{Script={script}}}{_SHARED.get(script, '')}]+", letters)
        table[_codes("".join(found))] = kind
    return table


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
