import pytest
import torch
from torch import Tensor

from nmt.batching import Segment
from nmt.training.distributed import Ranks
from nmt.training.state import Carry

CPU = torch.device("cpu")


def segment(*, rows: int, first_row: int = 0, is_fresh: bool = False) -> Segment:
    ids = torch.full((rows, 2), 5)
    return Segment.of(ids, ids, first_row=first_row, is_fresh=is_fresh)


def state(*values: float) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Two layers with two parts each; row i of each is filled with values[i], moved by the layer and the part."""
    column = torch.tensor(values)[:, None].expand(-1, 3)
    return ((column, column + 0.25), (column + 10, column + 10.25))


def rows_of(found: object) -> list[float]:
    assert isinstance(found, tuple)
    return [float(row[0]) for row in found[0][0]]


def test_a_segment_starts_where_the_one_before_has_ended() -> None:
    carry = Carry(Ranks(), rows=2)
    assert carry.before(segment(rows=2)) is None
    carry.after(segment(rows=2), state(1, 2))
    assert rows_of(carry.before(segment(rows=2))) == [1, 2]


def test_a_fresh_segment_starts_from_nothing() -> None:
    carry = Carry(Ranks(), rows=2)
    carry.after(segment(rows=2), state(1, 2))
    assert carry.before(segment(rows=2, is_fresh=True)) is None


def test_parts_of_a_batch_have_their_own_rows() -> None:
    carry = Carry(Ranks(), rows=3)
    carry.after(segment(rows=3), state(1, 2, 3))
    held = carry.state
    assert rows_of(carry.before(segment(rows=2, first_row=1))) == [2, 3]
    carry.after(segment(rows=1, first_row=0), state(7))
    carry.after(segment(rows=2, first_row=1), state(8, 9))
    assert rows_of(carry.state) == [7, 8, 9]
    assert rows_of(held) == [1, 2, 3]
    assert carry.state is not None
    assert carry.state[1][1][:, 0].tolist() == [17.25, 18.25, 19.25]


def test_the_first_part_of_the_first_batch_leaves_the_others_at_zero() -> None:
    carry = Carry(Ranks(), rows=3)
    carry.after(segment(rows=1, first_row=1, is_fresh=True), state(4))
    assert rows_of(carry.state) == [0, 4, 0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_state_comes_back_from_its_tensors_to_the_bit(dtype: torch.dtype) -> None:
    before = tuple(tuple((part / 3).to(dtype) for part in layer) for layer in state(1, 2))
    carry, other = Carry(Ranks(), rows=2), Carry(Ranks(), rows=2)
    carry.after(segment(rows=2), before)
    tensors = carry.tensors()
    assert sorted(tensors) == ["layer0/0", "layer0/1", "layer1/0", "layer1/1"]
    assert {tensor.dtype for tensor in tensors.values()} == {dtype}
    other.restore(tensors, CPU)
    assert other.state is not None
    for layer, back in zip(before, other.state, strict=True):
        for part, like in zip(layer, back, strict=True):
            assert torch.equal(part, like)


def test_layers_come_back_in_their_order_beyond_ten() -> None:
    carry = Carry(Ranks(), rows=1)
    carry.state = tuple((torch.full((1, 1), float(layer)),) for layer in range(12))
    other = Carry(Ranks(), rows=1)
    other.restore(dict(sorted(carry.tensors().items())), CPU)
    assert other.state is not None
    assert [float(layer[0]) for layer in other.state] == list(range(12))


def test_nothing_carried_is_nothing_kept() -> None:
    carry = Carry(Ranks(), rows=2)
    assert carry.tensors() == {}
    carry.restore({}, CPU)
    assert carry.state is None


class SumOfTwo(Ranks):
    """Stands for two processes that have both put their rows into the sum."""

    other: Tensor

    def sum_of(self, tensor: Tensor) -> Tensor:
        return tensor + self.other


def test_a_checkpoint_holds_the_rows_of_all_processes_and_each_takes_its_own() -> None:
    ranks = SumOfTwo(0, 2)
    object.__setattr__(ranks, "other", torch.tensor([[0.0], [2.0], [0.0]]))  # rows of the second process
    carry = Carry(ranks, rows=3)
    carry.state = ((torch.tensor([[1.0], [3.0]]),),)
    tensors = carry.tensors()
    assert tensors["layer0/0"].tolist() == [[1.0], [2.0], [3.0]]
    for rank, size, mine in ((0, 2, [1, 3]), (1, 2, [2]), (2, 3, [3]), (0, 1, [1, 2, 3])):
        taker = Carry(Ranks(rank, size), rows=3)
        taker.restore(tensors, CPU)
        assert rows_of(taker.state) == mine
