from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from nmt.config import Settings, TrainingSettings, load_settings, parse_settings, to_toml
from nmt.training.distributed import Ranks
from nmt.training.planning import Forecast, Pace, RunPlan, misfits, suited_to_gpu, times
from nmt.training.update import Schedule

PACE = Pace(validate_every=10, checkpoint_every=20, step=2.0, validation=5.0, checkpoint=1.0)


@pytest.mark.parametrize(
    ("first", "last", "every", "count"),
    [(0, 30, 10, 3), (0, 31, 10, 4), (10, 30, 10, 2), (29, 31, 10, 2), (5, 5, 5, 0)],
)
def test_the_last_step_counts_beside_the_multiples(first: int, last: int, every: int, count: int) -> None:
    assert times(first, last, every) == count


def test_the_time_of_a_run_includes_validations_and_checkpoints() -> None:
    assert PACE.seconds(0, 30) == 30 * 2 + 3 * 5 + 2 * 1  # checkpoints after steps 20 and 30
    assert PACE.seconds(30, 30) == 0


def test_a_validation_is_estimated_until_one_has_been_timed() -> None:
    assert replace(PACE, validation=None, validation_steps=4.0).seconds(0, 10) == 10 * 2 + 4 * 2 + 1


def test_as_many_steps_fit_as_the_time_allows() -> None:
    assert PACE.steps_within(77.0, first=0) == 30
    assert PACE.steps_within(76.9, first=0) == 29
    assert PACE.steps_within(26.0, first=20) == 30
    assert PACE.steps_within(-1.0, first=20) == 20


def test_a_run_has_a_step_at_least() -> None:
    assert PACE.steps_within(0.5, first=0) == 1


FORECAST = Forecast(
    steps_left=6240,
    seconds=1260.4,
    seconds_per_step=0.19,
    seconds_per_validation=None,
    memory_now=1_100_000_000,
    memory_most=1_300_000_000,
    memory_free=200_000_000,
)


def test_a_forecast_says_what_it_knows() -> None:
    assert FORECAST.describe() == (
        "6,240 steps to go, about 0:21:00 (0.19 s a step, validations estimated); memory 1.10 GB now, about 1.30 GB at "
        "most"
    )
    assert "(0.19 s a step, 5.1 s a validation)" in replace(FORECAST, seconds_per_validation=5.1).describe()


def test_more_memory_than_the_machine_has_left_is_warned_about() -> None:
    assert FORECAST.warnings("training.batch_tokens") == []
    assert replace(FORECAST, memory_free=None).warnings("training.batch_tokens") == []
    assert replace(FORECAST, memory_free=199_999_999).warnings("training.batch_tokens") == [
        "the run may need 1.30 GB of memory, but has 1.10 GB, and this machine or its container only "
        "0.20 GB more; lower training.batch_tokens, or train a smaller model in a new folder"
    ]


def test_a_forecast_knows_the_memory_of_this_process() -> None:
    found = Forecast.of(PACE, step=0, steps=30, parameters=10**9)
    assert found.seconds == 77.0
    assert found.memory_most >= found.memory_now + 20 * 10**9
    assert found.memory_now > 10**7


def test_a_container_may_have_less_memory_left_than_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nmt.training.planning.resident_bytes", lambda: 3_000_000)
    monkeypatch.setattr("nmt.training.planning.container_memory", lambda: 4_000_000)
    assert Forecast.of(PACE, step=0, steps=30, parameters=0).memory_free == 1_000_000
    monkeypatch.setattr("nmt.training.planning.container_memory", lambda: 2**63)
    assert Forecast.of(PACE, step=0, steps=30, parameters=0).memory_free != 2**63 - 3_000_000


def test_memory_that_grows_with_the_sizes_of_batches_grows_as_the_root_of_the_updates_of_an_epoch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("nmt.training.planning.resident_bytes", lambda: 10**12)
    pace = replace(PACE, memory=10**12 - 10**11, made=25, made_of=100)
    assert Forecast.of(pace, step=25, steps=1000, parameters=0).memory_most == 10**12 + 10**11
    assert Forecast.of(replace(pace, made=100), step=100, steps=1000, parameters=0).memory_most == 10**12


def test_a_plan_is_two_lines() -> None:
    plan = RunPlan(
        parameters=6_798_448,
        data="29,000 pairs, 412,345 target pieces in 520 batches per epoch, 1.9% padding",
        place="cpu bf16, 1 thread",
        model_dir=Path("m"),
        target_pieces=412_345,
        step=0,
        steps=6240,
        epochs=12.0,
        validations=13,
        checkpoints=13,
    )
    assert plan.describe() == [
        "6,798,448 parameters, 29,000 pairs, 412,345 target pieces in 520 batches per epoch, 1.9% padding, cpu bf16, "
        "1 thread",
        "6,240 steps, 12 epochs, 13 validations, 13 checkpoints; the best model, checkpoints/, train.log and "
        "metrics.jsonl go to m",
    ]
    assert replace(plan, step=520, epochs=11.0).describe()[1].startswith("from step 520 to 6,240, 11 epochs, 13 valid")


def test_a_new_run_on_a_gpu_has_large_batches_as_far_as_an_epoch_still_has_enough_of_them() -> None:
    told = list[str]()
    sizes = [
        suited_to_gpu(
            Settings(), pieces=pieces, begun=False, ranks=Ranks(), on_message=told.append
        ).training.batch_tokens
        for pieces in (500_000_000, 2_000_000, 100_000)
    ]
    assert sizes == [16_000, 4_000, 800]
    assert told == [
        "training.batch_tokens is not set: 16,000 on a GPU, which keep it busy",
        "training.batch_tokens is not set: 4,000 on a GPU, so that an epoch has 500 batches",
    ]


def test_a_size_of_batch_that_is_set_stays_on_a_gpu_and_in_its_config() -> None:
    told = list[str]()
    settings = load_settings(overrides=["training.batch_tokens=800"])
    alone: dict[str, Any] = {"begun": False, "ranks": Ranks(), "on_message": told.append}
    assert suited_to_gpu(settings, pieces=10**9, **alone) is settings
    assert told == []
    chosen = suited_to_gpu(Settings(), pieces=10**9, **alone)
    assert parse_settings(to_toml(chosen), where="config.toml").training.batch_tokens == 16_000


@dataclass(frozen=True)
class Second(Ranks):
    """A process that is told what the first one says."""

    told: float = 0.0

    def from_first(self, values: tuple[float, ...]) -> tuple[float, ...]:
        return (self.told,)


@pytest.mark.parametrize("seen_here", [True, False])
def test_the_first_process_alone_tells_whether_a_run_on_gpus_is_new(seen_here: bool) -> None:
    def tokens(told: float) -> int:
        second = Second(rank=1, size=2, told=told)
        chosen = suited_to_gpu(Settings(), pieces=10**9, begun=seen_here, ranks=second, on_message=lambda line: None)
        return chosen.training.batch_tokens

    assert (tokens(0.0), tokens(1.0)) == (16_000, 800)


def test_small_batches_on_a_gpu_are_told_of() -> None:
    training, schedule = TrainingSettings(), Schedule("constant", 0.1, 400, 1000)
    assert list(misfits(training, schedule, epoch=100, processes=1, gpu_tokens=None)) == []
    bits = "a continued run ends like an unbroken one, on a GPU as far as its libraries repeat their last bits"
    assert list(misfits(training, schedule, epoch=100, processes=1, gpu_tokens=4000)) == [bits]
    assert list(misfits(training, schedule, epoch=100, processes=1, gpu_tokens=800)) == [
        "a GPU that gets 800 pieces at a time waits for most of a step: where the data are large, batches of 4,000 to "
        "16,000 and a higher training.learning_rate train faster",
        bits,
    ]


def test_a_run_of_so_much_time_is_not_blamed_for_being_shorter_than_anybody_could_know() -> None:
    schedule = Schedule("cosine", 0.1, 3, 36)
    timed = TrainingSettings(time="1m", warmup_steps=3)
    assert list(misfits(timed, schedule, epoch=100, processes=1, gpu_tokens=None)) == []
    [line] = misfits(TrainingSettings(warmup_steps=3), schedule, epoch=100, processes=1, gpu_tokens=None)
    assert "validates only once" in line


def test_a_rate_that_falls_before_it_has_risen_is_told() -> None:
    decay = {"decay_factor": 0.5, "decay_after_steps": 100, "decay_every_steps": 100}
    schedule = Schedule("step_decay", 0.1, 400, total_steps=1000, **decay)
    training = TrainingSettings()
    assert list(misfits(training, schedule, epoch=100, processes=1, gpu_tokens=None)) == [
        "warning: training.decay_after_steps = 100 lies within the warm-up of 400 steps: the learning rate ends it at "
        "0.1 and goes on at 0.00625; raise training.decay_after_steps, which counts the warm-up too"
    ], "0.1 halved after 100, 200, 300 and 400 steps"
    after = replace(schedule, decay_after_steps=400)
    assert list(misfits(training, after, epoch=100, processes=1, gpu_tokens=None)) == []


def test_a_rate_that_falls_by_epochs_before_it_has_risen_is_told() -> None:
    schedule = Schedule("epoch_decay", 0.1, 400, total_steps=1000, decay_factor=0.5, decay_after_epochs=2)
    training = TrainingSettings()
    assert list(misfits(training, schedule, epoch=199, processes=1, gpu_tokens=None)) == [
        "warning: training.decay_after_epochs = 2, 398 steps, lies within the warm-up of 400 steps: the learning rate "
        "ends it at 0.1 and goes on at 0.05; raise training.decay_after_epochs, which counts the warm-up too"
    ]
    assert list(misfits(training, schedule, epoch=200, processes=1, gpu_tokens=None)) == []
    later = replace(schedule, kind="cosine")
    assert list(misfits(training, later, epoch=100, processes=1, gpu_tokens=None)) == []


def test_a_rate_that_would_begin_to_fall_after_the_end_of_the_run_is_told() -> None:
    schedule = Schedule("step_decay", 0.1, 0, total_steps=1000, decay_after_steps=1000)
    training = TrainingSettings(warmup_steps=0)
    assert list(misfits(training, schedule, epoch=100, processes=1, gpu_tokens=None)) == [
        "warning: the run has 1,000 steps, no more than training.decay_after_steps = 1,000: the learning rate never "
        "falls; lower training.decay_after_steps"
    ]
    longer = replace(schedule, total_steps=1001)
    assert list(misfits(training, longer, epoch=100, processes=1, gpu_tokens=None)) == []
