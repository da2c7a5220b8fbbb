"""What is known of a line, and of all lines, when a language model has read them."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Self

from nmt.vocab import UNK


@dataclass(frozen=True)
class LineScore:
    """What a language model makes of one line.

    A blank line has no pieces, and nothing of it is scored, not even its `</s>`: no model has seen one in training.
    """

    ids: tuple[int, ...]
    """What was scored: the pieces of the line, and `</s>`."""
    log_probs: tuple[float, ...]
    """Natural logarithm of the probability of each of them, after all before it."""
    characters: int
    """Of the line as the model reads it, and one for its end."""
    space_separated: int
    """Words of the line that white space separates, and one for its end."""

    @property
    def pieces(self) -> int:
        """How many pieces were scored, `</s>` counted."""
        return len(self.ids)

    @cached_property
    def log_probability(self) -> float:
        """Sum of the log-probabilities."""
        return math.fsum(self.log_probs)

    @property
    def perplexity(self) -> float:
        """Per piece; not a number for a blank line."""
        return perplexity(self.log_probability, self.pieces)


@dataclass(frozen=True)
class Totals:
    """What a language model makes of a text.

    Perplexities per piece compare only between models that cut text in the same way. The other two figures spread the
    same log-probability over what does not depend on the model.
    """

    lines: int = 0
    """Blank ones too."""
    pieces: int = 0
    """Pieces, and `</s>` for every line that is not blank."""
    unknown: int = 0
    """Pieces among them that the model does not know; as `<unk>` they are more probable than they should be."""
    log_probability: float = 0.0
    """Natural logarithm."""
    characters: int = 0
    """Those of the lines, and one for the end of each that is not blank."""
    space_separated: int = 0
    """Words between white space, and one for the end of each line that is not blank."""

    def plus(self, scores: Iterable[LineScore]) -> Self:
        """Return the totals with those of more lines."""
        scores = list(scores)
        return type(self)(
            lines=self.lines + len(scores),
            pieces=self.pieces + sum(one.pieces for one in scores),
            unknown=self.unknown + sum(one.ids.count(UNK) for one in scores),
            log_probability=self.log_probability + math.fsum(one.log_probability for one in scores),
            characters=self.characters + sum(one.characters for one in scores),
            space_separated=self.space_separated + sum(one.space_separated for one in scores),
        )

    @property
    def perplexity(self) -> float:
        """Per piece; not a number where there is none."""
        return perplexity(self.log_probability, self.pieces)

    @property
    def perplexity_per_space_separated_word(self) -> float:
        """The same log-probability, per word between white space."""
        return perplexity(self.log_probability, self.space_separated)

    @property
    def bits_per_character(self) -> float:
        """The same log-probability, to the base 2 and per character."""
        return -self.log_probability / math.log(2) / self.characters if self.characters else math.nan


def perplexity(log_probability: float, count: int) -> float:
    """Return how many equally probable pieces would be as hard to guess as each of `count`."""
    if not count:
        return math.nan
    try:
        return math.exp(-log_probability / count)
    except OverflowError:
        return math.inf
