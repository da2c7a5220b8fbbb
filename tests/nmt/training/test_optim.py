import math
import subprocess
import sys

import pytest
import torch

from nmt.config import TrainingSettings
from nmt.training.update import Schedule, ScheduleKind, make_optimizer, step

KINDS: list[ScheduleKind] = ["constant", "inverse_sqrt", "cosine", "plateau", "epoch_decay"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_rate_rises_linearly_to_its_peak(kind: ScheduleKind) -> None:
    schedule = Schedule(kind, peak=0.8, warmup_steps=4, total_steps=100)
    assert [schedule.rate(step) for step in (1, 2, 3, 4)] == pytest.approx([0.2, 0.4, 0.6, 0.8])


@pytest.mark.parametrize("kind", KINDS)
def test_without_warm_up_the_first_step_has_a_positive_rate(kind: ScheduleKind) -> None:
    rate = Schedule(kind, peak=0.8, warmup_steps=0, total_steps=100).rate(1)
    assert rate == pytest.approx(0.8, rel=1e-3)


def test_inverse_square_root_is_halved_at_four_times_the_warm_up() -> None:
    assert Schedule("inverse_sqrt", 0.8, warmup_steps=100, total_steps=1000).rate(400) == pytest.approx(0.4)


def test_cosine_is_half_way_down_in_the_middle_and_zero_after_the_end() -> None:
    schedule = Schedule("cosine", 0.8, warmup_steps=10, total_steps=109)
    assert schedule.rate(60) == pytest.approx(0.4)
    assert schedule.rate(35) == pytest.approx(0.4 * (1 + math.sqrt(0.5)))
    assert schedule.rate(110) == pytest.approx(0.0)
    assert schedule.rate(500) == pytest.approx(0.0)


@pytest.mark.parametrize("warmup_steps", [0, 1, 3, 4])
def test_the_last_update_of_a_cosine_still_changes_something(warmup_steps: int) -> None:
    schedule = Schedule("cosine", 0.8, warmup_steps=warmup_steps, total_steps=4)
    assert schedule.rate(max(1, warmup_steps)) == pytest.approx(0.8)
    assert schedule.rate(4) > 0.1
    assert schedule.rate(5) == pytest.approx(0.0)


def test_plateaus_halve_the_rate() -> None:
    schedule = Schedule("plateau", 0.8, warmup_steps=0, total_steps=10)
    assert [schedule.rate(5, halvings=n) for n in (0, 1, 3)] == pytest.approx([0.8, 0.4, 0.1])


@pytest.mark.parametrize(
    ("name", "kind"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW), ("sgd", torch.optim.SGD)]
)
def test_each_rule_moves_a_weight_downhill(name: str, kind: type) -> None:
    settings = TrainingSettings.model_validate({"optimizer": name, "learning_rate": 0.1, "weight_decay": 0.0})
    weight = torch.nn.Parameter(torch.tensor([1.0]))
    optimizer = make_optimizer(settings, [weight])
    assert type(optimizer) is kind
    (weight**2).sum().backward()
    optimizer.step()
    assert weight.item() == pytest.approx({"adam": 0.9, "adamw": 0.9, "sgd": 0.8}[name])


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_a_step_is_that_of_the_library(name: str) -> None:
    settings = TrainingSettings.model_validate({"optimizer": name, "momentum": 0.9, "weight_decay": 0.01})
    weights = []
    for make_step in (step, lambda optimizer: optimizer.step()):
        weight = torch.nn.Parameter(torch.tensor([1.0, -2.0, 3.0]))
        optimizer = make_optimizer(settings, [weight])
        for _ in range(3):
            (weight**3).sum().backward()
            make_step(optimizer)
            optimizer.zero_grad()
        weights.append(weight.detach())
    assert torch.equal(*weights)
    assert weights[0][0] != 1.0


WITHOUT_COMPILER = """
import sys
import torch
from nmt.config import TrainingSettings
from nmt.training.update import make_optimizer, step
weight = torch.nn.Parameter(torch.ones(1))
optimizer = make_optimizer(TrainingSettings(), [weight])
weight.sum().backward()
step(optimizer)
optimizer.zero_grad()
sys.exit("torch._dynamo" in sys.modules)
"""


def test_no_step_loads_the_compiler_of_torch() -> None:
    assert subprocess.run([sys.executable, "-c", WITHOUT_COMPILER], timeout=60).returncode == 0


def test_the_settings_reach_the_rule() -> None:
    settings = TrainingSettings(optimizer="sgd", momentum=0.9, weight_decay=0.01, learning_rate=0.5)
    group = make_optimizer(settings, [torch.nn.Parameter(torch.ones(1))]).param_groups[0]
    assert (group["lr"], group["momentum"], group["weight_decay"]) == (0.5, 0.9, 0.01)
    settings = TrainingSettings(optimizer="adamw", betas=(0.8, 0.9), weight_decay=0.01)
    group = make_optimizer(settings, [torch.nn.Parameter(torch.ones(1))]).param_groups[0]
    assert (group["betas"], group["weight_decay"]) == ((0.8, 0.9), 0.01)


def test_every_pass_after_the_first_few_lowers_the_rate() -> None:
    schedule = Schedule("epoch_decay", 0.8, warmup_steps=0, total_steps=9, decay_after_epochs=2, decay_factor=0.5)
    assert [schedule.rate(9, epoch=epoch) for epoch in range(5)] == [0.8, 0.8, 0.4, 0.2, 0.1]


def test_without_passes_at_the_full_rate_the_first_one_is_lower_already() -> None:
    schedule = Schedule("epoch_decay", 1.2, warmup_steps=0, total_steps=9, decay_after_epochs=0, decay_factor=1 / 1.2)
    assert schedule.rate(1, epoch=0) == pytest.approx(1.0)


def test_other_schedules_know_no_passes() -> None:
    assert Schedule("constant", 0.8, warmup_steps=0, total_steps=9, decay_factor=0.5).rate(5, epoch=7) == 0.8
