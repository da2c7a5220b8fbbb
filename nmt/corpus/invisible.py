"""Characters that nobody sees, so that lines that look the same are read as the same.

The rule: every blank of Unicode, a tab, no-break and ideographic spaces too, is a space. Control characters, soft
hyphens, zero-width spaces, word joiners, marks of direction, annotations and byte order marks are left out, and tag
characters too but in a flag. Joiners (U+200C, U+200D) stay behind letters and marks of the scripts that are written
with them, from Hebrew and Arabic to those of India and Mongolia, and behind emoji; elsewhere they are left out. Then
the text is in NFC once more, without blanks at its ends.
"""

import re
import unicodedata
from collections.abc import Callable
from typing import Final

from nmt.corpus.reading import normalise

_BLANKS: Final = re.compile("[\t\v\f\x1c-\x1f\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]")
_LEFT_OUT: Final = re.compile(
    "(\U0001f3f4[\U000e0020-\U000e007f]+)"  # a flag, such as that of Wales
    "|[\0-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"
    "|[\U000e0001\U000e0020-\U000e007f]"
)
_JOINERS: Final = re.compile(
    "(?<![\u0590-\u109f\u1700-\u18af\u1a00-\u1cff\ua800-\uabff\ufb1d-\ufdff\ufe70-\ufefc\U00010a00-\U00011fff"
    "\u20e3\u2190-\u27ff\u2900-\u2bff\ufe0f\U0001f000-\U0001faff])[\u200c\u200d]"
)


def clean(text: str) -> str:
    """Apply the rule of this module to a text that is normalised.

    What it returns is normalised, and applying the rule again changes nothing.
    """
    if text.isprintable():  # nothing that the rule is about is; so most texts cost next to nothing
        return text
    text = _LEFT_OUT.sub(r"\1", _BLANKS.sub(" ", text))
    return unicodedata.normalize("NFC", _JOINERS.sub("", text)).strip()


def normalise_cleaned(text: str) -> str:
    """Normalise a text, and clean it."""
    return clean(normalise(text))


def normaliser(*, cleans: bool) -> Callable[[str], str]:
    """Choose what a model has its text read with; `cleans`: the setting `data.clean_invisible`."""
    return normalise_cleaned if cleans else normalise
