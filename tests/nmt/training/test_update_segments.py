"""Updates of a language model, whose segments follow each other."""

import math

import pytest
import torch
from torch import Tensor, nn

from nmt.batching import Segment
from nmt.config import ModelSettings
from nmt.errors import TrainingError
from nmt.models.build import build_language_model
from nmt.models.language_model import LanguageModel
from nmt.text.sequences import FlatSequences
from nmt.training.distributed import Ranks
from nmt.training.feeding import UpdateData
from nmt.training.language_modelling import SegmentLoss
from nmt.training.objectives.full import FullSoftmax
from nmt.training.state import Carry, Position
from nmt.training.text_feeding import Parts, TextStream
from nmt.training.update import Updater

CPU = torch.device("cpu")
STREAM = TextStream(FlatSequences.from_lists([[4 + (i * j) % 7 for j in range(1 + i % 5)] for i in range(12)]))
ROWS = 4
SEGMENTS = list(Parts(STREAM, ROWS).segments(3))


def tiny() -> LanguageModel:
    settings = ModelSettings(kind="lm", embedding_size=4, hidden_size=6, decoder_layers=2, dropout=0.0)
    return build_language_model(settings, vocab_size=12, seed=1).train()


def plain(model: LanguageModel, ranks: Ranks | None = None) -> SegmentLoss:
    return SegmentLoss(model, FullSoftmax(label_smoothing=0.0), Carry(ranks or Ranks(), rows=ROWS))


class Cramped(nn.Module):
    """Runs out of memory with more than `limit` texts, from the call number `late` on; notes what it was given."""

    def __init__(self, model: LanguageModel, *, limit: int, late: int = 0, ranks: Ranks | None = None) -> None:
        super().__init__()
        self.inner = plain(model, ranks)
        self.carry = self.inner.carry
        self.limit, self.late = limit, late
        self.sizes: list[int] = []

    def forward(self, segment: Segment) -> Tensor:
        self.sizes.append(len(segment))
        if len(segment) > self.limit and len(self.sizes) > self.late:
            raise torch.OutOfMemoryError("no")
        loss: Tensor = self.inner(segment)
        return loss


def updater(loss: SegmentLoss | Cramped, *, told: list[str] | None = None) -> Updater:
    messages = [] if told is None else told
    return Updater(
        loss=loss,
        optimizer=torch.optim.SGD(loss.parameters(), lr=99.0),
        device=CPU,
        precision="fp32",
        clip_norm=math.inf,
        clip_value=math.inf,
        average=None,
        ranks=loss.carry.ranks,
        on_message=messages.append,
        carry=loss.carry,
    )


def data(*segments: Segment) -> UpdateData:
    return UpdateData(segments, sum(len(segment.pieces) for segment in segments), Position())


def outcome(made: Updater, model: LanguageModel) -> list[Tensor]:
    assert made.carry is not None
    assert made.carry.state is not None
    return [*(part.detach() for part in model.parameters()), *(part for layer in made.carry.state for part in layer)]


def assert_close(got: list[Tensor], expected: list[Tensor]) -> None:
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_an_update_of_several_segments_reads_on_from_one_to_the_next() -> None:
    model, slow = tiny(), tiny()
    made = updater(plain(model))
    loss, _ = made.update(data(*SEGMENTS[:2]), step=1, seed=5, rate=0.5)
    by_hand = plain(slow)
    total = torch.stack([by_hand(segment) for segment in SEGMENTS[:2]]).sum()
    pieces = sum(len(segment.pieces) for segment in SEGMENTS[:2])
    grads = torch.autograd.grad(total / pieces, list(slow.parameters()))
    expected = [parameter.detach() - 0.5 * grad for parameter, grad in zip(slow.parameters(), grads, strict=True)]
    assert by_hand.carry.state is not None
    assert_close(outcome(made, model), [*expected, *(part for layer in by_hand.carry.state for part in layer)])
    assert loss.item() == pytest.approx(total.item(), rel=1e-5)


def test_the_next_update_starts_where_this_one_has_ended_and_a_fresh_one_from_nothing() -> None:
    model = tiny()
    made = updater(plain(model))
    made.update(data(SEGMENTS[0]), step=1, seed=5, rate=0.0)
    made.update(data(SEGMENTS[1]), step=2, seed=5, rate=0.0)
    twin = tiny()
    both = updater(plain(twin))
    both.update(data(*SEGMENTS[:2]), step=1, seed=5, rate=0.0)
    assert_close(outcome(made, model), outcome(both, twin))
    made.update(data(SEGMENTS[0]), step=3, seed=5, rate=0.0)
    fresh = tiny()
    first = updater(plain(fresh))
    first.update(data(SEGMENTS[0]), step=1, seed=5, rate=0.0)
    assert_close(outcome(made, model), outcome(first, fresh))


@pytest.mark.parametrize("late", [0, 1], ids=["at once", "after the first segment"])
def test_segments_that_are_too_large_are_computed_in_parts_with_the_same_result(late: int) -> None:
    model, twin, told = tiny(), tiny(), list[str]()
    expected = updater(plain(model))
    expected.update(data(*SEGMENTS[:2]), step=1, seed=5, rate=0.5)
    cramped = Cramped(twin, limit=2, late=late)
    made = updater(cramped, told=told)
    made.update(data(*SEGMENTS[:2]), step=1, seed=5, rate=0.5)
    assert cramped.sizes == [4] * (1 + late) + [2, 2, 2, 2]
    assert told == [
        "out of memory with 3 pieces of 4 texts; from now on such a batch is computed in parts, and the update stays "
        "the same"
    ]
    assert_close(outcome(made, twin), outcome(expected, model))


def test_one_text_that_is_too_large_ends_the_run() -> None:
    message = (
        r"^out of memory with 3 pieces of one text: the model is too large for this device; train a smaller one in a "
        r"new folder, or lower training\.segment_steps$"
    )
    with pytest.raises(TrainingError, match=message):
        updater(Cramped(tiny(), limit=0)).update(data(SEGMENTS[0]), step=1, seed=1, rate=0.1)


def test_several_processes_do_not_cut_their_segments() -> None:
    made = updater(Cramped(tiny(), limit=2, ranks=Ranks(0, 2)))
    message = (
        r"^out of memory with 3 pieces of 4 texts in one of 2 processes; "
        r"lower training\.segment_steps and raise training\.accumulate$"
    )
    with pytest.raises(TrainingError, match=message):
        made.update(data(SEGMENTS[0]), step=1, seed=1, rate=0.1)
