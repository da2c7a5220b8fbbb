"""Whether two models, one for each direction, agree on pairs."""

from collections.abc import Sequence
from dataclasses import dataclass

from nmt.io.lines import Pair
from nmt.translate import Translator
from nmt.translate.rescoring import follow


@dataclass(frozen=True)
class Agreement:
    """Dual conditional cross-entropy (Junczys-Dowmunt, 2018, sec. 2.1): what surprises both models, or one of them more
    than the other, is no good translation."""

    forward: Translator
    """From source to target."""
    backward: Translator

    def disagreements(self, pairs: Sequence[Pair]) -> list[float]:
        """Return |A - B| + (A + B) / 2 of each pair, where A and B are its cross-entropies in nats a piece."""
        there = follow(self.forward, [(pair.src, pair.tgt) for pair in pairs])
        back = follow(self.backward, [(pair.tgt, pair.src) for pair in pairs])
        surprises = [(-one.score, -other.score) for one, other in zip(there, back, strict=True)]
        return [abs(one - other) + (one + other) / 2 for one, other in surprises]
