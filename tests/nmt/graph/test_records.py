import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from nmt.config import Settings, change_settings
from nmt.graph.order import StageNode
from nmt.graph.records import carry_out, digest_of, look, size_of
from nmt.models.folder import LEXICON
from nmt.prepare.pipeline import prepare
from nmt.prepared import PreparedData
from tests.nmt.graph.conftest import MakeNodes

STAGES = """
[stages.data]
do = "prepare"

[stages.model]
do = "train"
needs = ["data"]

[stages.text]
do = "translate"
needs = ["model"]
source = "{source}"

[stages.scores]
do = "score"
needs = ["text"]
reference = "{source}"
"""


class Killed(BaseException):
    """What ends a process, here after a stage has begun."""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "text.src"
    path.write_text("bat\ncow\n")
    return path


class Recipe:
    """A recipe whose commands are quick: they copy what others have made, and are noted."""

    def __init__(self, nodes_of: Callable[..., list[StageNode]], source: Path, data: Path, model: Path) -> None:
        self._nodes_of, self._source = nodes_of, source
        self._results = {"prepare": data, "train": model}
        self.done = list[str]()
        self.places = list[Path]()
        self.kill = ""
        self.text = "bato\ncowo\n"

    def nodes(self, *overrides: str) -> list[StageNode]:
        return self._nodes_of(STAGES.format(source=self._source), overrides)

    def run(self, *overrides: str) -> list[str]:
        """Do what is to be done; return which commands that took."""
        self.done.clear()
        for node in self.nodes(*overrides):
            if not look(node).is_done:
                carry_out(node, self._command)
        return list(self.done)

    def states(self, *overrides: str) -> dict[str, list[str]]:
        undone, found = set[str](), dict[str, list[str]]()
        for node in self.nodes(*overrides):
            state = look(node, undone)
            undone |= set() if state.is_done else {node.name}
            found[node.name] = list(state.reasons)
        return found

    def _command(self, arguments: list[str], printed: Path | None) -> None:
        does = arguments[0]
        self.done.append(does)
        output = printed or Path(arguments[{"prepare": 1, "train": 2, "translate": 4}[does]])
        self.places.append(output)
        if does in self._results:
            shutil.copytree(self._results[does], output, dirs_exist_ok=True)
        if does == "train":
            (output / LEXICON).write_text(self.text)
        elif does != "prepare":
            output.write_text(self.text)
        if does == self.kill:
            raise Killed


@pytest.fixture
def recipe(nodes_of: MakeNodes, source: Path, toy_data: PreparedData, toy_model: Path) -> Recipe:
    return Recipe(nodes_of, source, toy_data.folder, toy_model)


ALL = ["prepare", "train", "translate", "score"]


def test_data_are_the_same_where_a_rule_rejects_no_other_pair(
    toy_data: PreparedData, toy_settings: Settings, tmp_path: Path
) -> None:
    for name, key, value in (("looser", "max_length_ratio", 7.0), ("stricter", "max_characters", 15)):
        prepare(tmp_path / name, change_settings(toy_settings, "data", {key: value}))
    assert digest_of(tmp_path / "looser", "data") == digest_of(toy_data.folder, "data")
    assert digest_of(tmp_path / "stricter", "data") != digest_of(toy_data.folder, "data")


def test_what_is_done_is_not_repeated(recipe: Recipe, tmp_path: Path) -> None:
    assert recipe.states() == {
        "data": ["not made yet"],
        "model": ["waits for data"],
        "text": ["waits for model"],
        "scores": ["waits for text"],
    }
    assert recipe.run() == ALL
    assert recipe.run() == []
    assert not any(recipe.states().values())
    assert {path.name for path in (tmp_path / "w").iterdir()} == {"data", "model", "text.txt", "scores.json", "stages"}


def test_changed_settings_repeat_a_stage_and_what_depends_on_it(recipe: Recipe) -> None:
    recipe.run()
    assert recipe.states("training.seed=7") == {
        "data": [],
        "model": ["training.seed: default -> 7"],
        "text": ["waits for model"],
        "scores": ["waits for text"],
    }
    assert recipe.run("training.seed=7") == ["train"], "the same model came out"
    recipe.text = "batu\n"
    assert recipe.run("training.seed=7", "search.beam_size=2") == ["translate", "score"]
    assert recipe.states("training.seed=8")["model"] == ["training.seed: 7 -> 8"]
    asked = recipe.states("training.seed=7", "search.beam_size=2", "search.length_penalty=1.0")["text"]
    assert asked == ["search.length_penalty: default -> 1.0"], "the model may have another one"


def test_content_decides_and_not_its_time_or_place(recipe: Recipe, source: Path, tmp_path: Path) -> None:
    recipe.run()
    source.write_text(source.read_text())
    (tmp_path / "w").rename(tmp_path / "moved")
    shutil.copytree(tmp_path / "moved", tmp_path / "w")
    assert recipe.run() == []
    source.write_text("bat\n")
    assert recipe.states()["text"] == ["source has changed"]


def test_a_result_that_is_gone_or_changed_is_made_again(recipe: Recipe, tmp_path: Path) -> None:
    recipe.run()
    (tmp_path / "w" / "text.txt").write_text("other\n")
    assert recipe.states()["text"] == ["its result has been changed"]
    (tmp_path / "w" / "text.txt").unlink()
    assert recipe.states()["text"] == ["its result is not there"]
    assert recipe.run() == ["translate"]


def test_another_order_of_models_is_another_result(
    nodes_of: MakeNodes, toy_data: PreparedData, toy_model: Path, tmp_path: Path
) -> None:
    stages = """
[stages.data]
do = "prepare"
[stages.one]
do = "train"
needs = ["data"]
[stages.two]
do = "train"
needs = ["data", "one"]
[stages.text]
do = "translate"
needs = ["one", "two"]
"""

    def run(stages: str) -> list[tuple[str, ...]]:
        states = list[tuple[str, ...]]()
        for node in nodes_of(stages):
            states.append(look(node).reasons)
            if states[-1]:
                carry_out(node, command)
        return states

    def command(arguments: list[str], printed: Path | None) -> None:
        does, *rest = arguments
        if does == "translate":
            Path(rest[3]).write_text("bato\n")
        else:
            made = Path(rest[0] if does == "prepare" else rest[1])
            shutil.copytree(toy_data.folder if does == "prepare" else toy_model, made, dirs_exist_ok=True)

    assert all(run(stages))
    assert not any(run(stages.replace('"data", "one"', '"one", "data"'))), "they are told apart by what they are"
    assert run(stages.replace('"one", "two"', '"two", "one"'))[3] == ("the order of what it needs has changed",)


def test_a_damaged_record_is_none(recipe: Recipe, tmp_path: Path) -> None:
    recipe.run()
    (tmp_path / "w" / "stages" / "text.json").write_text("{")
    assert recipe.states()["text"] == ["there is a result, but no record of it"]


@pytest.mark.parametrize("kill", ALL)
def test_after_a_kill_a_run_goes_on_with_the_stage_that_was_killed(recipe: Recipe, tmp_path: Path, kill: str) -> None:
    recipe.kill = kill
    with pytest.raises(Killed):
        recipe.run()
    begun = recipe.places[-1]
    recipe.kill = ""
    assert recipe.run() == ALL[ALL.index(kill) :]
    assert begun in recipe.places[-len(recipe.done) :], "where it was"
    assert recipe.run() == []


@pytest.mark.parametrize("kill", ALL[:3])
def test_an_old_result_stays_until_the_new_one_is_there(recipe: Recipe, tmp_path: Path, kill: str) -> None:
    recipe.run()
    results = (*(tmp_path / "w").glob("[!.]*"), *(tmp_path / "w" / "model").iterdir())
    before = {path: path.read_bytes() for path in results if path.is_file()}
    change = {"prepare": "data.seed=2", "train": "training.seed=2", "translate": "search.beam_size=2"}[kill]
    recipe.text, recipe.kill = "batu\n", kill
    with pytest.raises(Killed):
        recipe.run(change)
    assert {path: path.read_bytes() for path in before} == before
    recipe.kill = ""
    assert recipe.run(change)[0] == kill
    assert recipe.run(change) == []


def test_after_a_kill_before_the_result_is_put_in_place_the_command_finds_it_whole(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe.run()
    recipe.text = "batu\n"

    def kill(*paths: Path) -> None:
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr("nmt.graph.records.put_in_place", kill)
        recipe.run("training.seed=2")
    begun = recipe.places[-1]
    assert begun.is_dir()
    assert recipe.run("training.seed=2") == ["train", "translate", "score"]
    assert begun in recipe.places[-3:]


def test_an_unfinished_result_of_other_settings_is_not_gone_on_with(recipe: Recipe, tmp_path: Path) -> None:
    recipe.kill = "train"
    with pytest.raises(Killed):
        recipe.run()
    assert recipe.states()["model"] == ["begun, and not finished"]
    assert recipe.places[-1] == tmp_path / "w" / "model"
    recipe.kill = ""
    recipe.run("training.seed=2")
    assert recipe.places[1] == tmp_path / "w" / "model"
    assert tmp_path / "w" / "model" not in recipe.places[2:]
    assert recipe.run("training.seed=2") == []


def test_what_has_no_record_is_given_to_a_command_that_knows_whether_it_is_done(
    recipe: Recipe, toy_data: PreparedData, toy_model: Path, tmp_path: Path
) -> None:
    shutil.copytree(toy_data.folder, tmp_path / "w" / "data")
    shutil.copytree(toy_model, tmp_path / "w" / "model")
    recipe.run()
    assert recipe.places[:2] == [tmp_path / "w" / "data", tmp_path / "w" / "model"]
    assert recipe.run() == []


def test_a_record_says_what_a_result_was_made_from(recipe: Recipe, tmp_path: Path) -> None:
    recipe.run("training.seed=3")
    record = json.loads((tmp_path / "w" / "stages" / "model.json").read_text())
    assert record["made_from"]["does"] == "train"
    assert record["made_from"]["settings"]["training.seed"] == 3
    assert "training.threads" not in record["made_from"]["settings"]
    assert list(record["made_from"]["digests"]) == ["the result of data"]
    assert record["seconds"] >= 0


def test_the_size_of_a_model_is_without_its_checkpoints(toy_model: Path) -> None:
    size = size_of(toy_model, "model")
    assert (toy_model / "model.safetensors").stat().st_size < size
    assert size < sum(path.stat().st_size for path in toy_model.rglob("*") if path.is_file()) / 2
