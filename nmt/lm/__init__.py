"""What a trained language model is for: how probable a text is, and texts that it finds probable."""

from nmt.lm.generator import Generation, Generator
from nmt.lm.scorer import LanguageScorer, LineScore, Totals

__all__ = ["Generation", "Generator", "LanguageScorer", "LineScore", "Totals"]
