from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from nmt.models.tensors import Rows, joined, mapped, padded, picker, tensors_of


@dataclass(frozen=True)
class Inner(Rows):
    words: Tensor


@dataclass(frozen=True)
class Outer(Rows):
    common: ClassVar[frozenset[str]] = frozenset({"weights"})
    name: str
    weights: tuple[Tensor, ...]
    layers: tuple[tuple[Tensor, ...], ...]
    inner: Inner
    missing: Tensor | None = None


def outer(*rows: int, name: str = "a", size: int = 1) -> Outer:
    column = torch.tensor(rows)[:, None]
    return Outer(name, (torch.tensor([7, 8, 9]),), ((column, column + 10), ()), Inner(column.repeat(1, size)))


def test_rows_are_taken_of_all_that_belongs_to_sentences_and_of_nothing_else() -> None:
    taken = outer(1, 2, 3).take(torch.tensor([2, 0]))
    assert [part.tolist() for part in taken.layers[0]] == [[[3], [1]], [[13], [11]]]
    assert taken.inner.words.tolist() == [[3], [1]]
    assert taken.weights[0].tolist() == [7, 8, 9]
    assert (taken.name, taken.missing, taken.layers[1]) == ("a", None, ())


def test_rows_are_joined_and_the_smaller_tensors_filled_up_with_zeros() -> None:
    both = outer(1, name="a", size=2).join(outer(5, name="b"))
    assert both.inner.words.tolist() == [[1, 1], [5, 0]]
    assert both.layers[0][1].tolist() == [[11], [15]]
    assert (both.name, both.weights[0].tolist()) == ("a", [7, 8, 9])


def test_beams_are_picked_within_their_sentence() -> None:
    beams = torch.tensor([[[1], [2]], [[3], [4]]])  # [B, K, 1]
    pick = picker(torch.tensor([[1, 1, 0], [0, 1, 1]]), 2)
    layers, none = mapped(pick, ((beams, -beams), None))
    assert layers[0].flatten(1).tolist() == [[2, 2, 1], [3, 4, 4]]
    assert layers[1].flatten(1).tolist() == [[-2, -2, -1], [-3, -4, -4]]
    assert none is None


def test_the_tensors_of_a_value_come_in_the_order_of_its_fields() -> None:
    assert [tensor.flatten()[0].item() for tensor in tensors_of(outer(1))] == [7, 1, 11, 1]


def test_filling_up_takes_what_it_is_told_to_and_never_cuts() -> None:
    x = torch.ones(1, 2, 2)
    assert padded(x, 3, dim=2, fill=-1.0).tolist() == [[[1.0, 1.0, -1.0], [1.0, 1.0, -1.0]]]
    assert padded(x, 3, dim=1).tolist() == [[[1.0, 1.0], [1.0, 1.0], [0.0, 0.0]]]
    assert padded(x > 0, 3, dim=2).tolist() == [[[True, True, False], [True, True, False]]]
    assert padded(x, 1, dim=2) is x
    assert joined(x, torch.ones(1, 1, 1), fill=-1.0).tolist() == [[[1.0, 1.0], [1.0, 1.0]], [[1.0, -1.0], [-1.0, -1.0]]]
