"""Whether two models, one for each direction, agree on pairs."""

from collections.abc import Sequence
from dataclasses import dataclass

from nmt.io.lines import Pair, normaliser
from nmt.search.forced import force
from nmt.search.protocol import Hypothesis, Sentence
from nmt.text.placeholders import mask_pair
from nmt.translate import Translator


def follow(translator: Translator, pairs: Sequence[tuple[str, str]]) -> list[Hypothesis]:
    """Return what a model thinks of given translations: their log-probabilities, and as scores the mean of a piece. No
    pair depends on those beside it.

    Raises:
        ModelError: The model gives scores that are not finite numbers.
    """
    settings, tokenizers = translator.settings, translator.tokenizers
    normalise, kinds = normaliser(cleans=settings.data.clean_invisible), settings.tokenizer.placeholders
    masked = [mask_pair(normalise(src), normalise(tgt), kinds) for src, tgt in pairs]
    sources, targets = [src for src, _ in masked], [tgt for _, tgt in masked]
    rows = zip(tokenizers.src.encode(sources), tokenizers.tgt.encode(targets), strict=True)
    sentences = [Sentence(tuple(src), number, prefix=tuple(tgt)) for number, (src, tgt) in enumerate(rows)]
    found = force(
        translator.model,
        sentences,
        batch_tokens=settings.search.batch_tokens,
        reverse_source=settings.model.reverse_source,
        right_to_left=settings.model.right_to_left,
    )
    return [found[number] for number in range(len(pairs))]


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
