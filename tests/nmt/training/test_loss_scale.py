"""The scale of the loss in fp16; a CPU computes in it as well."""

import math
from collections.abc import Iterator, Sequence

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from nmt.config import TrainingSettings
from nmt.models import fused_layers
from nmt.training.loss_scale import LossScale
from nmt.training.update import Updater, make_optimizer
from tests.nmt.training.test_update import ALONE, CPU, data, plain, tiny


class Run:
    """One weight, whose gradient is given."""

    def __init__(self, scale: LossScale | None = None, *, settings: TrainingSettings | None = None) -> None:
        self.weight = nn.Parameter(torch.ones(1))
        self.optimizer: Optimizer = make_optimizer(settings or TrainingSettings(), [self.weight])
        self.scale = scale or LossScale(CPU)

    def step(self, gradient: float) -> float:
        """Return the norm that the step reports."""
        self.scale.of(self.weight.sum() * gradient).backward()
        self.scale.unscale(self.optimizer)
        norm = torch.nn.utils.clip_grad_norm_([self.weight], math.inf)
        found = self.scale.step(self.optimizer, norm).item()
        self.optimizer.zero_grad()
        return found


def test_a_scaled_loss_has_the_gradients_of_the_plain_one() -> None:
    run = Run()
    assert run.scale.state().tolist() == [65536, 0, 0, 0]
    assert run.step(0.25) == 0.25
    assert run.weight.item() == pytest.approx(1 - 0.002)  # what Adam's first step is
    assert run.scale.state().tolist() == [65536, 1, 0, 0]


def test_an_overflow_skips_the_update_and_halves_the_scale() -> None:
    run = Run()
    run.step(0.25)
    before, counter = run.weight.item(), run.optimizer.state[run.weight]["step"].item()
    assert run.scale.news() is None
    assert run.step(math.inf) == 0.0
    assert (run.weight.item(), run.optimizer.state[run.weight]["step"].item()) == (before, counter)
    assert run.scale.news() == "1 update skipped so far, as fp16 overflowed; the loss is multiplied by 32,768"
    assert run.scale.news() is None
    run.step(0.25)
    assert run.weight.item() < before
    assert run.scale.state().tolist() == [32768, 1, 1, 0]


@pytest.fixture
def _fresh_memory_is_nan() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.usefixtures("_fresh_memory_is_nan")
def test_a_first_update_that_is_skipped_leaves_no_momentum() -> None:
    run = Run(settings=TrainingSettings(optimizer="sgd", momentum=0.5, learning_rate=0.25))
    for gradient in (math.inf, 1.0, 1.0):
        run.step(gradient)
    assert run.weight.item() == 1 - 0.25 * (1.0 + 1.5)


def test_updates_that_never_stop_overflowing_show_it_in_the_norm() -> None:
    run = Run()
    assert [run.step(math.nan) for _ in range(16)] == [0.0] * 16
    assert math.isnan(run.step(math.nan))


def test_a_restored_scale_goes_on_as_the_old_one_would() -> None:
    first = Run()
    for gradient in (0.25, math.inf, 0.5):
        first.step(gradient)
    second = LossScale(CPU)
    second.restore(first.scale.state())
    assert second.news() is None
    runs = Run(first.scale), Run(second)
    for run in runs:
        run.step(math.inf)
    assert runs[0].scale.state().tolist() == runs[1].scale.state().tolist() == [16384, 0, 2, 1]


def updated(precision: str, *, scale: LossScale | None, groups: Sequence[Sequence[int]] = (range(8),)) -> list[Tensor]:
    model = tiny()
    made = Updater(
        loss=plain(model),
        optimizer=torch.optim.SGD(model.parameters(), lr=99.0),
        device=CPU,
        precision=precision,  # type: ignore[arg-type]
        clip_norm=1.0,
        clip_value=math.inf,
        average=None,
        ranks=ALONE,
        on_message=[].append,
        scale=scale,
    )
    made.update(data(*groups), step=1, seed=5, rate=0.5)
    return list(model.parameters())


def test_an_update_in_fp16_is_close_to_one_in_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused_layers, "find", lambda name: None)  # oneDNN trains no LSTM in it
    exact = updated("fp32", scale=None)
    for groups in [(range(8),), ([0, 3, 5], [1], [2, 4, 6, 7])]:
        for found, expected in zip(updated("fp16", scale=LossScale(CPU), groups=groups), exact, strict=True):
            torch.testing.assert_close(found, expected, rtol=0.01, atol=0.002)
