import re
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from nmt.prepared import PreparedData
from nmt.shortlist import learn
from nmt.shortlist.learn import PAIRS, SIZE
from nmt.shortlist.lexicon import load_lexicon
from nmt_cli.main import app


def shortlist(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["shortlist", *map(str, arguments)])


@pytest.fixture
def model(toy_model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(toy_model, tmp_path / "model"))


def test_what_was_learnt_is_printed(model: Path, toy_data: PreparedData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learn, "SHORTLISTS", (16, 32))
    result = shortlist(model, toy_data.folder, "--size", "7", "--pairs", "50")
    assert (result.exit_code, result.stderr) == (0, "")
    learnt, *shares = result.stdout.splitlines()
    assert re.fullmatch(r"learnt from 50 pairs: translations of \d\d source pieces", learnt)
    pattern = r"a shortlist of +(\d+) holds \d+\.\d\d% of the validation references' pieces"
    assert [re.sub(pattern, r"\1", line) for line in shares] == ["16", "32"]
    assert load_lexicon(model).translations.shape[1] == 7


def test_without_options_the_defaults_of_the_help_are_used(model: Path, toy_data: PreparedData) -> None:
    result = shortlist(model, toy_data.folder)
    assert result.stdout.startswith(f"learnt from {len(toy_data.train_src)} pairs: ")
    assert load_lexicon(model).translations.shape[1] == SIZE
    text = shortlist("--help").stdout
    assert f"({SIZE})" in text
    assert f"({PAIRS})" in text


def test_a_model_with_a_lexicon_translates_as_before(model: Path, toy_data: PreparedData) -> None:
    shortlist(model, toy_data.folder, "--pairs", "50")
    result = CliRunner().invoke(app, ["translate", str(model), "--device", "cpu"], input="bat cow den\n")
    assert result.stdout == "bato cowo deno\n"


def test_what_cannot_be_used_is_one_line(model: Path, toy_data: PreparedData, tmp_path: Path) -> None:
    result = shortlist(tmp_path / "nowhere", toy_data.folder)
    line = f"error: model folder {tmp_path / 'nowhere'} does not exist\n"
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", line)
    result = shortlist(model, tmp_path / "nowhere")
    assert (result.exit_code, result.stdout) == (1, "")
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("arguments", [["model"], ["model", "data", "--size", "0"], ["model", "data", "--pairs", "0"]])
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    assert shortlist(*arguments).exit_code == 2


def test_a_copy_gets_the_lexicon_and_the_model_stays_as_it_is(
    model: Path, toy_data: PreparedData, tmp_path: Path
) -> None:
    before = {path.name for path in model.iterdir()}
    assert shortlist(model, toy_data.folder, "--output", tmp_path / "quick").exit_code == 0
    assert {path.name for path in model.iterdir()} == before
    assert load_lexicon(tmp_path / "quick").translations.shape[1] == SIZE
    assert not (tmp_path / "quick" / "checkpoints").exists()
    result = CliRunner().invoke(app, ["translate", str(tmp_path / "quick"), "--device", "cpu"], input="bat cow den\n")
    assert result.stdout == "bato cowo deno\n"
    used = shortlist(model, toy_data.folder, "--output", tmp_path / "quick")
    assert used.stderr == f"error: {tmp_path / 'quick'} holds files already; choose a new or empty folder\n"
