"""Updates that several threads compute: the same to the last bit as if each part was computed after the other."""

import copy
import gc
import itertools
import math
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from nmt.batching import TrainingBatch
from nmt.config import ModelSettings, Settings, TrainingSettings
from nmt.config.model import CELLS
from nmt.errors import TrainingError
from nmt.models.build import build_language_model, build_model
from nmt.models.devices import Precision, autocast
from nmt.models.embedding import Draws
from nmt.models.folder import WEIGHTS
from nmt.prepared import PreparedData, PreparedText
from nmt.text.sequences import FlatSequences
from nmt.training.distributed import Ranks
from nmt.training.feeding import TrainingPairs, UpdateData
from nmt.training.language_modelling import SegmentLoss
from nmt.training.loop import Trainer
from nmt.training.objectives.full import FullSoftmax
from nmt.training.observers import Silence
from nmt.training.state import Carry, Position
from nmt.training.text_feeding import Parts, TextStream
from nmt.training.threads import most_threads
from nmt.training.trainer import train
from nmt.training.translation import TrainingLoss
from nmt.training.update import Updater, make_objective

CPU = torch.device("cpu")
SEED = 5


def sentences(*lengths: int) -> FlatSequences:
    rng = np.random.default_rng(0)
    return FlatSequences.from_lists([rng.integers(4, 12, size=length).tolist() for length in lengths])


PAIRS = TrainingPairs(sentences(3, 5, 1, 4, 2, 6, 3, 2), sentences(4, 4, 2, 5, 3, 3, 1, 7), reverse_source=True)
TEXT = TextStream(FlatSequences.from_lists([[4 + (i * j) % 7 for j in range(1 + i % 5)] for i in range(12)]))


def pairs(*groups: Sequence[int]) -> UpdateData:
    """An update from a batch for every group of row numbers."""
    batches = tuple(PAIRS.batch(np.array(rows)) for rows in groups)
    return UpdateData(batches, sum(len(batch.tgt.pieces) for batch in batches), Position())


def loss_of(model: ModelSettings, training: TrainingSettings | None = None) -> TrainingLoss:
    made = build_model(model, src_vocab_size=12, tgt_vocab_size=12, joint=True, seed=1).train()
    counts = np.arange(12, dtype=np.int64)
    return TrainingLoss(made, make_objective(training or TrainingSettings(samples=5), counts))


def updater(
    loss: nn.Module,
    *,
    parts: int,
    precision: Precision = "fp32",
    carry: Carry | None = None,
    told: list[str] | None = None,
) -> Updater:
    return Updater(
        loss=loss,
        optimizer=torch.optim.SGD(loss.parameters(), lr=99.0),
        device=CPU,
        precision=precision,
        clip_norm=math.inf,
        clip_value=math.inf,
        average=None,
        ranks=Ranks(),
        on_message=[].append if told is None else told.append,
        carry=carry,
        parts=parts,
    )


def one_after_the_other(
    loss: nn.Module, shares: Sequence[Sequence[TrainingBatch]], *, pieces: int, precision: Precision = "fp32"
) -> list[Tensor]:
    """Return the weights after a step of size 1, each share computed on a copy of the model, without any threads."""
    sums: list[Tensor | None] = [None] * len(list(loss.parameters()))
    for number, share in enumerate(shares):
        twin, generator = copy.deepcopy(loss), torch.Generator()
        generator.manual_seed(int(np.random.SeedSequence([SEED, number]).generate_state(1)[0]) if number else SEED)
        for module in twin.modules():
            if isinstance(module, Draws):
                module.generator = generator
        for batch in share:
            with autocast(CPU, precision):
                total = twin(batch)
            (total * (1 / pieces)).backward()
        grads = [parameter.grad for parameter in twin.parameters()]
        sums = [b if a is None else a if b is None else a + b for a, b in zip(sums, grads, strict=True)]
    weights = list(loss.parameters())
    with torch.no_grad():
        return [
            weight - grad if grad is not None else weight.clone() for weight, grad in zip(weights, sums, strict=True)
        ]


def assert_same(loss: nn.Module, expected: Sequence[Tensor]) -> None:
    for got, wanted in zip(loss.parameters(), expected, strict=True):
        torch.testing.assert_close(got.detach(), wanted, rtol=0, atol=0)


def disturb(module: nn.Module) -> None:
    """Let the threads overtake each other in the middle of the model."""
    delays = itertools.cycle([0.0, 0.02, 0.005])
    module.register_forward_pre_hook(lambda *_: time.sleep(next(delays)))


@pytest.mark.parametrize("cell", CELLS)
def test_every_cell_learns_the_same_as_without_threads(cell: str) -> None:
    settings = {"embedding_size": 4, "hidden_size": 6, "dropout": 0.3, "word_dropout": 0.2}
    settings["recurrent_dropout"] = 0.0 if cell == "ssru" else 0.2
    loss = loss_of(ModelSettings.model_validate({"cell": cell, **settings}))
    data = pairs(range(8))
    expected = one_after_the_other(loss, [[data.batches[0].part(i, 3)] for i in range(3)], pieces=data.pieces)
    disturb(loss.model.decoder)
    updater(loss, parts=3).update(data, step=1, seed=SEED, rate=1.0)
    assert_same(loss, expected)


@pytest.mark.parametrize("training", [{}, {"objective": "sampled"}, {"r_drop": 1.0}], ids=["full", "sampled", "r_drop"])
@pytest.mark.parametrize("precision", ["fp32", pytest.param("bf16", marks=pytest.mark.needs("bf16"))])
@pytest.mark.parametrize("input_feeding", [False, True])
def test_every_objective_learns_the_same_as_without_threads(
    training: dict[str, object], precision: Precision, input_feeding: bool
) -> None:
    settings = ModelSettings(embedding_size=8, hidden_size=16, dropout=0.2, input_feeding=input_feeding)
    loss = loss_of(settings, TrainingSettings.model_validate({"samples": 5, **training}))
    data = pairs(range(8), range(3))
    shares = [[batch.part(i, 3) for batch in data.batches] for i in range(3)]
    expected = one_after_the_other(loss, shares, pieces=data.pieces, precision=precision)
    disturb(loss.model.decoder)
    updater(loss, parts=3, precision=precision).update(data, step=1, seed=SEED, rate=1.0)
    assert_same(loss, expected)


def test_as_many_batches_as_threads_are_left_whole() -> None:
    loss, data = loss_of(ModelSettings(embedding_size=4, hidden_size=6)), pairs(range(5), range(5, 8))
    expected = one_after_the_other(loss, [[batch] for batch in data.batches], pieces=data.pieces)
    updater(loss, parts=2).update(data, step=1, seed=SEED, rate=1.0)
    assert_same(loss, expected)


def test_a_batch_of_fewer_rows_than_threads_leaves_some_idle() -> None:
    loss, data = loss_of(ModelSettings(embedding_size=4, hidden_size=6, dropout=0.0)), pairs([3])
    expected = one_after_the_other(loss, [data.batches], pieces=data.pieces)
    updater(loss, parts=4).update(data, step=1, seed=SEED, rate=1.0)
    assert_same(loss, expected)


def test_texts_that_go_on_are_read_by_the_thread_that_has_their_row() -> None:
    settings = ModelSettings(kind="lm", embedding_size=4, hidden_size=6, decoder_layers=2, dropout=0.0)

    def loss() -> SegmentLoss:
        model = build_language_model(settings, vocab_size=12, seed=1).train()
        return SegmentLoss(model, FullSoftmax(label_smoothing=0.0), Carry(Ranks(), rows=4))

    alone, shared = loss(), loss()
    disturb(shared.model)
    one, three = updater(alone, parts=1, carry=alone.carry), updater(shared, parts=3, carry=shared.carry)
    segments = list(Parts(TEXT, 4).segments(3))
    for step, first in enumerate(range(0, 6, 2), start=1):
        data = UpdateData(tuple(segments[first : first + 2]), 24, Position())
        for made in (one, three):
            made.update(data, step=step, seed=SEED, rate=0.5)
    for got, wanted in zip(shared.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(got, wanted)
    assert shared.carry.state is not None
    assert alone.carry.state is not None
    for got_layer, wanted_layer in zip(shared.carry.state, alone.carry.state, strict=True):
        torch.testing.assert_close(got_layer, wanted_layer)


class Cramped(nn.Module):
    """Runs out of memory with more than `limit` rows, but not in the first thread."""

    def __init__(self, inner: nn.Module, *, limit: int) -> None:
        super().__init__()
        self.inner = inner
        self.limit = limit

    def forward(self, batch: TrainingBatch) -> Tensor:
        if len(batch) > self.limit and threading.current_thread() is not threading.main_thread():
            raise torch.OutOfMemoryError("no")
        loss: Tensor = self.inner(batch)
        return loss


def test_memory_that_runs_out_in_a_thread_is_spared_as_ever() -> None:
    data, told = pairs(range(8)), list[str]()
    loss = Cramped(loss_of(ModelSettings(embedding_size=4, hidden_size=6, dropout=0.0)), limit=2)
    whole = one_after_the_other(loss.inner, [data.batches], pieces=data.pieces)
    updater(loss, parts=2, told=told).update(data, step=1, seed=SEED, rate=1.0)
    for got, wanted in zip(loss.parameters(), whole, strict=True):
        torch.testing.assert_close(got.detach(), wanted)
    assert len(told) == 1
    assert told[0].startswith("out of memory with 4 pairs of up to ")


def test_an_error_in_a_thread_is_raised_once_and_leaves_nothing_running() -> None:
    loss = Cramped(loss_of(ModelSettings(embedding_size=4, hidden_size=6)), limit=0)
    with pytest.raises(TrainingError, match=r"^out of memory with one pair .*the model is too large for this device"):
        updater(loss, parts=3).update(pairs(range(3)), step=1, seed=SEED, rate=1.0)


class Interrupted(nn.Module):
    """Is interrupted in the first thread while others compute."""

    def __init__(self, inner: nn.Module, ended: list[int]) -> None:
        super().__init__()
        self.inner = inner
        self.note = ended.append  # which copies share

    def forward(self, batch: TrainingBatch) -> Tensor:
        if threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt
        time.sleep(0.1)
        loss: Tensor = self.inner(batch)
        self.note(len(batch))
        return loss


def test_an_interrupt_comes_through_when_the_other_threads_have_ended() -> None:
    ended = list[int]()
    loss = Interrupted(loss_of(ModelSettings(embedding_size=4, hidden_size=6)), ended)
    with pytest.raises(KeyboardInterrupt):
        updater(loss, parts=3).update(pairs(range(8)), step=1, seed=SEED, rate=1.0)
    assert sorted(ended) == [3, 3]


def test_threads_end_when_the_run_is_over(toy_data: PreparedData, toy_settings: Settings, tmp_path: Path) -> None:
    before = set(threading.enumerate())
    train_toy(toy_data, toy_settings, tmp_path, max_steps=1, threads=3)
    gc.collect()
    for thread in set(threading.enumerate()) - before:
        thread.join(timeout=5)
        assert not thread.is_alive()


def train_toy(
    data: PreparedData | PreparedText, settings: Settings, folder: Path, **training: object
) -> dict[str, Tensor]:
    changed = {"validate_every": 30, "checkpoint_every": 15, "tensorboard": False, "schedule": "constant", **training}
    settings = settings.model_copy(update={"training": settings.training.model_copy(update=changed)})
    train(data, folder, settings, observer=Silence(), stop=threading.Event())
    weights: dict[str, Tensor] = load_file(folder / WEIGHTS)
    return weights


@pytest.mark.parametrize("name", ["toy", "counting"])
def test_a_run_that_continues_keeps_its_threads_and_its_weights(
    name: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dropping = {"dropout": 0.2, "embedding_size": 8, "hidden_size": 16}
    data, settings = (request.getfixturevalue(f"{name}_{what}") for what in ("data", "settings"))
    settings = settings.model_copy(update={"model": settings.model.model_copy(update=dropping)})
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    whole = train_toy(data, settings, tmp_path / "whole", max_steps=30, threads=2)
    train_toy(data, settings, tmp_path / "halves", max_steps=15, threads=2)
    continued = train_toy(data, settings, tmp_path / "halves", max_steps=30, threads="auto")
    alone = train_toy(data, settings, tmp_path / "alone", max_steps=30, threads="auto")
    assert all(torch.equal(continued[name], whole[name]) for name in whole)
    assert any(not torch.equal(alone[name], whole[name]) for name in whole)


def test_a_run_says_how_its_threads_share_an_update(
    toy_data: PreparedData, toy_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nmt.training.trainer.usable_cores", lambda: 1)
    for threads, said in ((1, "1 thread"), (3, "3 threads on 1 core, each computes a third of every update")):
        train_toy(toy_data, toy_settings, tmp_path / str(threads), max_steps=1, threads=threads)
        assert f" fp32, {said}\n" in (tmp_path / str(threads) / "train.log").read_text(encoding="utf-8")


def test_an_update_feeds_a_thread_a_core_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr("nmt.training.threads.usable_cores", lambda: 8)
    assert most_threads(tokens=4000) == 8
    assert most_threads(tokens=800) == 3
    assert most_threads(tokens=10) == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "2,1")
    assert most_threads(tokens=4000) == 2


@pytest.mark.parametrize(
    ("speeds", "used"),
    [
        pytest.param({1: 100.0, 2: 130.0}, 2, id="nobody else uses the cores"),
        pytest.param({1: 100.0, 2: 80.0}, 1, id="beside a busy program"),
        pytest.param({1: 100.0, 2: 104.0}, 1, id="hardly faster"),
    ],
)
def test_a_long_run_takes_the_number_of_threads_that_is_faster(
    toy_data: PreparedData,
    toy_settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    speeds: dict[int, float],
    used: int,
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setattr("nmt.training.trainer._LONG", 20)
    monkeypatch.setattr(Trainer, "rehearse", lambda trainer, seconds: speeds[trainer.updater.parts])
    train_toy(toy_data, toy_settings, tmp_path / "run", max_steps=20, threads="auto", batch_tokens=500)
    log = (tmp_path / "run" / "train.log").read_text(encoding="utf-8")
    assert f"in 2 threads {speeds[2]:.0f} pieces/s, in one 100: using {used}\n" in log
    speeds.clear()  # a run that continues does not ask again
    train_toy(toy_data, toy_settings, tmp_path / "run", max_steps=45, threads="auto", batch_tokens=500)


def test_comparing_threads_changes_no_weight_and_a_short_run_does_not_compare(
    toy_data: PreparedData, toy_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setattr("nmt.training.trainer._COMPARED", 0.01)
    monkeypatch.setattr("nmt.training.trainer._GAIN", 0.0)
    short = train_toy(toy_data, toy_settings, tmp_path / "short", max_steps=20, threads="auto", batch_tokens=500)
    assert "in 2 threads" not in (tmp_path / "short" / "train.log").read_text(encoding="utf-8")
    monkeypatch.setattr("nmt.training.trainer._LONG", 20)
    compared = train_toy(toy_data, toy_settings, tmp_path / "long", max_steps=20, threads="auto", batch_tokens=500)
    assert "using 2\n" in (tmp_path / "long" / "train.log").read_text(encoding="utf-8")
    assert all(torch.equal(compared[name], short[name]) for name in short)
