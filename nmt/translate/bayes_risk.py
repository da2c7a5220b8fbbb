"""Minimum Bayes risk decoding: of the best translations that a search finds (Kumar and Byrne, 2004), or of samples
(Eikema and Aziz, 2020), the one that is most like all of them."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nmt.config import Settings
from nmt.search.protocol import Hypothesis
from nmt.translate.options import Utility
from nmt.translate.rescoring import Found, PairWith

Likeness = Callable[[Sequence[str]], NDArray[np.float64]]
"""Scores N translations of a sentence as if each were the reference of each, in points of 0 to 100: [N, N], a row for
each translation and a column for each reference."""

_CHARACTERS: Final = 6
"""Longest n-grams of chrF."""
_WORDS: Final = 4
"""Longest n-grams of BLEU."""
_RECALL: Final = 2**2
"""How many times as much as precision recall counts in chrF2."""
_DIGITS: Final = 9
"""Of scores: what is equally good is so whatever the order of additions."""


@dataclass(frozen=True)
class BayesRisk:
    """Puts hypotheses in the order of their mean likeness to all of their sentence, which becomes their score."""

    likeness: Likeness
    texts: Callable[[Sequence[Sequence[int]]], list[str]]
    """Makes text of the pieces of hypotheses."""
    n_best: int
    """Hypotheses that are kept of each sentence, none twice."""

    def __call__(self, found: Found, _: PairWith) -> Found:
        """Return the best hypotheses of sentences with their new scores; of equally good ones the first stays first."""
        return [(number, self._best(hypotheses)) for number, hypotheses in found]

    def _best(self, hypotheses: Sequence[Hypothesis]) -> list[Hypothesis]:
        by_text: dict[str, list[Hypothesis]] = {}
        for text, hypothesis in zip(self.texts([one.ids for one in hypotheses]), hypotheses, strict=True):
            by_text.setdefault(text, []).append(hypothesis)
        shares = np.array([len(alike) for alike in by_text.values()]) / len(hypotheses)
        scores = (self.likeness(list(by_text)) @ shares).round(_DIGITS).tolist()
        scored = [replace(alike[0], score=score) for alike, score in zip(by_text.values(), scores, strict=True)]
        return sorted(scored, key=lambda one: -one.score)[: self.n_best]


def likeness_by(utility: Utility, settings: Settings) -> Likeness:
    """Return how alike translations are by the score of a name; words are found as the settings of a model say."""
    if utility == "chrf":
        return mutual_chrf
    from nmt.metrics import make_bleu, tokenizer_for  # sacrebleu takes a while to load

    tokenizer = make_bleu(tokenizer_for(settings, ())).tokenizer
    return lambda texts: mutual_bleu(tokenizer(text.rstrip()).split() for text in texts)


def mutual_chrf(texts: Sequence[str]) -> NDArray[np.float64]:
    """Score by chrF2 as sacrebleu does sentences (Popović, 2015): of the orders that both sides have n-grams of."""
    rows = ["".join(text.split()) for text in texts]
    precision, recall, orders = np.zeros((3, len(rows), len(rows)))
    for n in range(1, _CHARACTERS + 1):
        common, sizes = _common(rows, n)
        both = (sizes[:, None] > 0) & (sizes > 0)
        precision += common / np.maximum(sizes[:, None], 1)
        recall += common / np.maximum(sizes, 1)
        orders += both
    precision, recall = precision / np.maximum(orders, 1), recall / np.maximum(orders, 1)
    divisors = _RECALL * precision + recall
    return 100 * (1 + _RECALL) * precision * recall / np.where(divisors > 0, divisors, 1)


def mutual_bleu(texts: Iterable[Sequence[str]]) -> NDArray[np.float64]:
    """Score words by BLEU as sacrebleu does sentences: of the orders that the translation has n-grams of, and where it
    has none in common with the reference, half as many as of the order before (Chen and Cherry, 2014, method 3)."""
    rows = list(texts)
    lengths = np.array([len(words) for words in rows])
    logs, orders = np.zeros((2, len(rows), len(rows)))
    halves, any_common = np.ones_like(logs), np.zeros_like(logs, dtype=bool)
    for n in range(1, _WORDS + 1):
        common, sizes = _common([tuple(words) for words in rows], n)
        counted = sizes[:, None] > 0
        halves = np.where(counted & (common == 0), halves / 2, halves)
        found = np.where(common > 0, common, halves)
        logs += np.where(counted, np.log(found / np.maximum(sizes[:, None], 1)), 0.0)
        orders += counted
        any_common |= common > 0
    brevity = np.minimum(0.0, 1 - lengths / np.maximum(lengths[:, None], 1))
    return np.where(any_common, 100 * np.exp(brevity + logs / np.maximum(orders, 1)), 0.0)


def _common(rows: Sequence[Sequence[Hashable]], n: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Count the n-grams of N rows that each has in common with each, as often as both have them, [N, N], and those of
    each row, [N]."""
    columns: dict[Hashable, int] = {}
    found = [[columns.setdefault(row[i : i + n], len(columns)) for i in range(len(row) - n + 1)] for row in rows]
    counts = np.zeros((len(rows), len(columns)), dtype=np.float32)
    for row, ids in enumerate(found):
        np.add.at(counts[row], ids, 1)
    common = np.zeros((len(rows), len(rows)))
    # min(a, b) is how many of 1, 2, .. are no larger than both; the products are exact, as counts are small
    for least in range(1, int(counts.max(initial=0)) + 1):
        counts = counts[:, counts.max(axis=0) >= least]
        has = (counts >= least).astype(np.float32)
        common += has @ has.T
    return common, np.array([len(ids) for ids in found])
