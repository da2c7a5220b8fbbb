"""Data, models and a run that version 0.1.0 wrote (commit 7ec3e75) are read as that version read them.

`written_before.tar.xz` holds what it made of 300 sentences of the toy language of `tests/conftest.py`: prepared pairs
and a prepared text, a model of each cell (24 units, 200 updates), one of them with its last checkpoint and a lexicon
for shortlists, a language model, and in `expected.json` what it said of them, in fp32.
"""

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from nmt_cli.main import app

CELLS = ("lstm", "gru", "rnn", "rnn_relu", "peephole_lstm", "layer_norm_lstm", "cho_gru", "ssru")


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with all of it."""
    folder = tmp_path_factory.mktemp("before")
    with tarfile.open(Path(__file__).with_name("written_before.tar.xz")) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture(scope="module")
def expected(before: Path) -> dict[str, Any]:
    """What was said of it."""
    found: dict[str, Any] = json.loads((before / "expected.json").read_text(encoding="utf-8"))
    return found


def stdout_of(*arguments: object) -> list[str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()


def test_there_is_a_model_of_every_cell_that_there_was(expected: dict[str, Any]) -> None:
    assert tuple(expected["translations"]) == CELLS


@pytest.mark.parametrize("cell", CELLS)
def test_a_model_translates_as_before(before: Path, expected: dict[str, Any], cell: str) -> None:
    found = stdout_of("translate", before / cell, before / "text/test.src", "--precision", "fp32")
    assert found == expected["translations"][cell]


def test_a_lexicon_gives_the_shortlists_of_before(before: Path, expected: dict[str, Any]) -> None:
    source = before / "text/test.src"
    found = stdout_of("translate", before / "lstm", source, "--precision", "fp32", "--shortlist", "16")
    assert found == expected["with_shortlist"]


def test_a_language_model_scores_as_before(before: Path, expected: dict[str, Any]) -> None:
    found = [line.split("\t") for line in stdout_of("lm", "score", before / "lm", before / "text/test.tgt")]
    assert [pieces for _, _, pieces in found] == [pieces for _, _, pieces in expected["lm_scores"]]
    for scores, scores_before in zip(found, expected["lm_scores"], strict=True):
        assert [float(score) for score in scores[:2]] == pytest.approx([float(x) for x in scores_before[:2]], abs=2e-3)


def test_a_run_goes_on_from_its_checkpoint_with_its_data_as_before(before: Path, expected: dict[str, Any]) -> None:
    stdout_of("train", before / "data", before / "lstm", "--set", "training.max_steps=220")
    metrics = (before / "lstm/metrics.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in metrics]
    assert [record["step"] for record in records if record["kind"] == "valid"] == [100, 200, 220]
    assert records[-1]["loss"] == pytest.approx(expected["after_220_updates"]["loss"], abs=5e-3)


def test_a_text_prepared_before_trains_a_language_model(before: Path, tmp_path: Path) -> None:
    settings = ["model.hidden_size=8", "model.embedding_size=8", "training.max_steps=1", "training.tensorboard=false"]
    stdout_of("train", before / "lmdata", tmp_path / "lm", *[part for name in settings for part in ("--set", name)])
    assert (tmp_path / "lm/model.safetensors").exists()
