"""Runs of so much time, and rehearsals: what is timed before a run."""

import shutil
from functools import partial
from itertools import count
from pathlib import Path

import pytest

from nmt.config import Settings
from nmt.errors import ConfigError
from nmt.prepared import PreparedData, PreparedText
from nmt.training.checkpoint import list_checkpoints
from nmt.training.trainer import epochs_within, rehearse, train

from .conftest import Listener


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clocks that go on by a quarter of a second whenever somebody looks."""
    for module in ("loop", "trainer"):
        monkeypatch.setattr(f"nmt.training.{module}.perf_counter", partial(next, count(0.25, 0.25)))


def changed(settings: Settings, **training: object) -> Settings:
    return settings.model_copy(update={"training": settings.training.model_copy(update=training)})


@pytest.mark.usefixtures("ticking")
@pytest.mark.parametrize(
    "changes", [{}, {"optimizer": "sgd", "momentum": 0.5, "learning_rate": 0.1}, {"ema_decay": 0.9}]
)
def test_a_run_of_so_much_time_is_a_run_of_the_steps_that_fit_to_the_bit_also_where_it_was_stopped(
    toy_data: PreparedData, toy_settings: Settings, tmp_path: Path, changes: dict[str, object]
) -> None:
    timed = changed(toy_settings, time="20s", log_every=5, checkpoint_every=10, **changes)
    stopped, rest = Listener(stop_at=15), Listener()
    assert not train(toy_data, tmp_path / "a", timed, observer=stopped, stop=stopped.stop).finished
    summary = train(toy_data, tmp_path / "a", timed, observer=rest, stop=rest.stop)
    steps = summary.state.step
    assert 40 < steps < 80  # a third of a second each, as the loss is read at the end of so few, and a validation
    assert stopped.messages[:3] == [
        "warning: a run of training.time makes no use of training.max_steps",
        "timing some steps, to see how many fit into 20s",
        f"{steps} steps of 0.333 s fit; the run keeps that number, also where it is continued",
    ]
    assert (
        f"the learning rate rises for {steps // 10} steps: training.warmup_steps = 20 is more than a tenth of the run "
        "(20s)"
    ) in stopped.messages
    assert not any(message.startswith("timing") for message in rest.messages)
    same = changed(timed, time="", max_steps=steps, warmup_steps=steps // 10)
    listener = Listener()
    train(toy_data, tmp_path / "b", same, observer=listener, stop=listener.stop)
    assert (tmp_path / "a" / "model.safetensors").read_bytes() == (tmp_path / "b" / "model.safetensors").read_bytes()


def test_a_run_that_is_killed_or_stopped_while_it_is_timed_begins_anew(
    toy_data: PreparedData, toy_settings: Settings, tmp_path: Path
) -> None:
    timed, listener = changed(toy_settings, time="1h"), Listener()
    listener.stop.set()
    for _ in ("stopped", "again"):
        with pytest.raises(KeyboardInterrupt):
            train(toy_data, tmp_path / "m", timed, observer=listener, stop=listener.stop)
    assert not list_checkpoints(tmp_path / "m")


@pytest.mark.usefixtures("ticking")
def test_a_language_model_of_so_much_time_carries_on_what_it_would_have_carried_on(
    counting_data: PreparedText, counting_settings: Settings, tmp_path: Path
) -> None:
    timed, listener = changed(counting_settings, time="15s"), Listener()
    steps = train(counting_data, tmp_path / "a", timed, observer=listener, stop=listener.stop).state.step
    same = changed(counting_settings, max_steps=steps, warmup_steps=min(10, steps // 10))
    train(counting_data, tmp_path / "b", same, observer=listener, stop=listener.stop)
    assert (tmp_path / "a" / "model.safetensors").read_bytes() == (tmp_path / "b" / "model.safetensors").read_bytes()


@pytest.mark.usefixtures("ticking")
def test_another_time_is_measured_anew_for_the_whole_run(
    toy_data: PreparedData, toy_settings: Settings, tmp_path: Path
) -> None:
    listener = Listener()
    first = train(toy_data, tmp_path / "m", changed(toy_settings, time="10s"), observer=listener, stop=listener.stop)
    again = train(toy_data, tmp_path / "m", changed(toy_settings, time="10s"), observer=listener, stop=listener.stop)
    assert again.state == first.state
    assert listener.messages[-1].endswith("raise training.time to go on")
    more = train(toy_data, tmp_path / "m", changed(toy_settings, time="20s"), observer=listener, stop=listener.stop)
    assert first.state.step < more.state.step
    assert 10.0 < more.state.seconds < 20.0  # the measurements take time, too
    listener = Listener()
    train(toy_data, tmp_path / "m", changed(toy_settings, time="2s"), observer=listener, stop=listener.stop)
    assert listener.messages[-1].endswith("raise training.time to go on")
    assert not any("fit;" in message for message in listener.messages)


@pytest.mark.usefixtures("ticking")
def test_the_time_counts_from_when_the_caller_began(
    toy_data: PreparedData, toy_settings: Settings, tmp_path: Path
) -> None:
    listener, settings = Listener(), changed(toy_settings, time="9s")
    now, late = (
        train(toy_data, tmp_path / str(begun), settings, observer=listener, stop=listener.stop, begun=begun).state.step
        for begun in (None, -2.0)
    )
    assert now - late >= 5  # a step takes a third of a second


@pytest.mark.usefixtures("ticking")
def test_a_rehearsal_foretells_and_leaves_nothing(
    toy_data: PreparedData, toy_settings: Settings, tmp_path: Path
) -> None:
    listener = Listener()
    found = rehearse(toy_data, tmp_path / "m", toy_settings, observer=listener)
    assert found is not None
    plan, forecast = found
    assert (plan.step, plan.steps, plan.validations, plan.checkpoints) == (0, 300, 2, 2)
    assert plan.target_pieces == toy_data.target_counts.sum()
    assert (forecast.steps_left, forecast.seconds_per_step) == (300, pytest.approx(0.25, rel=0.1))
    assert forecast.seconds > 75
    assert list(tmp_path.iterdir()) == []
    assert listener.messages == []


@pytest.mark.usefixtures("ticking")
def test_the_epochs_that_a_time_has_room_for_are_counted_and_nothing_is_left(
    toy_data: PreparedData, toy_settings: Settings, tmp_path: Path
) -> None:
    timed = changed(toy_settings, time="34s")
    assert epochs_within(toy_data, tmp_path / "m", timed) == pytest.approx(
        34 / (17 * 0.375)
    )  # a step takes a tick and a half
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("ticking")
def test_a_rehearsal_of_a_run_that_was_begun_tells_what_is_left_and_changes_nothing(
    toy_data: PreparedData, toy_settings: Settings, toy_model: Path, tmp_path: Path
) -> None:
    shutil.copytree(toy_model, tmp_path / "m")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    listener = Listener()
    found = rehearse(toy_data, tmp_path / "m", changed(toy_settings, max_steps=400), observer=listener)
    assert found is not None
    assert (found[0].step, found[0].steps, found[1].steps_left) == (300, 400, 100)
    assert listener.messages == [f"continuing {tmp_path / 'm'} at step 300"]
    changes = ["setting changed: training.max_steps: 300 -> 400"]
    rehearse(toy_data, tmp_path / "m", changed(toy_settings, max_steps=400), observer=listener, changes=changes)
    assert changes[0] in listener.messages
    assert rehearse(toy_data, tmp_path / "m", toy_settings, observer=listener) is None
    assert listener.messages[-1].startswith("the run is already at its last step: 300")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.usefixtures("ticking")
def test_a_rehearsal_of_a_run_of_so_much_time_that_was_begun_measures_its_steps_too(
    toy_data: PreparedData, toy_settings: Settings, tmp_path: Path
) -> None:
    timed, listener = changed(toy_settings, time="6s", log_every=5), Listener(stop_at=5)
    train(toy_data, tmp_path / "m", timed, observer=listener, stop=listener.stop)
    found = rehearse(toy_data, tmp_path / "m", timed, observer=listener)
    assert found is not None
    assert found[1].seconds_per_step == pytest.approx(0.25, rel=0.1)


@pytest.mark.usefixtures("ticking")
def test_a_time_into_which_next_to_nothing_fits_is_refused_with_what_is_missing(
    toy_data: PreparedData, toy_settings: Settings, tmp_path: Path
) -> None:
    listener, short = Listener(), changed(toy_settings, time="2s")
    message = (
        r"^training\.time = 2s is too short: a run has 10 steps at least, and one takes 0\.5 s beside loading and "
        r"validation; give it 7s or more$"
    )
    with pytest.raises(ConfigError, match=message):
        train(toy_data, tmp_path / "m", short, observer=listener, stop=listener.stop)
    assert not list_checkpoints(tmp_path / "m")
