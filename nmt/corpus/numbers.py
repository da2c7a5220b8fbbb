"""What one number is: digits of any script, with what belongs to them as they are written.

One number each: 1,234.5 and 1.234,5 and 1'234 and 1 234; 12:30, 12h30 and 2024-05-15T12:30Z; 15/05/2024 and 10-20;
+32 475-12-34-56, (555) 123-4567 and 06 12 34 56 78; -5, €25, US$5, 25 €, 5 %, 20 °C, 5km; and codes such as
BE0768880101: capitals with four digits or more in a row. Other digits within words, as in MP3, 2nd and 1990s, are none.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from typing import Final

from nmt import unspaced

# Scripts whose words stand beside digits without a space: Arabic, those without spaces between words, and Hangul.
GLUED: Final = f"\u0620-\u065f\u066e-\u06ef{unspaced.CHARACTERS}\uac00-\ud7af"
BEGINS: Final = rf"(?<![^\W{GLUED}])"
"""No letter or digit of another script comes before."""

_ENDS: Final = rf"(?![^\W{GLUED}])(?!\d)"
_BLANK: Final = "[ \u00a0\u2009\u202f]"
_BETWEEN: Final = "[.,:/'’\u2010-\u2013\u066b\u066c．，：／-]"  # noqa: RUF001 (these marks are meant)
_CURRENCY: Final = "[$¢-¥֏؋৲৳฿៛\u20a0-\u20cf﷼﹩＄￠￡￥￦]"  # noqa: RUF001
_UNITS: Final = (
    r"km/h|km²|m²|m³|kWh|kW|MW|GW|kHz|MHz|GHz|Hz|km|cm|mm|µm|kg|mg|ml|cl|dl|kB|KB|MB|GB|TB|mph|min|ms|px|pt|am|pm"
    r"|[mglLhWV]"
)
_PREFIX: Final = (
    rf"(?:(?<![^\s(\[])[+\-−])?+(?:(?:{BEGINS}[A-Z]{{1,2}})?+{_CURRENCY}{_BLANK}?+)?"  # noqa: RUF001
    rf"{BEGINS}(?<!\d)(?<!\d{_BETWEEN})"
)
_DIGITS: Final = (
    r"\d{4}-\d\d-\d\dT\d\d:\d\d(?:[:.]\d++)*+(?:Z|[+-]\d\d:?\d\d)?",  # a date with a time
    rf"(?<=\+)\d{{1,3}}(?:{_BLANK}?\(\d{{1,5}}\))?(?:[./-]\d++|{_BLANK}\d{{2,}}+)++",  # a telephone number
    rf"\d{{2,}}+(?:{_BLANK}\d{{2,}}+){{2,}}+",
    rf"0\d++(?:{_BLANK}\d{{2,}}+)++",
    rf"\d{{1,3}}(?:{_BLANK}\d{{3}})++(?!\d)(?:[.,\u066b]\d++)?+",  # thousands
    r"\d\d?h\d\d",
    rf"\d++(?:{_BETWEEN}\d++)*+",
)
_SUFFIX: Final = rf"(?:{_BLANK}?[%‰٪％]|{_BLANK}?°[CF]?|{_BLANK}?{_CURRENCY}(?!{_BLANK}?\d)|{_UNITS})?"  # noqa: RUF001

NUMBER: Final = (
    rf"(?:{_PREFIX}(?:{'|'.join(_DIGITS)}){_SUFFIX}{_ENDS}"
    rf"|\(\d{{2,5}}\){_BLANK}?\d{{3,}}+(?:[ ./-]\d{{2,}}+)++{_ENDS}"
    rf"|{BEGINS}(?=[0-9]*+[A-Z])(?=[A-Z0-9]*?[0-9]{{4}})[A-Z0-9]++{_ENDS})"
)
"""A regular expression of numbers."""

_ARABIC_SIGNS: Final = {"\u066a": "%", "\u066b": ".", "\u066c": ","}
_WIDE: Final = "CJK"
"""What letters of East Asia and full-width digits have in common."""


def number_value(number: str) -> tuple[str, ...]:
    """Return what two writings of a number have in common: its digits in order, and its letters and signs in any.

    Languages group and order by different marks: 1,234.5 € is €1.234,5, but neither 1,234.5 nor 12,345 %.
    """
    digits = "".join(str(unicodedata.decimal(one)) for one in number if one.isdecimal())
    others = sorted(
        one for one in unicodedata.normalize("NFKC", number) if unicodedata.category(one)[0] in "LS" or one in "%‰٪"
    )
    return digits, *others


def usual_zero(texts: Iterable[str]) -> str | None:
    """Return the zero of the digits that texts have most of; None: those are 0 to 9, or there are none."""
    counts = Counter(chr(ord(one) - unicodedata.decimal(one)) for text in texts for one in text if one.isdecimal())
    [(zero, _)] = counts.most_common(1) or [("0", 0)]
    return None if zero == "0" else zero


def number_with(zero: str, number: str) -> str:
    """Write a number with the digits that begin at `zero`; one that has letters of English stays as it is."""
    if any(one.isascii() and one.isalpha() for one in number):
        return number
    return "".join(chr(ord(zero) + unicodedata.decimal(one)) if one.isdecimal() else one for one in number)


def number_for(text: str, number: str) -> str:
    """Write a number for a text: with the digits 0 to 9 where its own are of a script of which the text has no letter.

    A text without letters has any digits.
    """
    digits = {_script_of(one) for one in number if one.isdecimal() and not one.isascii()}
    letters = {_script_of(one) for one in text if one.isalpha()} if digits else set[str]()
    return "".join(map(_western, number)) if letters and not digits & letters else number


def _script_of(character: str) -> str:
    if unicodedata.east_asian_width(character) in "FWH":
        return _WIDE
    return re.split("[ -]", unicodedata.name(character, "?").removeprefix("EXTENDED "))[0]


def _western(character: str) -> str:
    if character.isdecimal():
        return str(unicodedata.decimal(character))
    wide = unicodedata.east_asian_width(character) == "F"
    return _ARABIC_SIGNS.get(character) or (unicodedata.normalize("NFKC", character) if wide else character)
