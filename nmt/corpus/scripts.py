"""What the characters of texts are, many texts at a time: letters and their scripts, marks, spaces and the rest."""

import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import cache
from itertools import chain
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nmt.errors import ConfigError

Shares = NDArray[np.float64]
Kinds = NDArray[np.uint8]


class _Script(NamedTuple):
    code: str
    """In ISO 15924."""
    words: str
    """First words of the names that Unicode gives to its letters, nearly always the script's own name."""
    languages: str
    """Those written in it today, as ISO 639 codes."""


_SCRIPTS: Final = (
    _Script(
        "Latn",
        "LATIN FEMININE MASCULINE",
        "af an az br bs ca co crh cs cy da de en eo es et eu fi fil fo fr fy ga gd gl gn ha hr ht hu ia id ig is it jv "
        "kab kk ku la lb lg ln lt lv mg mi ms mt nb nl nn no nso ny oc om pl pt qu rm ro rw sc se sk sl sm sn so sq sr "
        "st su sv sw tk tl tn tr ts uz vec vi wa wo xh yo zu",
    ),
    _Script("Cyrl", "CYRILLIC", "ba be bg bs ce cv kk ky mk mn os ru sah sr tg tt uk uz"),
    _Script("Arab", "ARABIC", "ar ary arz ckb fa ks ku pa ps sd ug ur"),
    _Script("Armn", "ARMENIAN", "hy"),
    _Script("Beng", "BENGALI", "as bn"),
    _Script("Bopo", "BOPOMOFO", "zh"),
    _Script("Cans", "CANADIAN", "iu"),
    _Script("Cher", "CHEROKEE", "chr"),
    _Script("Deva", "DEVANAGARI", "bho hi ks mai mr ne sa sd"),
    _Script("Ethi", "ETHIOPIC", "am ti"),
    _Script("Geor", "GEORGIAN", "ka"),
    _Script("Grek", "GREEK", "el grc"),
    _Script("Gujr", "GUJARATI", "gu"),
    _Script("Guru", "GURMUKHI", "pa"),
    _Script("Hang", "HANGUL", "ko"),
    _Script("Hani", "CJK IDEOGRAPHIC", "ja ko wuu yue zh"),
    _Script("Hebr", "HEBREW", "he yi"),
    _Script("Hira", "HIRAGANA HENTAIGANA", "ja"),
    _Script("Kana", "KATAKANA KATAKANA-HIRAGANA", "ja"),
    _Script("Khmr", "KHMER", "km"),
    _Script("Knda", "KANNADA", "kn"),
    _Script("Laoo", "LAO", "lo"),
    _Script("Mlym", "MALAYALAM", "ml"),
    _Script("Mong", "MONGOLIAN", "mn"),
    _Script("Mymr", "MYANMAR", "my"),
    _Script("Nkoo", "NKO", "nqo"),
    _Script("Olck", "OL", "sat"),
    _Script("Orya", "ORIYA", "or"),
    _Script("Sinh", "SINHALA", "si"),
    _Script("Syrc", "SYRIAC", "syr"),
    _Script("Taml", "TAMIL", "ta"),
    _Script("Telu", "TELUGU", "te"),
    _Script("Tfng", "TIFINAGH", "kab zgh"),
    _Script("Thaa", "THAANA", "dv"),
    _Script("Thai", "THAI", "th"),
    _Script("Tibt", "TIBETAN", "bo dz"),
    _Script("Yiii", "YI", "ii"),
)
_WIDTHS: Final = {"FULLWIDTH", "HALFWIDTH"}
"""First words that stand before that of the script."""
_OF_NO_SCRIPT: Final = (
    "ALEF BET BLACK-LETTER CARON DALET DOUBLE-STRUCK EULER GIMEL INFORMATION MASU MATHEMATICAL MICRO MODIFIER PLANCK "
    "ROMAN SCRIPT SUPERSCRIPT TURNED VERTICAL"
)
"""First words of signs that Unicode takes for letters, but that are at home in texts of any script."""
_ALIASES: Final = {"Hans": ("Hani",), "Hant": ("Hani",), "Jpan": ("Hani", "Hira", "Kana"), "Kore": ("Hang", "Hani")}
"""What ISO 15924 calls several scripts together, or one in a variety."""

_REST, _SPACE, _MARK, _SIGN, _OTHER_LETTER = range(5)
_KIND_OF_SCRIPT: Final = {script.code: kind for kind, script in enumerate(_SCRIPTS, start=_OTHER_LETTER + 1)}
_KIND_OF_WORD: Final = {
    **dict.fromkeys(_OF_NO_SCRIPT.split(), _SIGN),
    **{word: _KIND_OF_SCRIPT[script.code] for script in _SCRIPTS for word in script.words.split()},
}
_ASSIGNED: Final = (range(0x40000), range(0xE0000, 0xE0200))
"""Where characters are; the rest of the code space holds none, or private ones."""


def scripts_of(language: str | None, *, setting: str) -> tuple[str, ...]:
    """Return the scripts that a language is written in, as ISO 15924 codes such as "Latn".

    Args:
        language: An ISO 639 code such as "sr"; "sr-Latn" and "zh_Hant" name the script themselves, "en-GB" a region.
        setting: Where `language` comes from, for the error.

    Raises:
        ConfigError: There is no language, or its scripts are not known.
    """
    if language is None:
        raise ConfigError(f'{setting} is not set, but data.min_script_share needs it; expected a code such as "en"')
    primary, *subtags = language.replace("_", "-").split("-")
    for script in (subtag.title() for subtag in subtags if len(subtag) == 4):
        if script in _KIND_OF_SCRIPT or script in _ALIASES:
            return _ALIASES.get(script, (script,))
    scripts = tuple(script.code for script in _SCRIPTS if primary.lower() in script.languages.split())
    if not scripts:
        raise ConfigError(f"{setting} is {language!r}, whose script data.min_script_share does not know; {_expected()}")
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
    counts = Counter[int]()
    for character, count in Counter("".join(texts)).items():
        counts[_kind(character)] += count
    letters = sum(count for kind, count in counts.items() if kind >= _OTHER_LETTER)
    return {code: counts[kind] / letters for code, kind in _KIND_OF_SCRIPT.items() if counts[kind]}


def symbol_shares(texts: Sequence[str]) -> Shares:
    """Return which share of the characters of each text, spaces aside, is neither letter nor mark; 0 for no text."""
    kinds, starts = _kinds(texts)
    return _count(kinds == _REST, starts) / np.maximum(_count(kinds != _SPACE, starts), 1)


def _expected() -> str:
    languages = sorted({language for script in _SCRIPTS for language in script.languages.split()})
    return f"expected one of {', '.join(languages)}, or a code with its script such as 'sr-Latn'"


def _kinds(texts: Sequence[str]) -> tuple[Kinds, NDArray[np.int64]]:
    """Return the kind of each character of all texts end to end, a space behind each, and where each text starts."""
    # One string and one look-up for all: a loop over characters would be ten times slower.
    encoded = " ".join([*texts, ""]).encode("utf-32-le", "surrogatepass")
    lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts)) + 1
    return _table().take(np.frombuffer(encoded, dtype="<u4")), np.cumsum(lengths) - lengths


def _count(flags: NDArray[np.bool_], starts: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.add.reduceat(flags, starts, dtype=np.int64) if len(starts) else np.zeros(0, dtype=np.int64)


@cache
def _table() -> Kinds:
    """Return the kind of every code point."""
    table = np.full(0x110000, _REST, dtype=np.uint8)
    for code in chain(*_ASSIGNED):
        table[code] = _kind(chr(code))
    return table


def _kind(character: str) -> int:
    category = unicodedata.category(character)
    if category[0] == "M":
        return _MARK
    if category[0] != "L":
        return _SPACE if character.isspace() else _REST
    first, *others = unicodedata.name(character, "?").split(" ")
    return _KIND_OF_WORD.get(others[0] if first in _WIDTHS else first, _OTHER_LETTER)
