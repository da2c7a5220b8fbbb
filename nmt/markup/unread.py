"""What a model cannot read, as its vocabulary lacks the characters: it is carried over, as markup is."""

import unicodedata
from collections.abc import Sequence
from typing import Final

from nmt.markup.scanning import Stretch

_JOINER: Final = "\u200d"
_VARIATION, _KEYCAP = "\ufe0f", "\u20e3"


def find_unread(text: str, known: frozenset[str], readable: Sequence[tuple[int, int]] = ()) -> list[Stretch]:
    """Find what is taken out of a text before a model reads it: unknown symbols, emoji among them, and whole words.

    A word of which some letters are known stays, and so does punctuation, which tells where sentences end: the model
    reads `<unk>` there. Emoji are taken as a whole, with the joiners and variations in them.

    Args:
        text: Any text.
        known: The characters that the model can read; white space need not be among them.
        readable: Where, from start to end, all is known whatever its characters: what is masked.
    """
    unknown = set(text) - known
    if not any(unicodedata.category(character)[0] in "LMNS" for character in unknown):
        return []  # as of nearly every line
    stretches: list[Stretch] = []
    start = 0
    while start < len(text):
        end = _end_of_run(text, start, known)
        is_masked = any(first < end and start < last for first, last in readable)
        if end > start and not is_masked and _is_taken(text, start, end):
            stretches.append(Stretch(start, end))
        start = max(end, start + 1)
    return stretches


def is_wordless(text: str) -> bool:
    """Tell whether a text has no letter of any script."""
    return not any(unicodedata.category(character)[0] == "L" for character in text)


def _end_of_run(text: str, start: int, known: frozenset[str]) -> int:
    """Return where the unknown characters of one kind, of words or symbols, end that start here."""
    end, is_word = start, _is_of_a_word(text[start])
    while end < len(text):
        character = text[end]
        goes_on = end > start and not is_word and (_extends(character) or text[end - 1] == _JOINER)
        is_symbol = unicodedata.category(character)[0] == "S"
        if not goes_on and (character in known or not (_is_of_a_word(character) if is_word else is_symbol)):
            break
        end += 1
    return end


def _is_taken(text: str, start: int, end: int) -> bool:
    """Tell whether an unknown run is a symbol, or a whole word."""
    is_whole = not _is_of_a_word(text[start - 1 : start]) and not _is_of_a_word(text[end : end + 1])
    return is_whole or not _is_of_a_word(text[start])


def _is_of_a_word(character: str) -> bool:
    return character != "" and unicodedata.category(character)[0] in "LMN" and not _extends(character)


def _extends(character: str) -> bool:
    """Tell whether a character belongs to the emoji before it."""
    tones_and_tags = "\U0001f3fb" <= character <= "\U0001f3ff" or "\U000e0020" <= character <= "\U000e007f"
    return character in (_JOINER, _VARIATION, _KEYCAP) or tones_and_tags
