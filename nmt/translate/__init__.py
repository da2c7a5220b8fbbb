"""From lines of text to lines of text: what `nmt translate` runs, as a library."""

from nmt.translate.flow import Flow, translate_source
from nmt.translate.options import Options
from nmt.translate.processing import Part, Translation
from nmt.translate.translator import Translator

__all__ = ["Flow", "Options", "Part", "Translation", "Translator", "translate_source"]
