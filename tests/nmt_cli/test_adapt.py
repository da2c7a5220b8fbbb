import json
import re
import shutil
from pathlib import Path

from typer.testing import CliRunner, Result

from nmt.models.folder import LEXICON
from nmt.prepared import PreparedData
from nmt_cli.main import app


def adapt(model: Path, data: PreparedData, text: str, folder: Path, *options: str) -> Result:
    corrections = folder / "corrections.tsv"
    corrections.write_text(text, encoding="utf-8")
    arguments = ["adapt", model, corrections, "-o", folder / "new", "--data", data.folder, *options]
    return CliRunner().invoke(app, list(map(str, arguments)))


def test_what_it_did_to_the_corrected_lines_and_the_rest_is_printed(
    toy_model: Path, toy_data: PreparedData, tmp_path: Path
) -> None:
    result = adapt(toy_model, toy_data, "bat cow den\tbato hato deno\nbat\tbato\n", tmp_path)
    assert result.exit_code == 0, result.stderr
    first, second, counts, guard = result.stdout.splitlines()
    assert first == "bato cowo deno -> bato hato deno"
    assert second == "bato -> bato (not learnt, as it was translated so already)"
    assert counts == "learnt: 1 of 2"
    number = r"\d+\.\d+"
    pattern = rf"\d+ validation pairs without these words: loss {number} -> {number}, BLEU {number} -> {number}"
    assert re.fullmatch(pattern, guard)
    rule, following = result.stderr.splitlines()
    assert rule.startswith("2 corrections, learnt together until all are learnt and 90% of what ")
    assert following == f"next: nmt translate {tmp_path / 'new'} FILE"


def test_a_child_of_a_model_that_has_a_lexicon_is_said_to_have_none(
    toy_model: Path, toy_data: PreparedData, tmp_path: Path
) -> None:
    model, larger = shutil.copytree(toy_model, tmp_path / "model"), tmp_path / "larger"
    assert CliRunner().invoke(app, ["shortlist", str(model), str(toy_data.folder)]).exit_code == 0
    said = f"{{}} has no lexicon, as {model} has: nmt shortlist {{}} {{}} learns one"
    result = adapt(model, toy_data, "bat cow den\tbato hato deno\n", tmp_path)
    child = tmp_path / "new"
    assert said.format(child, child, toy_data.folder) in result.stderr.splitlines()
    assert not (child / LEXICON).exists()
    result = CliRunner().invoke(app, ["vocabulary", "add", str(model), "-o", str(larger), "--pieces", " bathat"])
    assert said.format(larger, larger, "DATA_DIR") in result.stderr.splitlines()


def test_so_is_what_is_averaged_or_trained_further(toy_model: Path, toy_data: PreparedData, tmp_path: Path) -> None:
    model, mean, trained = (tmp_path / name for name in ("model", "mean", "trained"))
    shutil.copytree(toy_model, model)
    average = ["average", model, mean, "--last", "1"]
    train = ["train", toy_data.folder, trained, "--from", model, "--set", "training.max_steps=1"]
    run, line = CliRunner(), f"{{0}} has no lexicon, as {model} has: nmt shortlist {{0}} {{1}} learns one"
    assert "lexicon" not in run.invoke(app, list(map(str, average))).stderr
    shutil.rmtree(mean)
    assert run.invoke(app, ["shortlist", str(model), str(toy_data.folder)]).exit_code == 0
    assert line.format(mean, "DATA_DIR") in run.invoke(app, list(map(str, average))).stderr.splitlines()
    shutil.rmtree(mean)
    validated = run.invoke(app, [*map(str, average), "--data", str(toy_data.folder)])
    assert line.format(mean, toy_data.folder) in validated.stderr.splitlines()
    further = run.invoke(app, list(map(str, train)))
    assert line.format(trained, toy_data.folder) in further.stderr.splitlines()
    assert run.invoke(app, ["shortlist", str(trained), str(toy_data.folder)]).exit_code == 0
    assert "has no lexicon" not in run.invoke(app, list(map(str, train))).stderr


def test_new_pieces_are_named(toy_model: Path, toy_data: PreparedData, tmp_path: Path) -> None:
    result = adapt(toy_model, toy_data, "bat cow den\tbato bathato deno\n", tmp_path)
    assert result.stdout.splitlines()[1] == "1 new piece: \u2581bathato"


def test_the_same_as_json(toy_model: Path, toy_data: PreparedData, tmp_path: Path) -> None:
    result = adapt(toy_model, toy_data, "bat cow den\tbato hato deno\n", tmp_path, "--json")
    found = json.loads(result.stdout)
    assert found["corrections"] == [
        {
            "target": "bato hato deno",
            "before": "bato cowo deno",
            "after": "bato hato deno",
            "learnt": True,
            "reason": "",
        }
    ]
    assert found["new_pieces"] == []
    assert found["guard"].keys() == {"pairs", "before", "after"}


def test_a_line_without_a_tab_is_an_error(toy_model: Path, toy_data: PreparedData, tmp_path: Path) -> None:
    result = adapt(toy_model, toy_data, "bat cow den\n", tmp_path)
    assert result.exit_code == 1
    assert "corrections.tsv, line 1: found 1 column" in result.stderr
    assert not (tmp_path / "new").exists()
