"""Tags, placeholders, format codes and code, taken out of a line before translation, put back as they were after it."""

from nmt.markup.putting import reinsert
from nmt.markup.regions import LINES, Region
from nmt.markup.scanning import Scanned, Stretch, Unclosed, left_open
from nmt.markup.spans import Marked, Span, compile_pattern, extract, take_out
from nmt.markup.unread import find_unread, is_wordless

__all__ = [
    "LINES",
    "Marked",
    "Region",
    "Scanned",
    "Span",
    "Stretch",
    "Unclosed",
    "compile_pattern",
    "extract",
    "find_unread",
    "is_wordless",
    "left_open",
    "reinsert",
    "take_out",
]
