"""What other models say of translations that one has found: n-best lists in a new order."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple, Self

import torch

from nmt.config import DataSettings
from nmt.io.lines import normaliser
from nmt.search.forced import force
from nmt.search.protocol import Hypothesis, Sentence
from nmt.search.rules import Scoring
from nmt.text.placeholders import mask_pair
from nmt.translate.language import TargetLanguage

if TYPE_CHECKING:
    from nmt.translate.translator import Translator

Found = list[tuple[int, list[Hypothesis]]]
"""Numbers of sentences, each with its hypotheses, best first."""


class Texts(NamedTuple):
    """What others read of a source and a translation of it."""

    src: str
    tgt: str
    masked: str
    """The translation as it was written, with placeholders."""


PairWith = Callable[[int, str], Texts]
"""Returns what others read of the sentence of a number and of what was written for it."""
Reordering = Callable[[Found, PairWith], Found]
"""Puts hypotheses in a new order, with new scores, and keeps the best."""


def follow(translator: "Translator", pairs: Sequence[tuple[str, str]], *, tag: str | None = None) -> list[Hypothesis]:
    """Return what a model thinks of given translations: their log-probabilities, and as scores the mean of a piece. No
    pair depends on those beside it; the tag comes before each source if the model knows it.

    Raises:
        ModelError: The model gives scores that are not finite numbers.
    """
    settings, rows = translator.settings, _encoded(translator, pairs, tag)
    sentences = [Sentence(tuple(src), number, prefix=tuple(tgt)) for number, (src, tgt) in enumerate(rows)]
    found = force(
        translator.model,
        sentences,
        batch_tokens=settings.search.batch_tokens,
        reverse_source=settings.model.reverse_source,
        right_to_left=settings.model.right_to_left,
    )
    return [found[number] for number in range(len(pairs))]


def too_long(translator: "Translator", pairs: Sequence[tuple[str, str]], *, tag: str | None = None) -> list[bool]:
    """Tell which pairs have a side of more pieces than a model reads or writes at once (`data.max_pieces`)."""
    most = translator.settings.data.max_pieces
    return [max(map(len, sides)) > most for sides in _encoded(translator, pairs, tag)]


def _encoded(
    translator: "Translator", pairs: Sequence[tuple[str, str]], tag: str | None
) -> Iterator[tuple[list[int], list[int]]]:
    """Make pieces of both sides of pairs, as a model has learnt them."""
    settings, tokenizers = translator.settings, translator.tokenizers
    normalise, kinds = normaliser(settings.data), settings.tokenizer.placeholders
    masked = [mask_pair(normalise(src), normalise(tgt), kinds) for src, tgt in pairs]
    before = f"{tag} " if tag in tokenizers.src.symbols else ""
    sources, targets = [before + src for src, _ in masked], [tgt for _, tgt in masked]
    return zip(tokenizers.src.encode(sources), tokenizers.tgt.encode(targets), strict=True)


def tag_back(data: DataSettings, tag: str | None) -> str | None:
    """Return the tag of the way back: in a model of both directions, whose tags tell them apart, that of the other one,
    if it is the only one there; in others the same, which may be that of a domain."""
    reversed_by_tag = {corpus.tag: corpus.reversed for corpus in data.corpora}
    others = [other for other, way in reversed_by_tag.items() if way != reversed_by_tag.get(tag, way)]
    if not others:
        return tag
    return others[0] if len(others) == 1 else None


@dataclass(frozen=True)
class Rescorer:
    """A model that has a say in the order of what another has found."""

    log_probabilities: Callable[[Sequence[Texts]], Sequence[float]]
    weight: float

    @classmethod
    def of(cls, translator: "Translator", weight: float, *, tag: str | None) -> Self:
        """Ask a model how probable translations are."""

        def log_probabilities(texts: Sequence[Texts]) -> list[float]:
            found = follow(translator, [(one.src, one.tgt) for one in texts], tag=tag)
            return [one.log_probability for one in found]

        return cls(log_probabilities, weight)

    @classmethod
    def of_language(cls, language: TargetLanguage, weight: float) -> Self:
        """Ask a language model how probable translations are by themselves."""
        return cls(lambda texts: language.log_probabilities([one.masked for one in texts]), weight)

    @classmethod
    def of_reverse(cls, translator: "Translator", weight: float, *, tag: str | None) -> Self:
        """Ask a model from target to source how probable the sources are, which were translated with this tag."""
        way_back = tag_back(translator.settings.data, tag)

        def log_probabilities(texts: Sequence[Texts]) -> list[float]:
            found = follow(translator, [(one.tgt, one.src) for one in texts], tag=way_back)
            return [one.log_probability for one in found]

        return cls(log_probabilities, weight)


@dataclass(frozen=True)
class Rescoring:
    """Puts n-best lists in the order of log p(y | x) + weight * what another model says + .., over the length penalty.

    The penalty is that of the translation with its end, so a hypothesis gets the score that it would have if words were
    chosen by the same sum, where a language model reads the same pieces.
    """

    rescorers: Sequence[Rescorer]
    texts: Callable[[Sequence[Sequence[int]]], list[str]]
    """Makes text of the pieces of hypotheses."""
    scoring: Scoring
    n_best: int
    """Hypotheses that are kept of each sentence."""

    def __call__(self, found: Found, pair_with: PairWith) -> Found:
        """Return the hypotheses with their new scores, best first; of equal ones the order stays."""
        hypotheses = [hypothesis for _, some in found for hypothesis in some]
        numbers = [number for number, some in found for _ in some]
        read = list(map(pair_with, numbers, self.texts([hypothesis.ids for hypothesis in hypotheses])))
        lengths = torch.tensor([len(hypothesis.ids) + 1 for hypothesis in hypotheses])
        divisors = self.scoring.divisors(lengths).tolist()
        rescored = (
            replace(one, log_probability=one.log_probability + more, score=one.score + more / divisor)
            for one, more, divisor in zip(hypotheses, self._weighted(read), divisors, strict=True)
        )
        lists = [(number, [next(rescored) for _ in some]) for number, some in found]
        return [(number, sorted(some, key=lambda one: -one.score)[: self.n_best]) for number, some in lists]

    def _weighted(self, texts: Sequence[Texts]) -> Iterator[float]:
        """Sum up what all say of each translation."""
        said = [[one.weight * value for value in one.log_probabilities(texts)] for one in self.rescorers]
        return map(sum, zip(*said, strict=True))
