"""The special ids, in one place: every tokenizer model that `nmt prepare` trains numbers them this way; and how pieces
are written in text.
"""

import re
import unicodedata
from typing import Final

PAD: Final = 0
UNK: Final = 1
BOS: Final = 2
EOS: Final = 3

PAD_PIECE: Final = "<pad>"
UNK_PIECE: Final = "<unk>"
BOS_PIECE: Final = "<s>"
EOS_PIECE: Final = "</s>"

SPACE_MARK: Final = "\u2581"
"""What SentencePiece writes for a space; every word of a text has one before it."""
UNKNOWN: Final = "\u2047"
"""How an unknown character is written."""

_LONE_BYTE: Final = re.compile("[\udc80-\udcff]")
_BYTE: Final = re.compile("<0x[0-9A-F]{2}>")
_HIDDEN: Final = ("Cc", "Zl", "Zp", "Cs")
"""Categories of characters that nobody sees, or that break a line."""


def is_reserved(piece: str) -> bool:
    """Whether a piece has the name of a special one or of a byte, so that none of the user's can have it."""
    return piece in (PAD_PIECE, UNK_PIECE, BOS_PIECE, EOS_PIECE) or _BYTE.fullmatch(piece) is not None


def breaks_lines(text: str) -> bool:
    """Whether a text has control characters, lone surrogates, or ends of lines or paragraphs."""
    return any(unicodedata.category(character) in _HIDDEN for character in text)


def fault_of_symbol(symbol: str) -> str | None:
    """Say why a text can be no user-defined piece; None: it can."""
    if len(symbol) < 2 or SPACE_MARK in symbol or any(one.isspace() for one in symbol):
        return f"found the symbol {symbol!r}, expected two characters or more and no space in them"
    if is_reserved(symbol):
        return f"found the symbol {symbol!r}, which is the name of a special piece or of a byte"
    return None


def surface(piece: str, *, byte: bool) -> str:
    """Return what a piece stands for; `byte`: it is one, of the name "<0x41>", say."""
    if not byte:
        return piece
    return bytes.fromhex(piece[3:5]).decode("ascii", errors="surrogateescape").replace(" ", SPACE_MARK)


def decode_bytes(text: str) -> str:
    """Make characters of the bytes in a text, U+FFFD of each byte that belongs to none, as SentencePiece does."""
    if not _LONE_BYTE.search(text):
        return text
    decoded = text.encode(errors="surrogateescape").decode(errors="surrogateescape")
    return _LONE_BYTE.sub("\ufffd", decoded)


def show_piece(piece: str) -> str:
    """Write a piece as it may be shown: a lone byte as "<0xC3>"."""
    return _LONE_BYTE.sub(lambda match: f"<0x{ord(match[0]) - 0xDC00:02X}>", piece)


def readable(piece: str) -> str:
    r"""Write a piece on one line and without tabs: control characters as `\n`, `\t`, `\x00`, a backslash as two."""
    return "".join(
        [
            one.encode("unicode_escape").decode() if one == "\\" or unicodedata.category(one) in _HIDDEN else one
            for one in piece
        ]
    )
