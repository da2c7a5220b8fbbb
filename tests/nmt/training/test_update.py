import math
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nmt.config import ModelSettings, TrainingSettings
from nmt.models.build import build_model
from nmt.models.seq2seq import Seq2Seq
from nmt.text.sequences import FlatSequences
from nmt.training import update
from nmt.training.distributed import Ranks
from nmt.training.feeding import TrainingPairs, UpdateData
from nmt.training.loss_scale import LossScale
from nmt.training.objectives.full import FullSoftmax
from nmt.training.state import Position
from nmt.training.translation import TrainingLoss
from nmt.training.update import MovingAverage, Schedule, ScheduleKind, Updater, make_optimizer, step

CPU = torch.device("cpu")
ALONE = Ranks()
RNG = np.random.default_rng(0)


def sentences(lengths: Sequence[int]) -> FlatSequences:
    return FlatSequences.from_lists([[int(token) for token in RNG.integers(4, 12, size=length)] for length in lengths])


PAIRS = TrainingPairs(sentences([3, 5, 1, 4, 2, 6, 3, 2]), sentences([4, 4, 2, 5, 3, 3, 1, 7]), reverse_source=True)


def tiny(dropout: float = 0.0) -> Seq2Seq:
    settings = ModelSettings(embedding_size=4, hidden_size=6, dropout=dropout)
    return build_model(settings, src_vocab_size=12, tgt_vocab_size=12, joint=True, seed=1).train()


def data(*groups: Sequence[int]) -> UpdateData:
    """An update from a batch for every group of row numbers."""
    batches = tuple(PAIRS.batch(np.array(rows)) for rows in groups)
    return UpdateData(batches, sum(PAIRS.take(np.array(rows), seed=0).pieces() for rows in groups), Position())


def updater(
    loss: nn.Module,
    *,
    clip_norm: float = math.inf,
    clip_value: float = math.inf,
    average: MovingAverage | None = None,
    ranks: Ranks = ALONE,
) -> Updater:
    optimizer = torch.optim.SGD(loss.parameters(), lr=99.0)
    return Updater(
        loss=loss,
        optimizer=optimizer,
        device=CPU,
        precision="fp32",
        clip_norm=clip_norm,
        clip_value=clip_value,
        average=average,
        ranks=ranks,
        on_message=[].append,
    )


def plain(model: Seq2Seq) -> nn.Module:
    return TrainingLoss(model, FullSoftmax(label_smoothing=0.1))


def after_one(made: Updater, model: Seq2Seq, update: UpdateData, *, seed: int = 5, rate: float = 0.5) -> list[Tensor]:
    made.update(update, step=1, seed=seed, rate=rate)
    return [parameter.detach().clone() for parameter in model.parameters()]


def assert_close(got: list[Tensor], expected: list[Tensor]) -> None:
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(one, other)


def assert_differ(got: list[Tensor], expected: list[Tensor]) -> None:
    assert not all(torch.equal(one, other) for one, other in zip(got, expected, strict=True))


def test_an_update_over_several_batches_is_one_over_all_their_pairs() -> None:
    one, several = tiny(), tiny()
    whole = after_one(updater(plain(one)), one, data(range(8)))
    parts = after_one(updater(plain(several)), several, data([0, 3, 5], [1], [2, 4, 6, 7]))
    assert_close(parts, whole)
    assert_differ(whole, [parameter.detach() for parameter in tiny().parameters()])


@pytest.mark.parametrize("clip_norm", [0.01, math.inf])
def test_an_update_is_the_clipped_gradient_of_the_mean_loss_times_the_rate(clip_norm: float) -> None:
    model, slow = tiny(), tiny()
    total, words = torch.zeros(()), 0
    for row in range(8):
        batch = PAIRS.batch(np.array([row]))
        logits = slow.output(slow(batch))[0]
        total = total + nn.functional.cross_entropy(logits, batch.tgt.outputs[0], reduction="sum", label_smoothing=0.1)
        words += len(logits)
    grads = torch.autograd.grad(total / words, list(slow.parameters()))
    norm = math.sqrt(sum(float((grad**2).sum()) for grad in grads))
    expected = [
        parameter.detach() - 0.5 * grad * min(1.0, clip_norm / norm)
        for parameter, grad in zip(slow.parameters(), grads, strict=True)
    ]
    made = updater(plain(model), clip_norm=clip_norm)
    loss, found_norm = made.update(data(range(5), range(5, 8)), step=1, seed=5, rate=0.5)
    assert_close([parameter.detach() for parameter in model.parameters()], expected)
    assert loss.item() == pytest.approx(total.item(), rel=1e-5)
    assert found_norm.item() == pytest.approx(norm, rel=1e-4)
    assert norm > 0.01


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("scale", [None, LossScale(CPU)], ids=["", "scaled loss"])
@pytest.mark.parametrize("clip_norm", [0.5, 1000.0])
def test_an_optimiser_that_divides_gradients_by_itself_clips_as_torch_does(
    optimizer: Any, scale: LossScale | None, clip_norm: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, found = TrainingSettings(optimizer=optimizer, weight_decay=0.01), list[list[Tensor]]()
    for dividing in ("cuda", "cpu"):
        monkeypatch.setattr(update, "_DIVIDING", dividing)
        model = tiny()
        made = updater(plain(model), clip_norm=clip_norm)
        made.optimizer, made.scale = make_optimizer(settings, model.parameters()), scale
        norms = [made.update(data([0, 1], [step]), step=step, seed=5, rate=0.1)[1] for step in (1, 2, 3)]
        found.append([*norms, *(parameter.detach() for parameter in model.parameters())])
    assert_close(*found)
    assert (found[0][0] > clip_norm) == (clip_norm < 1)


def test_nothing_is_left_of_the_gradient_of_the_update_before() -> None:
    model = tiny()
    made = updater(plain(model))
    made.update(data([0, 1]), step=1, seed=5, rate=0.0)
    assert all(parameter.grad is None for parameter in model.parameters())
    fresh = tiny()
    assert_close(after_one(made, model, data([2, 3])), after_one(updater(plain(fresh)), fresh, data([2, 3])))


def test_the_rate_is_that_of_this_update() -> None:
    model = tiny()
    start = [parameter.detach().clone() for parameter in model.parameters()]
    made = updater(plain(model))
    assert_close(after_one(made, model, data(range(8)), rate=0.0), start)
    one = after_one(made, model, data(range(8)), rate=0.25)
    twin = tiny()
    two = after_one(updater(plain(twin)), twin, data(range(8)), rate=0.5)
    for begin, near, far in zip(start, one, two, strict=True):
        torch.testing.assert_close(far - begin, 2 * (near - begin), rtol=1e-4, atol=1e-6)


def test_the_seed_decides_on_the_dropout() -> None:
    def weights(seed: int, ranks: Ranks = ALONE) -> list[Tensor]:
        model = tiny(dropout=0.5)
        torch.rand(3)  # what was drawn before makes no difference
        return after_one(updater(plain(model), ranks=ranks), model, data(range(8)), seed=seed)

    assert all(torch.equal(one, other) for one, other in zip(weights(5), weights(5), strict=True))
    assert_differ(weights(5), weights(6))
    assert_differ(weights(5, Ranks(0, 2)), weights(5, Ranks(1, 2)))


def test_the_largest_seeds_are_seeds_too() -> None:
    model = tiny(dropout=0.5)
    after_one(updater(plain(model), ranks=Ranks(2, 3)), model, data([0]), seed=2**63 - 1)


def test_each_of_several_processes_gives_its_part_of_the_mean() -> None:
    # the mean over 2 processes of gradients that were scaled by 2 / words is that of all words
    whole, first, second = tiny(), tiny(), tiny()
    start = [parameter.detach().clone() for parameter in whole.parameters()]
    update = data(range(8))
    together = after_one(updater(plain(whole)), whole, update)
    halves = []
    for rank, model in enumerate((first, second)):
        part = UpdateData(data(range(rank, 8, 2)).batches, update.pieces, Position())
        halves.append(after_one(updater(plain(model), ranks=Ranks(rank, 2)), model, part))
    for begin, all_of_it, one, other in zip(start, together, *halves, strict=True):
        torch.testing.assert_close(((one - begin) + (other - begin)) / 2, all_of_it - begin, rtol=1e-4, atol=1e-6)


def test_the_average_follows_every_update() -> None:
    model = tiny()
    average = MovingAverage(model, decay=0.9)
    start = [parameter.detach().clone() for parameter in model.parameters()]
    made = updater(plain(model), average=average)
    weights = after_one(made, model, data(range(8)))  # step 1: a decay of 2 / 11
    expected = [2 / 11 * begin + 9 / 11 * weight for begin, weight in zip(start, weights, strict=True)]
    assert_close([average.of(parameter) for parameter in model.parameters()], expected)


@pytest.mark.needs("bf16")
def test_in_bf16_the_weights_stay_fp32_and_the_update_is_about_the_same() -> None:
    model, twin = tiny(), tiny()
    start = [parameter.detach().clone() for parameter in model.parameters()]
    made = updater(plain(model))
    made.precision = "bf16"
    got = after_one(made, model, data(range(8)))
    expected = after_one(updater(plain(twin)), twin, data(range(8)))
    for begin, one, other in zip(start, got, expected, strict=True):
        assert one.dtype == torch.float32
        assert (one - other).norm() <= 0.05 * (other - begin).norm() + 1e-5


@pytest.mark.parametrize("groups", [[range(8)], [range(5), range(5, 8)]])
@pytest.mark.parametrize("clip_norm", [0.01, math.inf])
def test_every_entry_of_the_gradient_of_all_batches_is_clipped(groups: list[range], clip_norm: float) -> None:
    free, clipped, limit = tiny(), tiny(), 1e-3
    start = [parameter.detach().clone() for parameter in free.parameters()]
    made = updater(plain(free), clip_norm=clip_norm)
    far = after_one(made, free, data(*groups), rate=1.0)
    near = after_one(updater(plain(clipped), clip_norm=clip_norm, clip_value=limit), clipped, data(*groups), rate=1.0)
    expected = [begin + (end - begin).clamp(-limit, limit) for begin, end in zip(start, far, strict=True)]
    assert_close(near, expected)
    assert_differ(near, far)


def test_the_norm_is_reported_as_it_was_before_any_clipping() -> None:
    _, free = updater(plain(tiny())).update(data(range(8)), step=1, seed=5, rate=0.5)
    _, clipped = updater(plain(tiny()), clip_value=1e-6).update(data(range(8)), step=1, seed=5, rate=0.5)
    assert clipped.item() == pytest.approx(free.item())


KINDS: list[ScheduleKind] = ["constant", "inverse_sqrt", "cosine", "plateau", "epoch_decay", "step_decay"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_rate_rises_linearly_to_its_peak(kind: ScheduleKind) -> None:
    schedule = Schedule(kind, peak=0.8, warmup_steps=4, total_steps=100)
    assert [schedule.rate(step) for step in (1, 2, 3, 4)] == pytest.approx([0.2, 0.4, 0.6, 0.8])


@pytest.mark.parametrize("kind", KINDS)
def test_without_warm_up_the_first_step_has_a_positive_rate(kind: ScheduleKind) -> None:
    rate = Schedule(kind, peak=0.8, warmup_steps=0, total_steps=100, decay_after_steps=1).rate(1)
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
    assert subprocess.run([sys.executable, "-c", WITHOUT_COMPILER], timeout=120).returncode == 0


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


def test_the_rate_falls_after_some_steps_and_then_every_few() -> None:
    decay = {"decay_factor": 0.5, "decay_after_steps": 4, "decay_every_steps": 2}
    schedule = Schedule("step_decay", 0.8, warmup_steps=2, total_steps=9, **decay)
    assert [schedule.rate(step) for step in range(1, 10)] == [0.4, 0.8, 0.8, 0.8, 0.4, 0.4, 0.2, 0.2, 0.1]


def test_a_factor_for_so_many_steps_knows_no_passes() -> None:
    assert Schedule("step_decay", 0.8, 0, 9, decay_factor=0.5, decay_after_steps=5).rate(5, epoch=7) == 0.8


def test_other_schedules_know_no_passes() -> None:
    assert Schedule("constant", 0.8, warmup_steps=0, total_steps=9, decay_factor=0.5).rate(5, epoch=7) == 0.8
