import json

import pytest
import torch
from torch import Tensor

from nmt.batching import Segment
from nmt.training.distributed import Ranks
from nmt.training.state import Carry, Horizon, Position, TrainingState

HORIZON = Horizon(max_steps=0, max_epochs=3, batch_tokens=150, accumulate=2, steps=57)
FULL = TrainingState(
    data="ab" * 32,
    step=7,
    horizon=HORIZON,
    position=Position(2, ((800, 30), (400, 12))),
    tokens=4321,
    seconds=12.5,
    window_loss=0.1 + 0.2,  # no short decimal
    window_tokens=99,
    halvings=1,
    plateau=2,
    best_loss=1 / 3,
    best_score=36.25,
    best_step=6,
    stale=1,
    validated=6,
    parts=2,
    parents=({"model": "news", "sha256": "ab", "step": 500}, {"model": "books", "sha256": "cd", "step": 9}),
)


@pytest.mark.parametrize("state", [TrainingState(), FULL], ids=["new", "every counter set"])
def test_the_counters_come_back_as_they_were(state: TrainingState) -> None:
    back = TrainingState.from_json(state.to_json())
    assert back == state
    assert back.to_json() == state.to_json()


def test_no_counter_is_left_at_its_default_by_the_test_above() -> None:
    new = TrainingState()
    assert [name for name, value in vars(FULL).items() if value == getattr(new, name)] == []


def test_a_position_that_comes_back_can_be_compared_and_hashed() -> None:
    back = TrainingState.from_json(FULL.to_json()).position
    assert back.parts == ((800, 30), (400, 12))
    assert hash(back) == hash(FULL.position)


def test_counters_of_another_version_are_refused_by_name() -> None:
    values = json.loads(FULL.to_json())
    values["cursor"] = values.pop("stale")
    with pytest.raises(ValueError, match=r"^counters \['cursor', 'stale'\] do not fit$"):
        TrainingState.from_json(json.dumps(values))


def test_counters_of_before_there_were_threads_and_parents_have_chosen_neither() -> None:
    values = json.loads(FULL.to_json())
    del values["parts"], values["parents"]
    older = TrainingState.from_json(json.dumps(values))
    assert (older.parts, older.parents) == (0, ())


def test_a_text_that_is_no_json_is_refused() -> None:
    with pytest.raises(ValueError, match="Expecting"):
        TrainingState.from_json(FULL.to_json()[:-1] + ", }")


def test_a_position_counts_the_pairs_of_all_its_parts() -> None:
    assert Position(3, ((800, 30), (400, 12), (800, 5))).pairs == 47
    assert Position(3).pairs == 0


def test_a_horizon_is_the_same_when_its_settings_are() -> None:
    assert TrainingState.from_json(FULL.to_json()).horizon == HORIZON
    assert Horizon(0, 3, 150, 2, steps=57) == HORIZON
    assert Horizon(0, 3, 150, 1, steps=57) != HORIZON


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
