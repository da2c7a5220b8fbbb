"""Tags, placeholders, format codes and code, taken out of a line before translation, put back as they were after it."""

from nmt.markup.putting import reinsert
from nmt.markup.scanning import LINES, Region, Scanned, Stretch, Unclosed, left_open
from nmt.markup.spans import Marked, compile_pattern, extract, find_unread, take_out

__all__ = [
    "LINES",
    "Marked",
    "Region",
    "Scanned",
    "Stretch",
    "Unclosed",
    "compile_pattern",
    "extract",
    "find_unread",
    "left_open",
    "reinsert",
    "take_out",
]
