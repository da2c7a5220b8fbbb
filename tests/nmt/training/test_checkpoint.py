import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from nmt.config import ModelSettings, TrainingSettings
from nmt.errors import ModelError
from nmt.models.build import build_language_model, build_model
from nmt.models.seq2seq import Seq2Seq
from nmt.training.checkpoint import Checkpoints, checkpoint_step, list_checkpoints, read_weights
from nmt.training.distributed import Ranks
from nmt.training.loss_scale import LossScale
from nmt.training.state import Carry, Horizon, Position, TrainingState
from nmt.training.update import MovingAverage, make_optimizer

STATE = TrainingState(step=1, position=Position(2, ((800, 7),)), horizon=Horizon(0, 3, 800, 1, 9), best_score=2.5)


def model_of(seed: int, *, hidden_size: int = 6) -> Seq2Seq:
    settings = ModelSettings(embedding_size=4, hidden_size=hidden_size, encoder_layers=1)
    return build_model(settings, src_vocab_size=9, tgt_vocab_size=9, joint=True, seed=seed)


class Run:
    """A model with its optimiser and checkpoints."""

    def __init__(self, folder: Path, seed: int, *, keep: int = 3, ema: bool = False, **changes: object) -> None:
        self.model = model_of(seed)
        self.optimizer = make_optimizer(TrainingSettings.model_validate(changes), self.model.parameters())
        self.average = MovingAverage(self.model, decay=0.5) if ema else None
        self.checkpoints = Checkpoints(folder, self.model, self.optimizer, average=self.average, keep=keep)
        self.complaints: list[str] = []

    def step(self, number: int = 1) -> None:
        sum((parameter**2).sum() for parameter in self.model.parameters()).backward()  # type: ignore[union-attr]
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.average is not None:
            self.average.update(step=number)

    def load(self) -> TrainingState | None:
        return self.checkpoints.load_newest(on_damage=self.complaints.append)


def weights(model: Seq2Seq) -> list[list[float]]:
    return [parameter.flatten().tolist() for parameter in model.parameters()]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """The checkpoint of a run of one step."""
    run = Run(tmp_path, 1)
    run.step()
    run.checkpoints.writer(STATE)()
    return list_checkpoints(tmp_path)[0]


@pytest.mark.parametrize("changes", [{}, {"optimizer": "sgd"}, {"optimizer": "sgd", "momentum": 0.9}])
@pytest.mark.parametrize("ema", [False, True])
def test_weights_average_optimiser_and_counters_come_back(
    tmp_path: Path, changes: dict[str, object], ema: bool
) -> None:
    run, again = Run(tmp_path, 1, ema=ema, **changes), Run(tmp_path, 2, ema=ema, **changes)
    run.step()
    run.checkpoints.writer(STATE)()
    assert again.load() == STATE
    for one in (run, again):
        one.step(2)
    assert weights(again.model) == weights(run.model)
    if run.average is not None and again.average is not None:
        with run.average.in_place(), again.average.in_place():
            assert weights(again.model) == weights(run.model)


def test_the_scale_of_the_loss_comes_back_and_a_run_that_never_had_one_goes_on_with_its_own(tmp_path: Path) -> None:
    runs = [Run(tmp_path, seed) for seed in (1, 2)]
    for run in runs:
        run.checkpoints.scale = LossScale(torch.device("cpu"))
    first, second = (run.checkpoints.scale for run in runs)
    assert first is not None
    assert second is not None
    first.restore(torch.tensor([1024.0, 7, 3, 0]))
    runs[0].checkpoints.writer(STATE)()
    runs[1].load()
    assert second.state().tolist() == [1024, 7, 3, 0]
    Run(tmp_path, 1).checkpoints.writer(replace(STATE, step=2))()
    runs[1].load()
    assert second.state().tolist() == [1024, 7, 3, 0]


def test_a_scale_of_another_form_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(tmp_path, 1)
    run.checkpoints.scale = LossScale(torch.device("cpu"))
    with monkeypatch.context() as patch:
        patch.setattr(LossScale, "state", lambda scale: torch.ones(3))
        run.checkpoints.writer(STATE)()
    with pytest.raises(ModelError, match=r"loss_scale is \[3\] of torch\.float32, expected \[4\] of torch\.float32$"):
        run.load()


def test_a_run_that_begins_to_average_starts_from_its_weights(tmp_path: Path) -> None:
    run, again = Run(tmp_path, 1), Run(tmp_path, 2, ema=True)
    run.checkpoints.writer(STATE)()
    again.load()
    assert again.average is not None
    with again.average.in_place():
        assert weights(again.model) == weights(run.model)


def test_without_a_checkpoint_there_is_no_state(tmp_path: Path) -> None:
    assert Run(tmp_path, 1).load() is None


def test_the_last_few_checkpoints_are_kept(tmp_path: Path) -> None:
    run = Run(tmp_path, 1, keep=2)
    for step in (5, 10, 100_000_000):
        run.checkpoints.writer(replace(STATE, step=step))()
    assert [checkpoint_step(path) for path in list_checkpoints(tmp_path)] == [10, 100_000_000]


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(tmp_path: Path) -> None:
    run, again = Run(tmp_path, 1, keep=1), Run(tmp_path, 2, keep=2)
    run.checkpoints.writer(replace(STATE, step=4))()
    before = weights(run.model)
    run.step()
    Checkpoints(tmp_path, run.model, run.optimizer, average=None, keep=2).writer(replace(STATE, step=8))()
    newest = list_checkpoints(tmp_path)[1]
    newest.write_bytes(newest.read_bytes()[:-10])
    state = again.load()
    assert state is not None
    assert state.step == 4
    assert weights(again.model) == before
    assert len(again.complaints) == 1
    assert again.complaints[0].startswith(f"checkpoint {newest} is damaged: ")
    again.checkpoints.writer(replace(state, step=6))()  # the damaged one is of a future that the run has gone back from
    assert [checkpoint_step(path) for path in list_checkpoints(tmp_path)] == [4, 6]


def test_a_single_altered_byte_is_noticed(saved: Path) -> None:
    content = bytearray(saved.read_bytes())
    content[-1] ^= 1
    saved.write_bytes(content)
    run = Run(saved.parents[1], 1)
    with pytest.raises(ModelError, match=r"no checkpoint in .*checkpoints can be used; choose a new folder"):
        run.load()
    assert run.complaints == [f"checkpoint {saved} is damaged: its content is not what was written"]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("format_version", "1", "has format version 1, this program reads 3"),
        ("state", "{}", "is damaged: its content is not what was written"),
    ],
)
def test_another_version_and_altered_counters_are_refused(saved: Path, key: str, value: str, message: str) -> None:
    with safe_open(saved, framework="pt") as file:
        metadata = file.metadata()
    save_file(load_file(saved), saved, {**metadata, key: value})
    with pytest.raises(ModelError, match=f"checkpoint .*{saved.name} {message}"):
        read_weights(saved)


def test_a_model_of_another_shape_is_refused(saved: Path) -> None:
    other = model_of(1, hidden_size=8)
    optimizer = make_optimizer(TrainingSettings(), other.parameters())
    checkpoints = Checkpoints(saved.parents[1], other, optimizer, average=None, keep=1)
    with pytest.raises(ModelError, match=r"has shape \[.*\], expected \[.*\]"):
        checkpoints.load_newest(on_damage=print)


def test_the_weights_of_a_checkpoint_are_the_average_where_there_is_one(tmp_path: Path) -> None:
    run = Run(tmp_path, 1, ema=True)
    first = next(iter(run.model.parameters())).detach().clone()
    run.step()
    run.checkpoints.writer(STATE)()
    plain, (name, second) = Run(tmp_path / "plain", 1), next(iter(run.model.named_parameters()))
    read = read_weights(list_checkpoints(tmp_path)[0])
    assert read.keys() == dict(plain.model.named_parameters()).keys()
    # the decay after the first update is 2 / 11
    torch.testing.assert_close(read[name], first * 2 / 11 + second.detach() * 9 / 11)


def test_what_killed_writers_left_is_removed(saved: Path) -> None:
    leftover = saved.with_name(f".{saved.name}.4711.tmp")
    leftover.write_bytes(b"half")
    Run(saved.parents[1], 1).checkpoints.clean_up()
    assert not leftover.exists()
    assert saved.exists()


def test_what_a_language_model_carries_comes_back_with_the_rest(tmp_path: Path) -> None:
    run = Run(tmp_path, 1)
    run.checkpoints.carry = Carry(Ranks(), rows=2)
    carried = {"layer0/0": torch.tensor([[0.1], [0.2]]), "layer0/1": torch.tensor([[0.3], [0.4]])}
    run.checkpoints.writer(STATE, carried)()
    other = Run(tmp_path, 2)
    other.checkpoints.carry = Carry(Ranks(), rows=2)
    assert other.load() == STATE
    assert other.checkpoints.carry.state is not None
    ((h, c),) = other.checkpoints.carry.state
    assert torch.equal(h, carried["layer0/0"])
    assert torch.equal(c, carried["layer0/1"])
    assert weights(other.model) == weights(run.model)


def test_an_altered_state_is_noticed_too(tmp_path: Path) -> None:
    run = Run(tmp_path, 1)
    run.checkpoints.writer(STATE, {"layer0/0": torch.tensor([[0.1]])})()
    (path,) = list_checkpoints(tmp_path)
    tensors = load_file(path)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    save_file({**tensors, "carried/layer0/0": torch.tensor([[0.2]])}, path, metadata)
    with pytest.raises(ModelError, match=r"no checkpoint in .* can be used"):
        run.load()


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_no_checkpoint(tmp_path: Path, make: Callable[[Path], None]) -> None:
    run = Run(tmp_path, 1)
    run.checkpoints.writer(replace(STATE, step=4))()
    make(tmp_path / "checkpoints" / "step-00000008.safetensors")
    state = run.load()
    assert state is not None
    assert state.step == 4
    assert re.search(r"checkpoint .*step-00000008\.safetensors is no regular file$", run.complaints[0])


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("optimizer/{}/exp_avg", torch.zeros(2), r"optimizer/.*/exp_avg is \[2\] of torch.float32, expected \[9, 4\]"),
        ("optimizer/{}/exp_avg", torch.zeros(9, 4, dtype=torch.bool), r"of torch.bool, expected \[9, 4\]"),
        ("optimizer/{}/exp_avg", torch.zeros(9, 4).double(), r"of torch.float64, expected \[9, 4\] of torch.float32"),
        ("optimizer/{}/step", torch.zeros(2), r"/step is \[2\] of torch.float32, expected \[\] of"),
        ("optimizer/{}/other", torch.zeros(()), r"the optimiser has exp_avg, .*, other, step, expected exp_avg, "),
        ("average/{}", torch.zeros(()), r"average/.* is \[\] of torch.float32, expected \[9, 4\]"),
    ],
)
def test_what_does_not_belong_to_a_weight_is_refused(tmp_path: Path, part: str, value: Tensor, message: str) -> None:
    run = Run(tmp_path, 1, ema=True)
    run.step()
    name = next(iter(dict(run.model.named_parameters())))
    tensors = {**run.checkpoints._tensors(), part.format(name): value}
    with pytest.raises(ModelError, match=message):
        run.checkpoints._restore(tensors, where=tmp_path)


@pytest.mark.parametrize(
    ("carried", "message"),
    [
        ({"layer0/0": torch.zeros(2, 16)}, r"the state has layer0/0, expected layer0/0, layer0/1"),
        ({"layer0/0": torch.zeros(2, 16), "layer0/x": torch.zeros(2, 16)}, r"has layer0/0, layer0/x, expected"),
        ({"layer0/0": torch.zeros(2, 16), "layer0/1": torch.zeros(3, 16)}, r"layer0/1 is \[3, 16\] .* \[2, 16\]"),
    ],
)
def test_a_state_of_another_form_than_the_language_model_has_is_refused(
    tmp_path: Path, carried: dict[str, Tensor], message: str
) -> None:
    model = build_language_model(ModelSettings(kind="lm", embedding_size=4, hidden_size=16), vocab_size=9, seed=1)
    carry = Carry(Ranks(), rows=2)
    optimizer = make_optimizer(TrainingSettings(), model.parameters())
    checkpoints = Checkpoints(tmp_path, model, optimizer, average=None, keep=1, carry=carry)
    assert list(carry.forms(model).items()) == [("layer0/0", (2, 16)), ("layer0/1", (2, 16))]
    checkpoints.writer(STATE, carried)()
    with pytest.raises(ModelError, match=message):
        checkpoints.load_newest(on_damage=print)
