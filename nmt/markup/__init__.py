"""Tags, placeholders, format codes and code, taken out of a line before translation, put back as they were after it."""

from nmt.markup.putting import reinsert
from nmt.markup.regions import LINES, Region
from nmt.markup.scanning import Unclosed, left_open
from nmt.markup.spans import Marked, Span, compile_pattern, extract

__all__ = ["LINES", "Marked", "Region", "Span", "Unclosed", "compile_pattern", "extract", "left_open", "reinsert"]
