import itertools
from dataclasses import replace
from pathlib import Path

import pytest

from nmt.config import Settings, change_settings
from nmt.errors import ConfigError, DataError
from nmt.metrics import Score
from nmt.translate import Options, Translator
from nmt.tuning import RESCORING, Plan, Point, Tried, Validation, WeightValues, best_of, plan_for, try_points


def scored(value: float) -> Score:
    return Score("bleu", "BLEU", value, "signature")


def hill(weight: float, penalty: float, rescore: float = 0.0, reverse: float = 0.0) -> float:
    """The higher, the nearer to (0.13, 0.8, 0.7, 0.2)."""
    return 50 - 100 * (weight - 0.13) ** 2 - (penalty - 0.8) ** 2 - (rescore - 0.7) ** 2 - (reverse - 0.2) ** 2


SMALL = Plan(WeightValues((0.0, 0.2, 0.4), 0.2), WeightValues((0.0, 1.0), 1.0), rounds=2)


def test_a_grid_is_tried_then_twice_what_lies_around_its_best() -> None:
    tried = list(try_points(lambda point: scored(hill(*point)), SMALL))
    grid = [(0.0, 0.0), (0.0, 1.0), (0.2, 0.0), (0.2, 1.0), (0.4, 0.0), (0.4, 1.0)]
    # the best of the grid is (0.2, 1.0), of what lies around it (0.1, 1.0)
    first = [point for point in itertools.product((0.1, 0.2, 0.3), (0.5, 1.0, 1.5)) if point not in grid]
    second = list(itertools.product((0.05, 0.1, 0.15), (0.75, 1.0, 1.25)))
    second.remove((0.1, 1.0))
    assert [one.point[:2] for one in tried] == [*grid, *first, *second]
    assert best_of(tried, 1.0).point == Point(0.15, 0.75)
    assert len(tried) == SMALL.most == 6 + 8 + 8


def test_no_point_is_tried_twice_and_none_below_zero() -> None:
    asked: list[Point] = []

    def score_of(point: Point) -> Score:
        asked.append(point)
        return scored(-sum(point))

    tried = list(try_points(score_of, SMALL))
    assert len(set(asked)) == len(asked) == len(tried) < SMALL.most
    assert min(min(point) for point in asked) == 0.0
    assert best_of(tried, 1.0).point == Point(0.0, 0.0)


def test_a_fixed_weight_is_not_refined() -> None:
    plan = Plan(WeightValues((0.3,)), WeightValues((0.0, 1.0), 1.0), rounds=1)
    tried = list(try_points(lambda point: scored(point.length_penalty), plan))
    assert [one.point[:2] for one in tried] == [(0.3, 0.0), (0.3, 1.0), (0.3, 0.5), (0.3, 1.5)]
    assert plan.most == 4


def test_values_are_round_numbers() -> None:
    tried = list(try_points(lambda point: scored(hill(*point)), Plan()))
    assert all(value == round(value, 4) for one in tried for value in one.point)
    assert best_of(tried, 1.0).point == Point(0.125, 0.75)


def test_of_equal_points_the_one_of_the_smallest_weight_and_the_usual_penalty_is_best() -> None:
    points = [Point(0.2, 0.0), Point(0.1, 1.0), Point(0.1, 0.5), Point(0.0, 0.0)]
    tried = [Tried(point, scored(value)) for point, value in zip(points, (2, 2, 2, 1), strict=True)]
    assert best_of(tried, 1.0).point == Point(0.1, 1.0)
    assert best_of(tried, usual_penalty=0.6).point == Point(0.1, 0.5)


def test_where_nothing_is_better_the_usual_penalty_stays() -> None:
    plan = Plan(WeightValues((0.0,)), usual_penalty=0.5)
    assert best_of(list(try_points(lambda point: scored(0.0), plan)), plan.usual_penalty).point == Point(0.0, 0.5)


def test_the_usual_penalty_is_tried_too_wherever_it_lies() -> None:
    plan = SMALL.with_usual(0.6)
    tried = list(try_points(lambda point: scored(0.0), plan))
    assert plan.usual == Point(0.0, 0.6)
    assert plan.usual in [one.point for one in tried[:9]]
    assert best_of(tried, plan.usual_penalty).point == plan.usual
    assert SMALL.with_usual(1.0).length_penalty == SMALL.length_penalty


def test_what_is_given_is_not_compared_with_what_it_is_given_instead_of() -> None:
    assert Plan(WeightValues((0.3,)), WeightValues((0.0, 1.0), 1.0)).with_usual(0.7).usual == Point(0.3, 0.7)
    assert Plan(length_penalty=WeightValues((0.2,))).with_usual(0.7).usual == Point(0.0, 0.2)


def test_what_is_always_better_is_no_chance_and_what_is_the_same_may_be() -> None:
    validation = Validation(["-"] * 50, [f"the cat {number} sat on the mat" for number in range(50)])
    worse = [line.replace("sat on", "ran") for line in validation.tgt]
    assert validation.p_value(worse, validation.tgt, Settings()) < 0.01
    assert validation.p_value(worse, worse, Settings()) == 1.0


def test_what_has_no_value_yet_is_planned() -> None:
    both = plan_for({"lm_weight": None, "length_penalty": None})
    assert both == Plan()
    weight = plan_for({"lm_weight": None, "length_penalty": 0.7})
    assert (weight.lm_weight, weight.length_penalty) == (Plan().lm_weight, WeightValues((0.7,)))
    penalty = plan_for({"lm_weight": 0.3, "length_penalty": None})
    assert (penalty.lm_weight, penalty.length_penalty) == (WeightValues((0.3,)), Plan().length_penalty)
    alone = plan_for({"length_penalty": None})
    assert (alone.lm_weight, alone.length_penalty) == (WeightValues((0.0,)), Plan().length_penalty)
    reverse = plan_for({"length_penalty": 1.0, "rescore_weight": 0.4, "reverse_weight": None})
    assert (reverse.rescore_weight, reverse.reverse_weight) == (WeightValues((0.4,)), RESCORING)


def test_weights_of_models_that_rescore_are_tried_one_after_the_other_from_the_best_so_far() -> None:
    rescoring = WeightValues((0.0, 1.0), 1.0)
    plan = replace(SMALL, rescore_weight=rescoring, reverse_weight=rescoring, rounds=1)
    tried = [one.point for one in try_points(lambda point: scored(hill(*point)), plan)]
    # the best of the first grid is (0.2, 1.0), of what lies around it (0.1, 1.0)
    assert tried[:6] == [Point(*pair) for pair in itertools.product((0.0, 0.2, 0.4), (0.0, 1.0))]
    assert tried[6:8] == [Point(0.2, 1.0, 1.0), Point(0.2, 1.0, 1.0, 1.0)]
    assert {point[2:] for point in tried[8:16]} == {(1.0, 0.0)}
    assert tried[16:] == [Point(0.1, 1.0, 0.5), Point(0.1, 1.0, 1.5), Point(0.1, 1.0, 0.5, 0.5)]
    assert len(tried) < plan.most == 6 + 2 + 2 + 8 + 2 + 2


def test_without_tuning_no_model_rescores_and_a_weight_that_is_given_stays() -> None:
    plan = plan_for({"length_penalty": None, "rescore_weight": None, "reverse_weight": 0.4})
    assert plan.usual == Point(0.0, 1.0, 0.0, 0.4)
    assert best_of([Tried(Point(0.0, 1.0, weight), scored(1)) for weight in (0.5, 0.0)], 1.0).point.rescore_weight == 0


def test_nothing_to_tune_is_an_error() -> None:
    nothing = "^there is nothing to tune: the length penalty is given, and the weight of every model$"
    for given in ({"length_penalty": 1.0}, {"length_penalty": 1.0, "lm_weight": 0.1, "reverse_weight": 0.0}):
        with pytest.raises(ConfigError, match=nothing):
            plan_for(given)


def test_validation_text_is_read_whole(tmp_path: Path) -> None:
    src, tgt = tmp_path / "src", tmp_path / "tgt"
    src.write_text("a b\nc\n")
    tgt.write_text("x\ny z\n")
    assert Validation.read(src, tgt, "chrf") == Validation(["a b", "c"], ["x", "y z"], "chrf")
    tgt.write_text("x\n")
    with pytest.raises(DataError, match=r"src has 2 lines but .*tgt has 1; parallel files must match$"):
        Validation.read(src, tgt, "bleu")
    src.write_text("")
    tgt.write_text("")
    with pytest.raises(DataError, match=r"src has no lines; there is nothing to tune on$"):
        Validation.read(src, tgt, "bleu")


def test_the_score_of_a_point_is_that_of_its_translations(toy_model: Path) -> None:
    translator = Translator.load(toy_model, device="cpu", precision="fp32")
    right = Validation(["bat cow den fig", "hat jam kit log"], ["bato cowo deno figo", "hato jamo kito logo"])
    texts = right.translate(translator, Options(), Point(0.0, 1.0))
    found = right.score(texts, translator.settings)
    assert (found.metric, found.score) == ("bleu", pytest.approx(100.0))
    # without words to lose: as short as a translation can be
    half = Validation(right.src, ["bato cowo", "hato jamo"], "chrf")
    found = half.score(texts, translator.settings)
    assert found.metric == "chrf"
    assert found.score < 100


def test_a_point_of_a_model_that_reads_small_letters_is_scored_without_regard_to_case(toy_model: Path) -> None:
    translator = Translator.load(toy_model, device="cpu", precision="fp32")
    small = change_settings(translator.settings, "data", {"lowercase": True})
    shown = Validation(["BAT cow DEN fig"], ["Bato COWO deno figo"])
    texts = shown.translate(replace(translator, settings=small), Options(), Point(0.0, 1.0))
    assert shown.score(texts, small).score == pytest.approx(100)
    assert shown.score(texts, translator.settings).score < 50


def test_the_words_of_chinese_are_found_where_a_point_is_scored(toy_model: Path) -> None:
    translator = Translator.load(toy_model, device="cpu", precision="fp32")
    chinese = Validation(["bat cow den fig"], ["小狗在花园里跑得很快。"])
    assert "|tok:zh|" in chinese.score(["小狗"], translator.settings).signature
