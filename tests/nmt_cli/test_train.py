import json
import math
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from nmt.config import Settings
from nmt.prepared import PreparedData
from nmt.training.checkpoint import TrainingState
from nmt.training.observers import Scores, StepProgress, StepReport, ValidationReport
from nmt.training.trainer import TrainingSummary
from nmt_cli.main import app
from nmt_cli.train import TrainingView, stopping_on_signals
from nmt_cli.whats_next import say_what_is_next

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
    assert result.stderr.startswith(
        "chosen for 354 pairs, as there is no recipe; --set wins:\ntraining.batch_tokens = 640: "
    )
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
    assert "20 steps, 1.18 epochs, 1 validation, 1 checkpoint; the best model, checkpoints/, train.log" in result.stderr
    assert "step 20: train loss" in result.stderr
    *_, scored, then = result.stderr.splitlines()
    assert re.fullmatch(r"validation BLEU \d+\.\d\d  nrefs:1\|.*", scored)
    model = tmp_path / "m"
    assert then == f"next: nmt translate {model} FILE; nmt plot {model}", "one checkpoint is no average"
    result = runner.invoke(app, [*arguments, "--set", "training.max_steps=25", "--set", "training.warmup_steps=5"])
    average = f"nmt average {model} {model}-average"
    assert result.stderr.splitlines()[-1] == f"next: nmt translate {model} FILE; nmt plot {model}; {average}"
    assert "setting changed: training.warmup_steps: 20 -> 5" in result.stderr
    assert "continuing" in result.stderr
    result = runner.invoke(app, [*arguments, "--set", "training.max_steps=25"])
    assert "the run is already at its last step: 25; raise training.max_steps to go on" in result.stderr
    result = runner.invoke(app, [*arguments, "--set", "training.max_steps=25", "--dry-run", "--json"])
    assert json.loads(result.stdout) == {"steps_left": 0}


def test_a_dry_run_prints_the_plan_and_leaves_nothing(
    toy_data: PreparedData, toy_text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nmt.training.trainer._MEASURED", 0.1)
    command = ["train", str(toy_data.folder), str(tmp_path / "m"), "--recipe", str(toy_text / "toy.toml"), "--dry-run"]
    result = runner.invoke(app, command)
    assert result.exit_code == 0, result.stderr
    assert result.stderr == ""
    data, steps, forecast = result.stdout.splitlines()
    assert re.fullmatch(
        r"[\d,]+ parameters, 354 pairs, [\d,]+ target pieces in 17 batches per epoch, .* 1 thread", data
    )
    assert steps.startswith("300 steps, 17.6 epochs, 2 validations, 2 checkpoints; the best model")
    assert re.fullmatch(r"300 steps to go, about 0:00:\d\d \(.* s a step, validations estimated\); memory .*", forecast)
    tree = json.loads(runner.invoke(app, [*command, "--json"]).stdout)
    assert (tree["steps"], tree["model_dir"], tree["seconds_per_validation"]) == (300, str(tmp_path / "m"), None)
    assert list(tmp_path.iterdir()) == []


def test_the_time_of_a_run_is_an_option_and_tells_the_size_of_the_model(
    toy_data: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["train", str(toy_data.folder), str(tmp_path / "m")]
    for epochs, size in ((2.0, 256), (1e6, 512)):
        monkeypatch.setattr("nmt.training.trainer.epochs_within", lambda *given, epochs=epochs, **rest: epochs)
        result = runner.invoke(app, [*command, "--time", "1h30m", "--show-config"])
        settings = tomllib.loads(result.stdout)
        assert (settings["training"]["time"], settings["model"]["hidden_size"]) == ("1h30m", size)
    result = runner.invoke(app, [*command, "--time", "90", "--show-config"])
    assert result.exit_code == 1
    assert result.stderr == (
        'error: settings: training.time: expected a time such as "20m", "90s" or "1h30m", found \'90\'\n'
    )


def test_a_run_can_begin_from_another_model(toy_data: PreparedData, toy_model: Path, tmp_path: Path) -> None:
    run = ["train", str(toy_data.folder), str(tmp_path / "m"), "--from", str(toy_model), "--dry-run"]
    result = runner.invoke(app, [*run, "--set", "training.max_steps=3"])
    assert result.exit_code == 0
    assert f"from {toy_model}: 40 of 40 pieces are known to it" in result.stderr
    assert "unlike the parent: training.learning_rate: 0.01 -> 0.0025, a quarter of the parent's peak" in result.stderr
    assert "setting changed" not in result.stderr
    assert re.search(
        r"peak from the first step on: .* = \d+ is more than a tenth of the run \(3 steps\)", result.stderr
    )
    result = runner.invoke(app, [*run[:-2], str(tmp_path / "nothing")])
    assert (result.exit_code, result.stderr) == (1, f"error: model folder {tmp_path / 'nothing'} does not exist\n")


def test_json_needs_a_dry_run() -> None:
    result = runner.invoke(app, ["train", "data", "m", "--json"])
    assert result.exit_code == 2
    assert "expected --dry-run beside it" in result.stderr


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
    command += [
        "--recipe",
        str(toy_text / "toy.toml"),
        "--set",
        "training.threads=2",
        "--set",
        "training.max_steps=1000000",
    ]
    paths = os.pathsep.join(path for path in sys.path if path)
    process = start_process(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": paths})
    deadline = time.monotonic() + 120
    metrics = model / "metrics.jsonl"
    while not (metrics.exists() and metrics.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 130, stderr
    assert "stopping after this step; once more stops at once" in stderr
    assert "the model is that of step" in stderr
    assert re.search(
        rf"the same command continues from there; nmt translate {model} uses the model of step \d+", stderr
    )
    result = runner.invoke(app, [*command[3:-1], "training.max_steps=1"])
    assert "the run is already at its last step" in result.stderr


STEP = StepReport(
    step=99_950,
    total_steps=100_000,
    epoch=3,
    tokens=10_000_000,
    loss=12.345,
    tokens_per_second=123_456.0,
    seconds=81.0,
    seconds_per_step=100.0,
    learning_rate=0.001,
    gradient_norm=1.0,
)

PROGRESS = StepProgress(
    step=99_950, total_steps=100_000, loss=2.0, tokens_per_second=123_456.0, seconds_left=50 * 100.0
)


def test_a_validation_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    view = TrainingView()
    view.on_step(STEP)
    view.on_validation(ValidationReport(1500, Scores(2.0, 31.254), is_best=True))
    view.on_validation(ValidationReport(2000, Scores(2.0, 31.0), is_best=False))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        "step 1,500: train loss 12.345, 123,456 pieces/s, valid loss 2.000, ppl 7.39, BLEU 31.25  best so far\n"
        "step 2,000: train loss 12.345, 123,456 pieces/s, valid loss 2.000, ppl 7.39, BLEU 31.00\n"
    )


def test_every_further_validation_set_has_a_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    others = {"news": Scores(2.5, 20.0), "talks": Scores(1.0, 40.125)}
    TrainingView().on_validation(ValidationReport(1500, Scores(2.0, 31.25, others), is_best=True))
    assert capsys.readouterr().err == (
        "step 1,500: valid loss 2.000, ppl 7.39, BLEU 31.25  best so far\n"
        "  on news: loss 2.500, ppl 12.18, BLEU 20.00\n"
        "  on talks: loss 1.000, ppl 2.72, BLEU 40.12\n"
    )


def test_the_bar_fits_eighty_columns_and_shows_the_time_left_for_the_whole_run() -> None:
    view = TrainingView()
    view.on_step(STEP)
    view.on_progress(PROGRESS)
    (task,) = view.bar.tasks
    assert task.description == "step 99,950/100,000  1:23:20 left  loss 12.345  123,456 pieces/s"
    assert (task.completed, task.total) == (99_950, 100_000)
    assert len("100% " + "-" * 8 + " ⠋ " + task.description) <= 80


def test_the_bar_moves_before_anything_is_recorded() -> None:
    view = TrainingView()
    view.on_progress(StepProgress(step=1, total_steps=8, loss=7.5, tokens_per_second=900.0, seconds_left=90.0))
    (task,) = view.bar.tasks
    assert (task.description, task.completed) == ("step 1/8  0:01:30 left  loss 7.500  900 pieces/s", 1)
    view.on_progress(StepProgress(step=2, total_steps=8, loss=None, tokens_per_second=900.0, seconds_left=80.0))
    assert task.description == "step 2/8  0:01:20 left  900 pieces/s"


def test_the_bar_says_what_else_is_being_done() -> None:
    view = TrainingView()
    view.on_progress(replace(PROGRESS, activity="validating"))
    (task,) = view.bar.tasks
    assert task.description == "validating step 99,950"


def test_the_end_names_the_model_and_its_best_step() -> None:
    state = TrainingState(step=900, best_step=600, tokens=120_000, seconds=60.0, best_score=30.0)
    assert TrainingView().describe_end(TrainingSummary(True, state, 6_798_448, 0.02), Path("m")) == (
        "m: 6,798,448 parameters, best at step 600 of 900, 120,000 target pieces in 0:01:00 (2,000 pieces/s)"
    )


def test_commands_to_go_on_with_are_right_whatever_the_folder_is_called(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    checkpoints = Path("my runs/m/checkpoints")
    checkpoints.mkdir(parents=True)
    for step in (0, 10, 20):
        (checkpoints / f"step-{step}.safetensors").touch()
    say_what_is_next(Path("my runs/m"), of_text=True)
    assert [shlex.split(command) for command in capsys.readouterr().err.removeprefix("next: ").split("; ")] == [
        ["nmt", "lm", "score", "my runs/m", "FILE"],
        ["nmt", "plot", "my runs/m"],
        ["nmt", "average", "my runs/m", "my runs/m-average"],
    ]
    state = TrainingState(step=900, best_step=600, tokens=120_000, seconds=60.0, best_score=30.0)
    stopped = TrainingView().describe_stop(TrainingSummary(False, state, 6_798_448, 0.02), Path("my runs/m"))
    assert "; nmt translate 'my runs/m' uses the model of step 600" in stopped


def test_the_first_signal_asks_and_the_second_interrupts() -> None:
    before, said = signal.getsignal(signal.SIGINT), list[str]()
    with stopping_on_signals(said.append) as stop:
        assert not stop.is_set()
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.is_set()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
    assert said == ["stopping after this step; once more stops at once"]


def test_the_echo_of_a_signal_is_no_second_one() -> None:
    said = list[str]()
    with stopping_on_signals(said.append, echo=60.0) as stop:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.is_set()
    assert len(said) == 1


def test_only_the_first_process_shows_anything(capsys: pytest.CaptureFixture[str]) -> None:
    view = TrainingView(shown=False)
    view.on_message("hello")
    view = TrainingView(shown=True)
    view.on_message("hello")
    assert capsys.readouterr().err == "hello\n"


def test_of_a_language_model_perplexity_and_words_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    view = TrainingView(of_text=True)
    view.on_step(replace(STEP, loss=math.log(80)))
    view.on_validation(ValidationReport(1500, Scores(math.log(100), None), is_best=True))
    assert capsys.readouterr().err == (
        "step 1,500: train ppl 80.00, 123,456 pieces/s, valid loss 4.605, ppl 100.00  best so far\n"
    )
    view.on_progress(PROGRESS)
    (task,) = view.bar.tasks
    assert task.description == "step 99,950/100,000  1:23:20 left  ppl 80.00  123,456 pieces/s"
    assert len("100% " + "-" * 8 + " ⠋ " + task.description) <= 80


def test_the_end_tells_the_perplexity_of_a_language_model() -> None:
    state = TrainingState(step=900, best_step=600, tokens=120_000, seconds=60.0, best_score=-math.log(100))
    assert TrainingView(of_text=True).describe_end(TrainingSummary(True, state, 4_650_000, 0.0), Path("m")) == (
        "m: 4,650,000 parameters, validation perplexity 100.00, best at step 600 of 900, 120,000 pieces in 0:01:00 "
        "(2,000 pieces/s)"
    )
