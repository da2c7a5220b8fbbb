"""What suits a corpus of some size, where nobody says otherwise: from counts to settings, each with its reason.

What did well in measured runs stands in a table; a corpus between two of them gets what lies between, by the logarithm
of its pairs. docs/defaults.md has the conditions of these runs.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final, NamedTuple

from nmt.config.effects import is_idle
from nmt.config.load import Settings, change_settings


class _Row(NamedTuple):
    """What did well with so many pairs."""

    pairs: int
    vocabulary: int
    epochs: int
    dropout: float


_ROWS: Final = (
    _Row(100, 500, 60, 0.5),
    _Row(1_000, 1_500, 60, 0.5),
    _Row(3_000, 2_000, 30, 0.3),
    _Row(10_000, 4_000, 20, 0.3),
    _Row(29_000, 6_000, 12, 0.3),
    _Row(158_000, 8_000, 6, 0.2),
    _Row(1_000_000, 16_000, 5, 0.1),
    _Row(20_000_000, 32_000, 3, 0.1),
)
_MEASURED: Final = range(1_000, 158_001)
"""Pairs of the rows that were run; the others are on paper."""
_USUAL, _SMALL = 512, 256
"""Cells of models, and of those that read little."""
_RATE, _HIGHEST_RATE = 0.004, 0.008
"""The best of the usual number of cells, and of the small one (recipes/quality.md)."""
_LITTLE: Final = 2_000_000
"""Target pieces of all epochs of a run together: from fewer, a small model learns more (docs/defaults.md)."""
_LARGE: Final = 500_000
"""Pairs that are worth a larger model, where a GPU makes it affordable."""

_LEAST_BATCH, _MOST_BATCH = 640, 4000
_BATCHES: Final = 1100
"""Of an epoch, where batches are larger than the smallest."""
GPU_BATCH: Final = 16_000
"""Token budget of a batch with which a GPU computes most of the time."""
_GPU_BATCHES: Final = 500
"""Of an epoch: larger batches are fewer updates, and these are what a model learns by."""
_LEAST_ROWS: Final = 16
"""Pairs of a batch in the mean, however long they are."""

_LEAST_WARMUP, _MOST_WARMUP = 400, 4000
_OFTEN: Final = 20
"""Validations that a run has at most."""
_COST: Final = 1.5
"""Of a validation, in updates on as many pieces (docs/decisions/0025-how-many-steps-fit.md)."""
_SHARE: Final = 0.2
"""Of the time of the updates: what validations take at most, but for these few."""
_SELDOM: Final = 5
_MOST_STEPS, _MOST_OF_A_TIME = 2000, 500
"""Between validations: of a run whose length is known, and of one whose length is measured later."""


@dataclass(frozen=True)
class CorpusSize:
    """How much there is to learn from."""

    pairs: int
    """Pairs, or lines, of an epoch."""
    pieces: int
    """Its target pieces."""
    valid_pieces: int = 0
    """Those of the validation sets."""


class Choice(NamedTuple):
    """A value, and in a few words why."""

    value: float
    why: str


def vocabulary_for(pairs: int) -> tuple[int, str]:
    """Choose how many pieces a vocabulary has, that of both languages together or each of two; and say why."""
    pieces, why = _between(pairs, "vocabulary")
    return round(pieces / 100) * 100, why


def batch_for_gpu(pieces: int) -> tuple[int, str]:
    """Choose the token budget of a batch on a GPU for so many target pieces of an epoch; and say why."""
    tokens = min(GPU_BATCH, pieces // _GPU_BATCHES)
    return tokens, "which keep it busy" if tokens == GPU_BATCH else f"so that an epoch has {_GPU_BATCHES} batches"


def choose_settings(
    corpus: CorpusSize, settings: Settings, *, on_gpu: bool, epochs_within: Callable[[Settings], float] | None = None
) -> tuple[Settings, list[str]]:
    """Choose what is not set for a translation model of such a corpus, and say of each choice why, in a line.

    Args:
        epochs_within: Tells how many epochs of a model fit into `training.time`: with few, a smaller one is chosen.
    """
    chosen = _choose(_Case(corpus, settings, on_gpu))
    if epochs_within and settings.training.time and not on_gpu and "hidden_size" not in settings.model.model_fields_set:
        chosen = _choose(_Case(corpus, settings, on_gpu, epochs_within(chosen[0])))
    return chosen


def _choose(case: "_Case") -> tuple[Settings, list[str]]:
    lines = []
    for name, choose in _CHOICES.items():
        section, _, key = name.partition(".")
        if key not in getattr(case.settings, section).model_fields_set and not is_idle(case.settings, section, key):
            value, why = choose(case)
            case = replace(case, settings=change_settings(case.settings, section, {key: value}))
            lines.append(f"{name} = {value}: {why}")
    return case.settings, lines


def _between(pairs: int, column: str) -> Choice:
    pairs = min(max(pairs, _ROWS[0].pairs), _ROWS[-1].pairs)
    rows = next(both for both in pairwise(_ROWS) if pairs <= both[1].pairs)
    first, last = (row.pairs for row in rows)
    one, other = (getattr(row, column) for row in rows)
    if one == other:
        return Choice(one, f"that of {first:,} to {last:,} pairs")
    values = (
        f"{value:,} for {row.pairs:,} pairs{'' if row.pairs in _MEASURED else ' (on paper)'}"
        for row, value in zip(rows, (one, other), strict=True)
    )
    share = math.log(pairs / first) / math.log(last / first)
    return Choice(one * (other / one) ** share, f"between {' and '.join(values)}")


@dataclass(frozen=True)
class _Case:
    """A corpus, what is set so far, and whether it is trained on a GPU."""

    corpus: CorpusSize
    settings: Settings
    on_gpu: bool
    epochs: float = math.inf
    """Of the usual model, that fit into the time of the run, where that is known."""

    @property
    def batch(self) -> int:
        """Tokens of an update."""
        return self.settings.training.batch_tokens * self.settings.training.accumulate

    @property
    def steps(self) -> int:
        """About how many updates the run makes; 0: as many as fit into its time."""
        training = self.settings.training
        known = training.max_steps or training.max_epochs * self.corpus.pieces // self.batch
        return 0 if training.time else known

    @property
    def learns_little(self) -> bool:
        """Whether the usual model would learn from little text, which counts as often as it is read."""
        epochs = self.epochs * max(1, self.corpus.pieces)
        return (epochs if self.settings.training.time else self.steps * self.batch) < _LITTLE

    @property
    def cells(self) -> int:
        """Those of a layer, of the wider side."""
        return max(stack.size for stack in self.settings.model.stacks())

    def hidden_size(self) -> Choice:
        if self.on_gpu and self.corpus.pairs >= _LARGE:
            return Choice(1024, f"{_LARGE:,} pairs or more on a GPU (on paper)")
        if self.learns_little:
            time, few = self.settings.training.time, "all epochs have"
            if time:
                few = f"about {self.epochs:.2g} epochs of {_USUAL} cells fit into {time}, which have"
            return Choice(_SMALL, f"{few} fewer than {_LITTLE:,} pieces, of which {_SMALL} learn more")
        return Choice(_USUAL, f"of {_LITTLE:,} pieces or more they learn more than {_SMALL}")

    def embedding_size(self) -> Choice:
        return Choice(max(1, self.cells // 2), "half of the cells")

    def dropout(self) -> Choice:
        rate, why = _between(self.corpus.pairs, "dropout")
        by_epochs = max(2, math.ceil(min(self.epochs, 20))) / 20
        return min(Choice(round(rate * 20) / 20, why), Choice(by_epochs, "little is learnt by heart in few epochs"))

    def batch_tokens(self) -> Choice:
        pieces, pairs = self.corpus.pieces, max(1, self.corpus.pairs)
        if self.on_gpu:
            tokens, why = batch_for_gpu(pieces)
            return max(Choice(tokens, f"on a GPU, {why}"), Choice(_LEAST_BATCH, "small ones are more updates"))
        tokens = min(max(_LEAST_BATCH, pieces // _BATCHES // 80 * 80), _MOST_BATCH)
        whys = {_LEAST_BATCH: "small ones are more updates", _MOST_BATCH: "larger ones are no faster"}
        by_length = Choice(_LEAST_ROWS * pieces // pairs, f"{_LEAST_ROWS} of these long sentences")
        return max(by_length, Choice(tokens, whys.get(tokens, f"about {_BATCHES:,} in an epoch")))

    def learning_rate(self) -> Choice:
        if any(stack.cell != "lstm" for stack in self.settings.model.stacks()):
            return Choice(0.002, "that of the runs that compare cells")
        size = self.cells
        if size <= _SMALL:
            return Choice(_HIGHEST_RATE, f"the best of {_SMALL} cells")
        if size == _USUAL:
            return Choice(_RATE, f"the best of {_USUAL} cells")
        rate = float(f"{_RATE * _USUAL / size:.2g}")
        return Choice(rate, f"in inverse proportion to the cells, from {_RATE} for {_USUAL} (on paper)")

    def max_epochs(self) -> Choice:
        epochs, why = _between(self.corpus.pairs, "epochs")
        return Choice(round(epochs), why)

    def warmup_steps(self) -> Choice:
        best = min(max(_LEAST_WARMUP, self.steps // 50), _MOST_WARMUP)
        if 0 < self.steps < 2 * best:
            return Choice(self.steps // 2, "about half of a short run")
        if self.settings.training.time:
            return Choice(best, "that of all measured runs, but a tenth of the run at most")
        return Choice(best, "that of all measured runs" if best == _LEAST_WARMUP else "a fiftieth of a long run")

    def validate_every(self) -> Choice:
        cost = math.ceil(_COST / _SHARE * self.corpus.valid_pieces / self.batch)
        every = max(
            Choice(self.corpus.pieces // self.batch, "about once an epoch"),
            Choice(self.steps // _OFTEN, f"about {_OFTEN} in the run"),
            Choice(cost, f"so that they take about {_SHARE:.0%} of the time"),
        )
        seldom = Choice(self.steps // _SELDOM, f"{_SELDOM} in a short run")
        known = min(seldom, Choice(_MOST_STEPS, f"{_MOST_STEPS:,} steps at most"))
        value, why = min(every, known if self.steps else Choice(_MOST_OF_A_TIME, "the run may be short"))
        return Choice(max(1, value), why)


_CHOICES: Final[dict[str, Callable[[_Case], Choice]]] = {
    "training.batch_tokens": _Case.batch_tokens,
    "training.max_epochs": _Case.max_epochs,
    "model.hidden_size": _Case.hidden_size,
    "model.embedding_size": _Case.embedding_size,
    "model.dropout": _Case.dropout,
    "training.learning_rate": _Case.learning_rate,
    "training.warmup_steps": _Case.warmup_steps,
    "training.validate_every": _Case.validate_every,
}
"""In this order: the later ones look at what the earlier ones have chosen."""
