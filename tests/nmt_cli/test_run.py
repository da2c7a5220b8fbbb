import json
from pathlib import Path

from typer.testing import CliRunner

from nmt_cli.main import app

runner = CliRunner()


def test_a_recipe_goes_from_text_to_scores_and_finished_stages_are_not_repeated(toy_text: Path, tmp_path: Path) -> None:
    arguments = ["run", str(toy_text / "toy.toml"), "--work", str(tmp_path / "w"), "--set", "training.max_steps=150"]
    first = runner.invoke(app, arguments)
    assert first.exit_code == 0, first.stderr
    assert "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp" in first.stdout
    assert "step 150: train loss" in first.stderr
    made = (tmp_path / "w" / "test" / "hypotheses.txt").stat().st_mtime_ns
    second = runner.invoke(app, arguments)
    assert second.stdout == first.stdout
    assert "data is up to date: nothing to do" in second.stderr
    assert "the run is at its last step already" in second.stderr
    assert "hypotheses.txt is up to date" in second.stderr
    assert (tmp_path / "w" / "test" / "hypotheses.txt").stat().st_mtime_ns == made
    assert len(json.loads((tmp_path / "w" / "test" / "scores.json").read_text())) == 3


def test_a_recipe_without_a_test_text_ends_with_the_model(toy_text: Path, tmp_path: Path) -> None:
    recipe = toy_text / "untested.toml"
    lines = (toy_text / "toy.toml").read_text().splitlines(keepends=True)
    recipe.write_text("".join(line for line in lines if not line.startswith("test_")))
    arguments = ["run", str(recipe), "--work", str(tmp_path / "w"), "--set", "training.max_steps=20"]
    result = runner.invoke(app, arguments)
    assert result.exit_code == 0, result.stderr
    assert result.stdout == ""
    assert "the recipe names no test text" in result.stderr
    assert (tmp_path / "w" / "model" / "model.safetensors").is_file()


def test_a_missing_recipe_is_one_line(tmp_path: Path) -> None:
    result = runner.invoke(app, ["run", str(tmp_path / "none.toml")])
    assert result.exit_code == 1
    assert result.stderr == f"error: cannot read recipe {tmp_path / 'none.toml'}: No such file or directory\n"
