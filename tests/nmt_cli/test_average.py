import re
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from nmt.prepared import PreparedData
from nmt_cli.main import app


def average(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["average", *map(str, arguments)])


def test_the_averaged_steps_are_printed(toy_model: Path, tmp_path: Path) -> None:
    result = average(toy_model, tmp_path / "out", "--last", "2")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "averaged steps: 150 300\n", "")


def test_the_average_of_one_checkpoint_is_called_a_copy(toy_model: Path, tmp_path: Path) -> None:
    result = average(toy_model, tmp_path / "out", "--last", "1")
    assert (result.exit_code, result.stdout) == (0, "averaged steps: 300\n")
    assert result.stderr == f"there was one checkpoint to average: {tmp_path / 'out'} holds a copy of its weights\n"


def test_where_there_are_fewer_checkpoints_than_asked_for_all_are_averaged(toy_model: Path, tmp_path: Path) -> None:
    result = average(toy_model, tmp_path / "out", "--last", "3")
    assert (result.exit_code, result.stdout) == (0, "averaged steps: 150 300\n")
    assert result.stderr == f"{toy_model} holds no more than 2 checkpoints, not 3: all are averaged\n"


def test_with_data_the_average_is_validated(toy_model: Path, toy_data: PreparedData, tmp_path: Path) -> None:
    result = average(toy_model, tmp_path / "out", "--last", "1", "--data", toy_data.folder)
    assert result.exit_code == 0, result.stderr
    steps, scores = result.stdout.splitlines()
    assert steps == "averaged steps: 300"
    assert re.fullmatch(r"validation: loss 0\.\d{4}, perplexity 1\.\d\d, BLEU \d{2,3}\.\d\d", scores)


def test_every_validation_set_of_the_data_is_told_of(
    toy_model: Path, toy_data: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = replace(toy_data, valid_sets=(toy_data.valid, replace(toy_data.valid, name="news")))
    monkeypatch.setattr("nmt.prepared.open_data", lambda folder: sets)
    result = average(toy_model, tmp_path / "out", "--last", "1", "--data", "data")
    assert result.exit_code == 0, result.stderr
    _, first, second = result.stdout.splitlines()
    assert second == first.replace("validation: ", "validation on news: ")


def test_the_new_model_translates(toy_model: Path, tmp_path: Path) -> None:
    average(toy_model, tmp_path / "out", "--last", "1")
    result = CliRunner().invoke(app, ["translate", str(tmp_path / "out"), "--device", "cpu"], input="bat cow den\n")
    assert result.stdout == "bato cowo deno\n"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [(["nowhere", "out"], "model folder nowhere does not exist"), ([".", "out"], ". holds no checkpoints to average")],
)
def test_what_cannot_be_averaged_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], line: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = average(*arguments)
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", f"error: {line}\n")


def test_data_that_are_not_there_are_one_line(toy_model: Path, tmp_path: Path) -> None:
    result = average(toy_model, tmp_path / "out", "--data", tmp_path / "nowhere")
    assert (result.exit_code, result.stdout) == (1, "")
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("arguments", [["model"], ["model", "out", "--last", "0"]])
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    assert average(*arguments).exit_code == 2
