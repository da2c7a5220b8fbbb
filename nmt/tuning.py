"""The weights of a search that translate a validation set best: a grid is tried, then what lies around its best."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Final, Literal, NamedTuple, Self

from nmt.config import Settings
from nmt.errors import DataError, UsageError
from nmt.io.lines import OnBadUtf8, read_lines, unequal
from nmt.metrics import Score, ScoreOptions, compare, score_lines, tokenizer_for
from nmt.translate import Options, Translator
from nmt.translate.flow import OnLines


class Point(NamedTuple):
    """What is tuned."""

    lm_weight: float
    length_penalty: float


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


@dataclass(frozen=True)
class Plan:
    """What is tried: every combination of the axes' values; then, `rounds` times, with steps half as long as before,
    those around the best so far, none of them twice."""

    lm_weights: WeightValues = WeightValues((0.0, 0.1, 0.2, 0.3, 0.4), 0.1)
    length_penalties: WeightValues = WeightValues((0.0, 0.5, 1.0, 1.5), 0.5)
    rounds: int = 2
    usual_penalty: float = 1.0
    """The length penalty without tuning, which a point that is no better does not replace."""

    def with_usual(self, penalty: float) -> Self:
        """Try the length penalty that is used without tuning, too, wherever it lies."""
        axis = self.length_penalties
        if axis.step and penalty not in axis.values:
            axis = replace(axis, values=(*axis.values, penalty))
        return replace(self, length_penalties=axis, usual_penalty=penalty)

    @property
    def usual(self) -> Point:
        """What is used without tuning, among the points that are tried first: no language model."""
        weights, penalties = self.lm_weights, self.length_penalties
        weight = 0.0 if weights.step else weights.values[0]
        return Point(weight, self.usual_penalty if penalties.step else penalties.values[0])

    @property
    def most(self) -> int:
        """How many points it takes at most."""
        axes = (self.lm_weights, self.length_penalties)
        around: int = 3 ** sum(1 for axis in axes if axis.step) - 1
        return len(self.lm_weights.values) * len(self.length_penalties.values) + self.rounds * around


def try_points(score_of: Callable[[Point], Score], plan: Plan) -> Iterator[Tried]:
    """Try the points of a plan, each once, and give each as soon as its score is known."""
    weights: Sequence[float] = plan.lm_weights.values
    penalties: Sequence[float] = plan.length_penalties.values
    tried: list[Tried] = []
    for halvings in range(plan.rounds + 1):
        if halvings:
            best, share = best_of(tried, plan.usual_penalty).point, 0.5**halvings
            weights = plan.lm_weights.around(best.lm_weight, share)
            penalties = plan.length_penalties.around(best.length_penalty, share)
        known = {one.point for one in tried}
        for point in map(Point._make, product(weights, penalties)):
            if point not in known:
                tried.append(Tried(point, score_of(point)))
                yield tried[-1]


def best_of(tried: Sequence[Tried], usual_penalty: float) -> Tried:
    """Return the point of the highest score; of equal ones the smallest weight and the penalty nearest to the usual."""

    def rank(one: Tried) -> tuple[float, float, float, Point]:
        weight, penalty = one.point
        return -one.score.score, weight, abs(penalty - usual_penalty), one.point

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
        return ScoreOptions(metrics=(self.metric,), tokenizer=tokenizer_for(settings, self.tgt))


DEFAULT: Final = Plan()


def plan_for(*, with_language_model: bool, lm_weight: float | None, length_penalty: float | None) -> Plan:
    """Plan to try every weight that has no value yet, that of a language model if there is one; none: a UsageError."""
    plan = DEFAULT
    if lm_weight is not None or not with_language_model:
        plan = replace(plan, lm_weights=WeightValues((lm_weight or 0.0,)))
    if length_penalty is not None:
        plan = replace(plan, length_penalties=WeightValues((length_penalty,)))
    if not (plan.lm_weights.step or plan.length_penalties.step):
        given = "the length penalty is given, and there is no language model to weigh"
        if with_language_model:
            given = "the weight of the language model and the length penalty are both given"
        raise UsageError(f"there is nothing to tune: {given}")
    return plan
