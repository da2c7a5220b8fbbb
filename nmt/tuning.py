"""The weights of a search that translate a validation set best: a grid is tried, then what lies around its best; the
weights of models that rescore one after the other."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import prod
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, Self

from nmt.config import Settings
from nmt.errors import DataError, UsageError
from nmt.io.lines import OnBadUtf8, read_lines, unequal
from nmt.metrics import Score, ScoreOptions, compare, score_lines, tokenizer_for
from nmt.translate import Options, Translator
from nmt.translate.flow import OnLines


class Point(NamedTuple):
    """What is tuned, by the names of the settings of the search."""

    lm_weight: float
    length_penalty: float
    rescore_weight: float = 0.0
    reverse_weight: float = 0.0


class Tried(NamedTuple):
    """A point, and the score of its translations."""

    point: Point
    score: Score


@dataclass(frozen=True)
class WeightValues:
    """The values of one weight."""

    values: tuple[float, ...]
    """Those that are tried first."""
    step: float = 0.0
    """How far they lie apart; 0: the one value is not tuned."""

    def around(self, value: float, share: float) -> list[float]:
        """Return `value` and what lies a `share` of a step below and above it, none below 0."""
        found = (round(value + sign * share * self.step, 4) for sign in (-1, 0, 1))  # steps have no more digits
        return [one for one in found if one >= 0] if self.step else [value]


_NOT_TUNED: Final = WeightValues((0.0,))
_TOGETHER: Final = (("lm_weight", "length_penalty"), ("rescore_weight",), ("reverse_weight",))
"""What is tried in every combination: a language model makes translations shorter or longer, rescoring hardly does."""


@dataclass(frozen=True)
class Plan:
    """What is tried: every combination of the values of `lm_weight` and `length_penalty`, then, with the best of them,
    the weights of models that rescore, one after the other; then, `rounds` times, in the same way and with steps half
    as long as before, those around the best so far. Nothing is tried twice."""

    lm_weight: WeightValues = WeightValues((0.0, 0.1, 0.2, 0.3, 0.4), 0.1)
    length_penalty: WeightValues = WeightValues((0.0, 0.5, 1.0, 1.5), 0.5)
    rescore_weight: WeightValues = _NOT_TUNED
    reverse_weight: WeightValues = _NOT_TUNED
    rounds: int = 2
    usual_penalty: float = 1.0
    """The length penalty without tuning, which a point that is no better does not replace."""

    def axis(self, name: str) -> WeightValues:
        """Return the values of a weight by its name."""
        found: WeightValues = getattr(self, name)
        return found

    def with_usual(self, penalty: float) -> Self:
        """Try the length penalty that is used without tuning, too, wherever it lies."""
        axis = self.length_penalty
        if axis.step and penalty not in axis.values:
            axis = replace(axis, values=(*axis.values, penalty))
        return replace(self, length_penalty=axis, usual_penalty=penalty)

    @property
    def usual(self) -> Point:
        """What is used without tuning, among the points that are tried first: no other model."""
        values = [0.0 if self.axis(name).step else self.axis(name).values[0] for name in Point._fields]
        usual = Point(*values)
        return usual._replace(length_penalty=self.usual_penalty) if self.length_penalty.step else usual

    @property
    def most(self) -> int:
        """How many points it takes at most."""
        grids = [[self.axis(name) for name in names] for names in _TOGETHER]
        first = sum(prod(len(axis.values) for axis in grid) for grid in grids if any(axis.step for axis in grid))
        around: int = sum(3 ** sum(1 for axis in grid if axis.step) - 1 for grid in grids)
        return first + self.rounds * around


def try_points(score_of: Callable[[Point], Score], plan: Plan) -> Iterator[Tried]:
    """Try the points of a plan, each once, and give each as soon as its score is known."""
    tried: list[Tried] = []
    for halvings, names in product(range(plan.rounds + 1), _TOGETHER):
        best = best_of(tried, plan.usual_penalty).point if tried else plan.usual
        axes = {name: plan.axis(name) for name in names}
        if not any(axis.step for axis in axes.values()):
            continue
        values = [
            axis.around(getattr(best, name), 0.5**halvings) if halvings else axis.values for name, axis in axes.items()
        ]
        known = {one.point for one in tried}
        for combination in product(*values):
            point = best._replace(**dict(zip(names, combination, strict=True)))
            if point not in known:
                tried.append(Tried(point, score_of(point)))
                yield tried[-1]


def best_of(tried: Sequence[Tried], usual_penalty: float) -> Tried:
    """Return the point of the highest score; of equal ones the least weights and the penalty nearest to the usual."""

    def rank(one: Tried) -> tuple[float | Point, ...]:
        point = one.point
        weights = (point.lm_weight, point.rescore_weight, point.reverse_weight)
        return -one.score.score, *weights, abs(point.length_penalty - usual_penalty), point

    return min(tried, key=rank)


@dataclass(frozen=True)
class Validation:
    """A validation set, and how its translations are scored."""

    src: list[str]
    tgt: list[str]
    metric: Literal["bleu", "chrf"] = "bleu"

    @classmethod
    def read(cls, src: Path, tgt: Path, metric: Literal["bleu", "chrf"], on_bad_utf8: OnBadUtf8 = "error") -> Self:
        """Read two files that match line by line, and have lines, or there is a DataError."""
        src_lines, tgt_lines = (list(read_lines(path, on_bad_utf8)) for path in (src, tgt))
        if len(src_lines) != len(tgt_lines):
            raise unequal(src, len(src_lines), tgt, len(tgt_lines))
        if not src_lines:
            raise DataError(f"{src} has no lines; there is nothing to tune on")
        return cls(src_lines, tgt_lines, metric)

    def translate(
        self, translator: Translator, options: Options, point: Point, *, on_lines: OnLines = lambda lines, pieces: None
    ) -> list[str]:
        """Translate the source with the weights of `point`."""
        found = translator.translate(self.src, options.model_copy(update=point._asdict()), on_lines=on_lines)
        return [best.text for best, *_ in found]

    def trying(
        self, translator: Translator, options: Options, texts: dict[Point, list[str]]
    ) -> Callable[[Point, OnLines], Score]:
        """Return what scores a point by its translations, which are kept in `texts`."""

        def score_of(point: Point, on_lines: OnLines) -> Score:
            texts[point] = self.translate(translator, options, point, on_lines=on_lines)
            return self.score(texts[point], translator.settings)

        return score_of

    def score(self, hypotheses: Sequence[str], settings: Settings) -> Score:
        """Score translations; the settings are those of the model that made them."""
        return score_lines(hypotheses, self.tgt, self._scoring(settings))[0]

    def p_value(self, usual: Sequence[str], best: Sequence[str], settings: Settings) -> float:
        """Return the p of the difference of two translations by a paired bootstrap test (Koehn, 2004).

        Where the better one was chosen on the same text, only smaller values than otherwise are significant.
        """
        _, (found,) = compare([("usual", usual), ("best", best)], [self.tgt], self._scoring(settings))
        assert found.p_value is not None
        return found.p_value

    def _scoring(self, settings: Settings) -> ScoreOptions:
        tokenizer, lowercase = tokenizer_for(settings, self.tgt), settings.data.lowercase
        return ScoreOptions(metrics=(self.metric,), tokenizer=tokenizer, lowercase=lowercase)


DEFAULT: Final = Plan()


RESCORING: Final = WeightValues((0.0, 0.5, 1.0, 1.5), 0.5)
"""Weights of a model that rescores: 1 is that of the translating model itself."""


def plan_for(given: Mapping[str, float | None]) -> Plan:
    """Plan to try every weight that has no value yet; if there is none, that is a UsageError.

    Args:
        given: Values, or None for what is to be tuned, by the names of the settings; models that are not there have no
            entry.
    """
    tuned = {"lm_weight": DEFAULT.lm_weight, "length_penalty": DEFAULT.length_penalty}
    axes: dict[str, Any] = {}
    for name in Point._fields:
        value = given.get(name, 0.0)
        axes[name] = tuned.get(name, RESCORING) if value is None else WeightValues((value,))
    if not any(axis.step for axis in axes.values()):
        raise UsageError("there is nothing to tune: the length penalty is given, and the weight of every model")
    return replace(DEFAULT, **axes)
