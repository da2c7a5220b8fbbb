import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nmt.config import Settings, TrainingSettings
from nmt.errors import NmtError
from nmt.graph.forecast import StageForecast, foretell_stages
from nmt.graph.order import StageNode
from nmt.search import engine
from nmt.search.protocol import Hypothesis
from nmt.translate import Translator
from tests.nmt.graph.conftest import MakeNodes

CHAIN = """
[stages.data]
do = "prepare"

[stages.swapped]
do = "prepare"
needs = ["data"]
set.tokenizer.file = "{data}"
[stages.swapped.set.data]
train_src = []
train_tgt = []
corpora = [{ src = "train.src", tgt = "train.tgt", reversed = true }]

[stages.backward]
do = "train"
needs = ["swapped"]

[stages.synthetic]
do = "backtranslate"
needs = ["backward"]
text = "train.tgt"

[stages.more]
do = "prepare"
needs = ["data", "synthetic"]
set.tokenizer.file = "{data}"
set.data.corpora = [{ path = "{synthetic}" }]
set.data.drop_duplicates = false

[stages.one]
do = "train"
needs = ["more"]

[stages.two]
do = "train"
needs = ["more"]
set.training.seed = 2

[stages.taught]
do = "distil"
needs = ["one", "two", "data"]

[stages.quick]
do = "shortlist"
needs = ["one", "data"]

[stages.text]
do = "translate"
needs = ["quick"]

[stages.scores]
do = "score"
needs = ["text"]
"""


class Recipe:
    """A recipe that is foretold; trainings are taken to last a second for each epoch."""

    def __init__(self, nodes_of: MakeNodes) -> None:
        self._nodes_of = nodes_of
        self.trained = list[TrainingSettings]()
        self.fails = ""

    def foretell(self, stages: str, *overrides: str) -> dict[str, StageForecast]:
        """Do without commands: a shortlist is a copy of a model."""

        def load(work: Path) -> list[StageNode]:
            return self._nodes_of(stages, overrides, work)

        found = foretell_stages(self._nodes_of(stages, overrides), load, self._run)
        return {node.name: forecast for node, _, forecast in found}

    def rehearse(self, data: object, model_dir: Path, settings: Settings, **rest: object) -> tuple[None, Any]:
        self.trained.append(settings.training)
        return None, SimpleNamespace(seconds=float(settings.training.max_epochs))

    def _run(self, arguments: list[str], output: Path | None) -> None:
        if arguments[0] == self.fails:
            raise NmtError("the disk is full")
        if arguments[0] == "shortlist":
            shutil.copytree(arguments[1], arguments[4])


@pytest.fixture
def recipe(nodes_of: MakeNodes, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    recipe = Recipe(nodes_of)
    monkeypatch.setattr("nmt.graph.forecast.rehearse", recipe.rehearse)
    return recipe


def test_every_stage_is_foretold_before_anything_is_done_and_what_is_alike_is_timed_once(
    recipe: Recipe, tmp_path: Path
) -> None:
    found = recipe.foretell(CHAIN)
    assert list(found) == [
        *("data", "swapped", "backward", "synthetic", "more", "one", "two", "taught", "quick", "text", "scores")
    ]
    assert {name for name, forecast in found.items() if not forecast.seconds} == set()
    assert not any(forecast.at_most or forecast.why for forecast in found.values())
    assert len(recipe.trained) == 1
    assert not (tmp_path / "w").exists()


def test_data_that_stand_in_for_more_are_trained_on_so_much_longer(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nmt.graph.forecast._PREPARED", 100)
    stages = CHAIN.partition("[stages.taught]")[0]
    found = recipe.foretell(stages, "training.max_steps=0", "training.max_epochs=3", "training.patience=2")
    [training] = recipe.trained
    assert training.max_epochs == 12
    backward, one = found["backward"], found["one"]
    assert (backward.seconds, backward.at_most) == (12.0, True)
    assert one.seconds == pytest.approx(24, rel=0.1), "it has twice the pairs"


def test_what_cannot_be_tried_is_unknown_with_all_that_needs_it(recipe: Recipe) -> None:
    recipe.fails = "shortlist"
    found = recipe.foretell(CHAIN)
    assert found["quick"] == StageForecast(None, "unknown: the disk is full")
    assert found["text"] == StageForecast(None, "unknown before quick")
    assert found["scores"] == StageForecast(None, "unknown before text")
    assert found["taught"].seconds


def test_of_a_kind_that_is_not_timed_the_results_are_tried_all_the_same(recipe: Recipe) -> None:
    stages = CHAIN.partition("[stages.taught]")[0] + (
        '[stages.mean]\ndo = "average"\nneeds = ["one"]\n[stages.text]\ndo = "translate"\nneeds = ["mean"]\n'
    )
    found = recipe.foretell(stages)
    assert found["mean"] == StageForecast(None, "unknown: nothing of it can be timed beforehand")
    assert found["text"].seconds


def test_a_language_model_and_what_is_tuned_beside_it_are_foretold(recipe: Recipe) -> None:
    stages = (
        '[stages.data]\ndo = "prepare"\n[stages.model]\ndo = "train"\nneeds = ["data"]\n'
        '[stages.target]\ndo = "prepare"\nneeds = ["data"]\nset.tokenizer.file = "{data}"\n'
        'set.data.train_text = ["train.tgt"]\n[stages.lm]\ndo = "train"\nneeds = ["target"]\n'
        '[stages.tuned]\ndo = "tune"\nneeds = ["model", "lm"]\n'
        '[stages.mean]\ndo = "average"\nneeds = ["lm"]\n'
        '[stages.text]\ndo = "translate"\nneeds = ["model", "mean", "tuned"]\n'
    )
    seconds = {name: forecast.seconds for name, forecast in recipe.foretell(stages).items()}
    assert [name for name, known in seconds.items() if not known] == ["mean"]
    assert (seconds["tuned"] or 0) > (seconds["text"] or 0), "it translates as much many times"


def test_models_that_rescore_are_timed_and_weighed(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = list[tuple[list[str], str | None]]()
    load = Translator.load

    def noted(*folders: Path, **how: Any) -> Translator:
        if "rescoring" in how:  # not those of the models themselves
            loaded.append(([path.name for path in how["rescoring"]], how["reverse"] and how["reverse"].name))
        return load(*folders, **how)

    monkeypatch.setattr("nmt.graph.forecast.Translator.load", noted)
    train = 'do = "train"\nneeds = ["data"]\n'
    beside = 'right_to_left = "r2l"\nreverse_model = "back"\n'
    stages = (
        f'[stages.data]\ndo = "prepare"\n[stages.model]\n{train}[stages.back]\n{train}set.training.seed = 2\n'
        f"[stages.r2l]\n{train}set.model.right_to_left = true\n"
        f'[stages.tuned]\ndo = "tune"\nneeds = ["model"]\n{beside}'
        f'[stages.text]\ndo = "translate"\nneeds = ["model", "tuned"]\n{beside}'
        '[stages.taught]\ndo = "distil"\nneeds = ["model", "data"]\nrescore = ["back", "r2l"]\n'
    )
    found = recipe.foretell(stages)
    assert not any(forecast.why for forecast in found.values())
    assert loaded == [(["r2l"], "back"), (["r2l"], "back"), (["back", "r2l"], None)]
    alone = recipe.foretell(stages.replace(beside, ""))
    most = {name: forecast.seconds or 0.0 for name, forecast in found.items()}
    assert most["tuned"] > 2 * (alone["tuned"].seconds or 0.0), "of three weights more points are tried"


def test_the_time_in_which_a_second_model_judges_is_added(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, tags = 0.0, set[str | None]()

    def followed(translator: Translator, pairs: list[tuple[str, str]], *, tag: str | None = None) -> list[Hypothesis]:
        nonlocal clock
        clock += len(pairs)  # a second for each pair that a model reads
        tags.add(tag)
        return [Hypothesis((), 0.0, -1.0) for _ in pairs]

    monkeypatch.setattr("nmt.synthesis.judging.follow", followed)
    monkeypatch.setattr("nmt.graph.forecast.time", SimpleNamespace(perf_counter=lambda: clock))
    begin, _, end = CHAIN.partition("[stages.more]")[0].rpartition('needs = ["backward"]\n')
    second = f'{begin}needs = ["backward", "forward"]\nworkers = 2\nforward_tag = "<news>"\n{end}'
    second += '[stages.forward]\ndo = "train"\nneeds = ["data"]\n'
    how = ("search.beam_size=1", 'tokenizer.symbols=["<news>"]')
    assert recipe.foretell(f'{begin}needs = ["backward"]\n{end}', *how)["synthetic"].seconds == 0.0
    seconds = recipe.foretell(second, *how)["synthetic"].seconds
    assert seconds == pytest.approx(2 * 400, rel=0.05), "each pair is read by both, in one process"
    assert tags == {None, "<news>"}


def test_a_beam_is_foretold_by_steps_that_end_little_later_than_its_translations(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = 0.0

    def counted(model: Any, steps: int, both: tuple[Any, Any]) -> Any:
        nonlocal clock
        clock += int((~both[1].over()).sum())  # a second for each step of a sentence
        return advanced(model, steps, both)

    advanced = engine._advanced
    monkeypatch.setattr(engine, "_advanced", counted)
    monkeypatch.setattr("nmt.graph.forecast.time", SimpleNamespace(perf_counter=lambda: clock))
    stages = (
        '[stages.data]\ndo = "prepare"\n[stages.model]\ndo = "train"\nneeds = ["data"]\n'
        '[stages.text]\ndo = "translate"\nneeds = ["model"]\n'
    )

    def seconds(*overrides: str) -> float:
        return recipe.foretell(stages, *overrides)["text"].seconds or 0.0

    greedy, plain, usual, long = (
        seconds("search.beam_size=1"),
        *(seconds(f"search.length_penalty={penalty}") for penalty in (0, 1)),
        seconds("search.length_penalty=1", "search.max_length_ratio=8"),
    )
    assert greedy == plain > 20, "without a penalty nothing is looked for behind the first end"
    assert 1.1 * plain < usual < 1.6 * plain
    assert usual < long < 2 * usual, "the longer a translation may be, the longer it may have to be looked for"
