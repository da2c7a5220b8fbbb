"""Tags, placeholders and format codes, taken out of a line before translation and put back in their bytes after it."""

from nmt.markup.putting import reinsert
from nmt.markup.spans import Marked, Span, compile_pattern, extract

__all__ = ["Marked", "Span", "compile_pattern", "extract", "reinsert"]
