"""Tags, placeholders, format codes and code, taken out of a line before translation, put back as they were after it."""

from nmt.markup.putting import reinsert
from nmt.markup.scanning import LINES, Region, Scanned, Stretch, Unclosed, left_open
from nmt.markup.spans import Marked, Span, compile_pattern, extract, find_unread, is_wordless, take_out

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
