"""Updates for which there is too little memory."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nmt.batching import Batch
from nmt.config import ModelSettings
from nmt.errors import TrainingError
from nmt.models.build import build_model
from nmt.models.seq2seq import Seq2Seq
from nmt.text.sequences import FlatSequences
from nmt.training.distributed import Ranks
from nmt.training.feeding import TrainingPairs, UpdateData
from nmt.training.objectives.full import FullSoftmax
from nmt.training.state import Position
from nmt.training.translation import TrainingLoss
from nmt.training.update import Updater


def pairs_of(src: Sequence[int], tgt: Sequence[int]) -> TrainingPairs:
    """Pairs of these lengths."""
    sides = [[[4 + place % 8 for place in range(length)] for length in lengths] for lengths in (src, tgt)]
    return TrainingPairs(*map(FlatSequences.from_lists, sides), reverse_source=True)


EVEN = pairs_of([3] * 8, [4] * 8)
UNEVEN = pairs_of([3, 5, 1, 4, 2, 6, 3, 2], [4, 4, 2, 5, 3, 3, 1, 7])


def tiny() -> Seq2Seq:
    settings = ModelSettings(embedding_size=4, hidden_size=6, dropout=0.0)
    return build_model(settings, src_vocab_size=12, tgt_vocab_size=12, joint=True, seed=1).train()


def data(*groups: Sequence[int], pairs: TrainingPairs = EVEN) -> UpdateData:
    """An update from a batch for every group of row numbers."""
    batches = tuple(pairs.batch(np.array(rows)) for rows in groups)
    return UpdateData(batches, sum(pairs.take(np.array(rows), seed=0).pieces() for rows in groups), Position())


def updater(loss: nn.Module, *, ranks: Ranks | None = None, told: list[str] | None = None) -> Updater:
    return Updater(
        loss=loss,
        optimizer=torch.optim.SGD(loss.parameters(), lr=99.0),
        device=torch.device("cpu"),
        precision="fp32",
        clip_norm=math.inf,
        clip_value=math.inf,
        average=None,
        ranks=ranks or Ranks(),
        on_message=([] if told is None else told).append,
    )


def plain(model: Seq2Seq) -> nn.Module:
    return TrainingLoss(model, FullSoftmax(label_smoothing=0.1))


def after_one(made: Updater, model: Seq2Seq, update: UpdateData) -> list[Tensor]:
    made.update(update, step=1, seed=5, rate=0.5)
    return [parameter.detach().clone() for parameter in model.parameters()]


class Cramped(nn.Module):
    """Runs out of memory with more than `limit` pairs, in the backward pass if `late`; notes what it was given."""

    def __init__(self, model: Seq2Seq, *, limit: int, late: bool = False) -> None:
        super().__init__()
        self.inner = plain(model)
        self.limit = limit
        self.late = late
        self.sizes: list[int] = []

    def forward(self, batch: Batch) -> Tensor:
        self.sizes.append(len(batch))
        loss: Tensor = self.inner(batch)
        if len(batch) <= self.limit:
            return loss
        if self.late:
            loss.register_hook(self.run_out)
            return loss
        raise torch.OutOfMemoryError("no")

    @staticmethod
    def run_out(grad: Tensor) -> None:
        raise torch.OutOfMemoryError("no")


@pytest.mark.parametrize("late", [False, True], ids=["forward", "backward"])
@pytest.mark.parametrize("pairs", [EVEN, UNEVEN], ids=["even", "uneven"])
def test_a_batch_that_is_too_large_is_computed_in_parts_with_the_same_result(late: bool, pairs: TrainingPairs) -> None:
    model, cramped_model, told = tiny(), tiny(), []
    update = data([0, 1], [2, 3, 4, 5, 6, 7], pairs=pairs)
    expected = after_one(updater(plain(model)), model, update)
    cramped = Cramped(cramped_model, limit=3, late=late)
    got = after_one(updater(cramped, told=told), cramped_model, update)
    torch.testing.assert_close(got, expected)
    assert cramped.sizes == [2, 6, 2, 3, 3]
    src, tgt = (max(int(side.lengths[row]) for row in range(2, 8)) + 1 for side in (pairs.src, pairs.tgt))
    assert told == [
        f"out of memory with 6 pairs of up to {src} source and {tgt} target pieces; from now on such a batch is "
        "computed in parts, and the update stays the same"
    ]


def test_so_large_a_batch_is_not_tried_again() -> None:
    model, told = tiny(), []
    cramped = Cramped(model, limit=4)
    made = updater(cramped, told=told)
    made.update(data(range(8)), step=1, seed=1, rate=0.1)
    assert cramped.sizes == [8, 4, 4]
    cramped.sizes.clear()
    made.update(data(range(8), range(4), range(6)), step=2, seed=2, rate=0.1)
    assert cramped.sizes == [4, 4, 4, 3, 3]
    assert len(told) == 1


def test_parts_that_are_still_too_large_are_cut_again() -> None:
    model, twin, told = tiny(), tiny(), []
    cramped = Cramped(model, limit=1)
    got = after_one(updater(cramped, told=told), model, data(range(4)))
    assert cramped.sizes == [4, 2, 1, 1, 1, 1]
    assert [message.partition(" of up")[0] for message in told] == [
        "out of memory with 4 pairs",
        "out of memory with 2 pairs",
    ]
    torch.testing.assert_close(got, after_one(updater(plain(twin)), twin, data(range(4))))


def test_a_pair_that_is_too_large_by_itself_ends_the_run() -> None:
    model, told = tiny(), []
    start = [parameter.detach().clone() for parameter in model.parameters()]
    message = (
        r"^out of memory with one pair of up to 4 source and 5 target pieces: the model is too large for this device; "
        r"train a smaller one in a new folder, or prepare the data with a lower data\.max_pieces$"
    )
    with pytest.raises(TrainingError, match=message):
        updater(Cramped(model, limit=0), told=told).update(data([0, 1]), step=1, seed=1, rate=0.1)
    assert len(told) == 1
    torch.testing.assert_close([parameter.detach() for parameter in model.parameters()], start)


def test_several_processes_do_not_cut_their_batches() -> None:
    told: list[str] = []
    made = updater(Cramped(tiny(), limit=4), ranks=Ranks(0, 2), told=told)
    message = (
        r"^out of memory with 8 pairs of up to 4 source and 5 target pieces in one of 2 processes; "
        r"lower training\.batch_tokens and raise training\.accumulate$"
    )
    with pytest.raises(TrainingError, match=message):
        made.update(data(range(8)), step=1, seed=1, rate=0.1)
    assert told == []


def test_one_long_pair_beside_a_batch_that_can_be_cut_does_not_end_the_run() -> None:
    src, tgt = [[4]] + [[5] * 9] * 4, [[4] * 60] + [[5]] * 4
    pairs = TrainingPairs(FlatSequences.from_lists(src), FlatSequences.from_lists(tgt), reverse_source=True)
    cramped = Cramped(tiny(), limit=2)
    updater(cramped, told=[]).update(data([0], [1, 2, 3, 4], pairs=pairs), step=1, seed=1, rate=0.1)
    assert cramped.sizes[:2] == [1, 4]
    assert max(cramped.sizes[2:]) <= 2


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("full"), RuntimeError("CUBLAS_STATUS_ALLOC_FAILED"), RuntimeError("can't allocate memory")],
)
def test_too_little_memory_for_the_optimiser_is_said_so(error: RuntimeError, monkeypatch: pytest.MonkeyPatch) -> None:
    made = updater(plain(tiny()))

    def fail(optimizer: object) -> None:
        raise error

    monkeypatch.setattr(type(made.optimizer), "step", fail)
    with pytest.raises(TrainingError, match="out of memory in a step of the optimiser: the model is too large"):
        made.update(data([0, 1]), step=1, seed=1, rate=0.1)


def test_any_other_failure_of_the_optimiser_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    made = updater(plain(tiny()))

    def fail(optimizer: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(type(made.optimizer), "step", fail)
    with pytest.raises(RuntimeError, match=r"^broken$"):
        made.update(data([0, 1]), step=1, seed=1, rate=0.1)


def test_any_other_failure_is_not_taken_for_a_lack_of_memory() -> None:
    class Broken(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))

        def forward(self, batch: Batch) -> Tensor:
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match=r"^broken$"):
        updater(Broken()).update(data([0, 1]), step=1, seed=1, rate=0.1)
