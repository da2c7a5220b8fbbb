"""What validations decide: the best model, the end, the rate; and that none is lost."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nmt.training.observers import Scores

MakeRun = Callable[..., Any]


def test_validation_chooses_the_best_and_records_everything(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(tmp_path, scores=[10, 30, 20])
    assert run.go()
    assert run.saved == [4, 8]
    assert [report.is_best for report in run.watcher.validations] == [True, True, False]
    assert (run.state.best_score, run.state.best_step, run.state.stale) == (30.0, 8, 1)
    records = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [record["step"] for record in records if record["kind"] == "valid"] == [4, 8, 12]
    assert [record["step"] for record in records if record["kind"] == "train"] == [2, 4, 6, 8, 10, 12]


def test_the_best_can_be_chosen_by_loss(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(tmp_path, scores=[10, 30, 20], best_by="loss")
    run.go()
    assert run.state.best_score == -70.0


def test_further_sets_that_have_a_weight_share_in_the_choice(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(tmp_path, validation_weights={"old": 1.0})
    found = iter([(10.0, 50.0), (30.0, 20.0), (20.0, 45.0)])

    def validate(stop: object) -> Scores:
        new, old = next(found)
        return Scores(2.0, new, {"old": Scores(2.0, old), "talks": Scores(2.0, 99.0)})

    run.validate = validate  # type: ignore[method-assign]
    run.go()
    assert (run.state.best_score, run.state.best_step) == (32.5, 12)


def test_while_bleu_is_near_zero_the_lowest_loss_chooses_and_that_is_warned_about_once(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, messages = make_run(tmp_path, total=28, patience=2), list[str]()
    monkeypatch.setattr(run.watcher, "on_message", messages.append)
    found = iter([(0.0, 5.0), (0.5, 4.0), (0.0, 3.0), (0.0, 3.5), (0.0, 2.0), (2.0, 6.0), (0.0, 1.0)])
    run.validate = lambda stop: Scores(*reversed(next(found)))
    assert run.go()
    assert run.saved == [4, 8, 12, 20, 24]
    assert (run.state.best_score, run.state.best_step, run.state.step) == (2.0, 24, 28)
    assert messages == [
        "warning: validation BLEU has stayed below 1 while the loss fell; until it rises, the best model is that of "
        'the lowest loss; which tokenizer BLEU uses is set by training.bleu_tokenizer (now "auto")'
    ]


def test_patience_ends_the_run_early_and_for_good(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(tmp_path, total=100, scores=[10, 9, 8, 7], patience=2)
    assert run.go()
    assert run.state.step == 12
    again = make_run(tmp_path, total=100, patience=2)
    assert again.go()
    assert again.state.step == 12


def test_plateaus_halve_the_learning_rate(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(tmp_path, total=24, scores=[10, 9, 8, 7, 6, 5], schedule="plateau", plateau_patience=2)
    run.go()
    assert run.state.halvings == 2
    rates = [report.learning_rate for report in run.watcher.steps]
    assert rates[-1] == pytest.approx(run.settings.learning_rate / 4)


def test_a_validation_that_a_stop_cuts_short_is_made_up_for(make_run: MakeRun, tmp_path: Path) -> None:
    for name in ("straight", "stopped"):
        (tmp_path / name).mkdir()
    straight = make_run(tmp_path / "straight", scores=[1, 2, 3])
    assert straight.go()
    first = make_run(tmp_path / "stopped")
    first.interrupt_validation = True
    assert not first.go()
    assert (first.state.step, first.state.validated) == (4, 0)
    second = make_run(tmp_path / "stopped")
    second.interrupt_validation = True
    assert not second.go()
    assert second.state.step == 4
    third = make_run(tmp_path / "stopped", scores=[1, 2, 3])
    assert third.go()
    assert [report.step for report in third.watcher.validations] == [4, 8, 12]
    assert third.weights() == straight.weights()


def test_the_validation_of_the_last_step_is_made_up_for_once(make_run: MakeRun, tmp_path: Path) -> None:
    first, second, third = (make_run(tmp_path, total=4, scores=[7]) for _ in range(3))
    first.interrupt_validation = True
    assert not first.go()
    assert second.go()
    assert third.go()
    assert len(second.watcher.validations) == 1
    assert third.watcher.validations == []
    assert third.state.best_score == 7.0


def test_a_moving_average_is_what_is_validated(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(tmp_path, ema_decay=0.9)
    run.go()
    assert run.average is not None
    with run.average.in_place():
        assert run.seen[-1] == run.weights()
    assert run.seen[-1] != run.weights()
