import json
import re
from pathlib import Path

from typer.testing import CliRunner, Result

from nmt_cli.main import app

runner = CliRunner()


def test_a_recipe_goes_from_text_to_scores_and_finished_stages_are_not_repeated(toy_text: Path, tmp_path: Path) -> None:
    arguments = ["run", str(toy_text / "toy.toml"), "--work", str(tmp_path / "w"), "--set", "training.max_steps=150"]
    first = runner.invoke(app, arguments)
    assert first.exit_code == 0, first.stderr
    assert "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp" in first.stdout
    assert "step 150: train loss" in first.stderr
    assert f"next: nmt translate {tmp_path / 'w' / 'model'} FILE; nmt plot " in first.stderr.splitlines()[-1]
    made = (tmp_path / "w" / "test" / "hypotheses.txt").stat().st_mtime_ns
    second = runner.invoke(app, arguments)
    assert second.stdout == first.stdout
    assert "data is up to date: nothing to do" in second.stderr
    assert "the run is already at its last step" in second.stderr
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


def test_a_tag_that_the_data_lack_is_refused_before_the_training(toy_text: Path, tmp_path: Path) -> None:
    arguments = ["run", str(toy_text / "toy.toml"), "--work", str(tmp_path / "w"), "--set", "data.test_tag=<a>"]
    result = runner.invoke(app, arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.endswith("error: data.test_tag: the model knows no tag <a>\n")
    assert not (tmp_path / "w" / "model").exists()


def test_a_missing_recipe_is_one_line(tmp_path: Path) -> None:
    result = runner.invoke(app, ["run", str(tmp_path / "none.toml")])
    assert result.exit_code == 1
    assert result.stderr == f"error: cannot read recipe {tmp_path / 'none.toml'}: No such file or directory\n"


TEXT_RECIPE = """
[data]
train_text = ["train.src"]
valid_text = "valid.src"
test_text = "test.src"

[tokenizer]
kind = "word"
vocab_size = 20

[model]
kind = "lm"
embedding_size = 16
hidden_size = 16

[training]
segment_rows = 5
segment_steps = 8
learning_rate = 0.01
warmup_steps = 5
max_steps = 60
validate_every = 30
checkpoint_every = 30
precision = "fp32"
threads = 1
tensorboard = false
"""


def run_text(toy_text: Path, work: Path, *changes: str, left_out: str = "nothing") -> Result:
    recipe = work.parent / "text.toml"
    kept = [line for line in TEXT_RECIPE.splitlines() if not line.startswith(left_out)]
    recipe.write_text("\n".join(kept))
    return runner.invoke(app, ["run", str(recipe), "--work", str(work), "--set", f"data.root={toy_text}", *changes])


def test_a_recipe_with_text_tells_the_perplexity_of_the_test_text(toy_text: Path, tmp_path: Path) -> None:
    first = run_text(toy_text, tmp_path / "w")
    assert first.exit_code == 0, first.stderr
    test_words = (toy_text / "test.src").read_text().split()
    found = re.fullmatch(r"PPL    {1,3}([\d.]+)  words:(\d+)\|lines:20\|unknown:0\|state:carried\n", first.stdout)
    assert found is not None, first.stdout
    assert 8 < float(found[1]) < 14  # ten words, equally likely, and the ends of lines
    assert int(found[2]) == len(test_words) + 20
    assert "pieces/s" in first.stderr
    assert "validation perplexity" in first.stderr
    kept = json.loads((tmp_path / "w" / "test" / "scores.json").read_text())
    assert f"{kept['perplexity']:.2f}" == found[1]
    made = (tmp_path / "w" / "test" / "scores.json").stat().st_mtime_ns
    second = run_text(toy_text, tmp_path / "w")
    assert second.stdout == first.stdout
    assert "the run is already at its last step" in second.stderr
    assert (tmp_path / "w" / "test" / "scores.json").stat().st_mtime_ns == made


def test_text_without_a_test_text_ends_with_the_model(toy_text: Path, tmp_path: Path) -> None:
    result = run_text(toy_text, tmp_path / "w", "--set", "training.max_steps=10", left_out="test_text")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "the recipe names no test text (data.test_text); the model is" in result.stderr
    assert (tmp_path / "w" / "model" / "model.safetensors").is_file()


def test_a_kind_of_model_that_cannot_learn_from_the_text_is_refused_before_anything_is_done(
    toy_text: Path, tmp_path: Path
) -> None:
    result = run_text(toy_text, tmp_path / "w", "--set", "model.kind=translation")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        'error: model.kind = "translation" learns from pairs, but data.train_text names text for a language model; '
        'set model.kind = "lm", or leave it unset\n'
    )
    arguments = ["run", str(toy_text / "toy.toml"), "--work", str(tmp_path / "w"), "--set", "model.kind=lm"]
    result = runner.invoke(app, arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith('error: model.kind = "lm" learns from the text of data.train_text, but data.train_')
    assert not (tmp_path / "w").exists()


def test_wishes_that_a_language_model_cannot_grant_are_one_line(toy_text: Path, tmp_path: Path) -> None:
    result = run_text(toy_text, tmp_path / "w", "--set", "training.best_by=bleu")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.splitlines()[-1] == (
        'error: training.best_by = "bleu" needs translations; for a language model leave it unset'
    )
