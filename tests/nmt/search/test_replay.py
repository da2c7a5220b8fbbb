"""Replayed steps against steps made one by one; without a GPU a tape stands in for a CUDA graph."""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from nmt.models.tensors import tensors_of, with_tensors
from nmt.search.replay import Replayed, recorder_for


class Pair(NamedTuple):
    total: Tensor
    count: Tensor


@dataclass(frozen=True)
class Value:
    name: str
    pair: Pair
    layers: tuple[tuple[Tensor, ...], ...]
    missing: Tensor | None = None


def value_of(*numbers: float, name: str = "a") -> Value:
    one, two, *layers = (torch.tensor([number], dtype=torch.float32) for number in numbers)
    return Value(name, Pair(one, two), (tuple(layers), ()))


def numbers_in(value: Value) -> list[float]:
    return [tensor.item() for tensor in tensors_of(value)]


def advanced(value: Value) -> Value:
    """Swap the pair, and count in the layers."""
    total, count = value.pair
    return replace(value, pair=Pair(count, total), layers=tuple(tuple(x + 1 for x in row) for row in value.layers))


def test_tensors_are_found_and_replaced_in_the_order_of_the_fields() -> None:
    value = value_of(1.0, 2.0, 3.0, 4.0)
    assert numbers_in(value) == [1.0, 2.0, 3.0, 4.0]
    other = with_tensors(value, [torch.tensor([n]) for n in (5.0, 6.0, 7.0, 8.0)])
    assert isinstance(other.pair, Pair)
    assert (other.name, other.missing) == ("a", None)
    assert numbers_in(other) == [5.0, 6.0, 7.0, 8.0]
    assert numbers_in(value) == [1.0, 2.0, 3.0, 4.0]


def test_the_second_value_of_a_shape_is_recorded_and_the_third_replayed(recordings: Any) -> None:
    go_on = Replayed(advanced, recordings)
    seen = []
    for n in range(4):
        value = go_on(value_of(n, 10.0 + n, 0.5, name=str(n)))
        seen.append((value.name, numbers_in(value), recordings.made, recordings.played))
    assert seen == [
        ("0", [10.0, 0.0, 1.5], 0, 0),
        ("1", [11.0, 1.0, 1.5], 1, 0),
        ("2", [12.0, 2.0, 1.5], 1, 1),
        ("3", [13.0, 3.0, 1.5], 1, 2),
    ]


def test_what_was_made_can_be_advanced_again_as_it_is(recordings: Any) -> None:
    go_on = Replayed(advanced, recordings)
    value = value_of(1.0, 2.0, 3.0)
    for n in range(1, 7):
        value = go_on(value)
        assert numbers_in(value) == [*((2.0, 1.0) if n % 2 else (1.0, 2.0)), 3.0 + n]


def test_a_value_that_was_given_is_not_written_to(recordings: Any) -> None:
    go_on = Replayed(advanced, recordings)
    values = [value_of(n, n, n) for n in range(4)]
    for value in values:
        go_on(value)
    assert [numbers_in(value) for value in values] == [[n, n, n] for n in range(4)]


def test_weights_are_not_copied(recordings: Any) -> None:
    weight = nn.Parameter(torch.tensor([2.0]), requires_grad=False)
    go_on: Replayed[tuple[Tensor, Tensor]] = Replayed(lambda both: (both[0] * both[1], both[1]), recordings)
    for number in (1.0, 2.0, 3.0):
        product, kept = go_on((torch.tensor([number]), weight))
        assert product.item() == 2 * number
        assert kept is weight


def test_each_shape_has_its_recording_and_the_one_not_met_for_longest_goes(recordings: Any) -> None:
    go_on = Replayed(lambda x: x + 1, recordings)
    for size in (*range(32), *range(32), 0, 31):
        assert torch.equal(go_on(torch.zeros(size)), torch.ones(size))
    assert (recordings.made, recordings.played) == (32, 2)
    go_on(torch.zeros(99))  # in place of 1
    go_on(torch.zeros(2))
    assert recordings.played == 3
    go_on(torch.zeros(1))
    assert (recordings.made, recordings.played) == (32, 3)


def test_a_step_that_changes_shapes_is_a_mistake_and_is_named(recordings: Any) -> None:
    go_on = Replayed(lambda x: torch.cat([x, x]), recordings)
    go_on(torch.zeros(3))
    with pytest.raises(ValueError, match=r"^a step made torch.float32 \[6\] of torch.float32 \[3\]$"):
        go_on(torch.zeros(3))


def test_on_a_cpu_nothing_is_recorded() -> None:
    assert recorder_for(torch.device("cpu")) is None
