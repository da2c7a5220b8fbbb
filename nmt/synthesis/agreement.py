"""Whether two models, one for each direction, agree on pairs."""

from collections.abc import Sequence
from dataclasses import dataclass

from nmt.io.lines import Pair, normaliser
from nmt.search.forced import force
from nmt.search.protocol import Sentence
from nmt.text.placeholders import mask_pair
from nmt.translate import Translator


def cross_entropies(translator: Translator, pairs: Sequence[tuple[str, str]]) -> list[float]:
    """Return how surprised a model is by each translation, in nats a piece; no pair depends on those beside it.

    Raises:
        ModelError: The model gives scores that are not finite numbers.
    """
    settings, tokenizers = translator.settings, translator.tokenizers
    normalise = normaliser(cleans=settings.data.clean_invisible)
    kinds = settings.tokenizer.placeholders
    masked = [mask_pair(normalise(src), normalise(tgt), kinds) for src, tgt in pairs]
    sources, targets = map(list, zip(*masked, strict=True))
    rows = zip(tokenizers.src.encode(sources), tokenizers.tgt.encode(targets), strict=True)
    sentences = [Sentence(tuple(src), number, prefix=tuple(tgt)) for number, (src, tgt) in enumerate(rows)]
    found = force(
        translator.model,
        sentences,
        batch_tokens=settings.search.batch_tokens,
        reverse_source=settings.model.reverse_source,
    )
    return [-found[number].score for number in range(len(pairs))]


@dataclass(frozen=True)
class Agreement:
    """Dual conditional cross-entropy (Junczys-Dowmunt, 2018, sec. 2.1): what surprises both models, or one of them more
    than the other, is no good translation."""

    forward: Translator
    """From source to target."""
    backward: Translator

    def disagreements(self, pairs: Sequence[Pair]) -> list[float]:
        """Return |A - B| + (A + B) / 2 of each pair, where A and B are its cross-entropies in nats a piece."""
        if not pairs:
            return []
        there = cross_entropies(self.forward, [(pair.src, pair.tgt) for pair in pairs])
        back = cross_entropies(self.backward, [(pair.tgt, pair.src) for pair in pairs])
        return [abs(one - other) + (one + other) / 2 for one, other in zip(there, back, strict=True)]
