import math
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from nmt.training.checkpoint import TrainingState
from nmt.training.observers import Scores, StepReport, ValidationReport
from nmt.training.trainer import TrainingSummary
from nmt_cli.train import TrainingView, stopping_on_signals

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
    (task,) = view.bar.tasks
    assert task.description == "step 99,950/100,000  loss 12.345  123,456 pieces/s  1:23:20 left"  # 50 steps of 100 s
    assert (task.completed, task.total) == (99_950, 100_000)
    assert len("100% " + "-" * 10 + " " + task.description) <= 80


def test_the_end_names_the_model_and_its_best_step() -> None:
    state = TrainingState(step=900, best_step=600, tokens=120_000, seconds=60.0, best_score=30.0)
    assert TrainingView().describe_end(TrainingSummary(True, state, 6_798_448, 0.02), Path("m")) == (
        "m: 6,798,448 parameters, best at step 600 of 900, 120,000 target pieces in 0:01:00 (2,000 pieces/s)"
    )


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
    (task,) = view.bar.tasks
    assert task.description == "step 99,950/100,000  ppl 80.00  123,456 pieces/s  1:23:20 left"
    assert len("100% " + "-" * 10 + " " + task.description) <= 80


def test_the_end_tells_the_perplexity_of_a_language_model() -> None:
    state = TrainingState(step=900, best_step=600, tokens=120_000, seconds=60.0, best_score=-math.log(100))
    assert TrainingView(of_text=True).describe_end(TrainingSummary(True, state, 4_650_000, 0.0), Path("m")) == (
        "m: 4,650,000 parameters, validation perplexity 100.00, best at step 600 of 900, 120,000 pieces in 0:01:00 "
        "(2,000 pieces/s)"
    )
