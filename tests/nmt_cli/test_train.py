import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from nmt.config import Settings
from nmt.prepared import PreparedData
from nmt_cli.main import app

StartProcess = Callable[..., "subprocess.Popen[Any]"]
runner = CliRunner()


def test_the_resolved_settings_are_printed_without_any_folder() -> None:
    result = runner.invoke(app, ["train", "--show-config", "--set", "training.seed=7"])
    assert result.exit_code == 0
    tree = tomllib.loads(result.stdout)
    assert tree["training"]["seed"] == 7
    assert tree.keys() == Settings.model_fields.keys()


def test_the_resolved_settings_of_a_run_include_what_the_data_were_prepared_with(
    toy_data: PreparedData, tmp_path: Path
) -> None:
    result = runner.invoke(app, ["train", str(toy_data.folder), str(tmp_path / "m"), "--show-config"])
    assert tomllib.loads(result.stdout)["tokenizer"]["vocab_size"] == 40
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("arguments", [[], ["data"], ["data", "--show-config"]])
def test_missing_folders_are_wrong_usage(arguments: list[str]) -> None:
    result = runner.invoke(app, ["train", *arguments])
    assert result.exit_code == 2
    assert "DATA_DIR and MODEL_DIR are needed" in result.stderr


def test_a_run_reports_on_stderr_and_sums_up_on_stdout(toy_data: PreparedData, toy_text: Path, tmp_path: Path) -> None:
    arguments = ["train", str(toy_data.folder), str(tmp_path / "m"), "--recipe", str(toy_text / "toy.toml")]
    result = runner.invoke(app, [*arguments, "--set", "training.max_steps=20"])
    assert result.exit_code == 0, result.stderr
    assert re.fullmatch(r".*m: [\d,]+ parameters, best at step 20 of 20, .*\n", result.stdout)
    assert "step 20: train loss" in result.stderr
    assert "BLEU" in result.stderr
    result = runner.invoke(app, [*arguments, "--set", "training.max_steps=25", "--set", "training.warmup_steps=5"])
    assert "setting changed: training.warmup_steps: 20 -> 5" in result.stderr
    assert "continuing" in result.stderr
    result = runner.invoke(app, [*arguments, "--set", "training.max_steps=25"])
    assert "the run is already at its last step: 25; raise training.max_steps to go on" in result.stderr


def test_data_that_are_not_there_are_one_line(tmp_path: Path) -> None:
    result = runner.invoke(app, ["train", str(tmp_path / "nowhere"), str(tmp_path / "m")])
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_signal_saves_and_the_same_command_goes_on(
    start_process: StartProcess, toy_data: PreparedData, toy_text: Path, tmp_path: Path, number: signal.Signals
) -> None:
    model = tmp_path / "m"
    command = [sys.executable, "-m", "nmt_cli", "train", str(toy_data.folder), str(model)]
    command += ["--recipe", str(toy_text / "toy.toml"), "--set", "training.max_steps=1000000"]
    paths = os.pathsep.join(path for path in sys.path if path)
    process = start_process(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": paths})
    deadline = time.monotonic() + 60
    metrics = model / "metrics.jsonl"
    while not (metrics.exists() and metrics.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "stopping after this step; once more stops at once" in stderr
    assert "the same command continues from there" in stderr
    result = runner.invoke(app, [*command[3:-1], "training.max_steps=1"])
    assert "the run is already at its last step" in result.stderr
