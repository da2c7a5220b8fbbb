"""How recurrent layers are called on a GPU: without autocast, in one type, with weights in one piece of memory.

The CPU stands in for it: it is treated as cuDNN's device, and its own fused calls are watched.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from nmt.models import fused_layers
from nmt.models.cells import fused
from nmt.models.cells.fused import FusedLayer
from nmt.models.cells.layer import Recurrence, make_layer

CELLS = pytest.mark.parametrize("cell", ["lstm", "gru", "rnn", "rnn_relu"])


@dataclass
class Watch:
    """What the fused calls were given."""

    types: list[set[torch.dtype]] = field(default_factory=list)
    weights: list[list[Tensor]] = field(default_factory=list)

    def watched(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            assert not torch.is_autocast_enabled("cpu")
            weights = next(each for each in arguments if isinstance(each, list | tuple) and len(each) == 4)
            given = [tensor for tensor in tree_leaves(arguments) if isinstance(tensor, Tensor)]
            self.types.append({tensor.dtype for tensor in given if tensor.is_floating_point()})
            self.weights.append(list(weights))
            return call(*arguments)

        return run


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    found, watch = fused_layers.find, Watch()

    def find(name: str) -> Callable[..., Any] | None:
        call = found(name)
        return watch.watched(call) if call and name in ("lstm", "gru", "rnn_tanh", "rnn_relu") else call

    for module in (fused_layers, fused):
        monkeypatch.setattr(module, "CUDNN", "cpu")
    monkeypatch.setattr(fused_layers, "has_bf16_layers", lambda: True)
    monkeypatch.setattr(fused_layers, "find", find)
    return watch


def layer_of(cell: str, *, recurrent_dropout: float = 0.0) -> FusedLayer:
    torch.manual_seed(0)
    layer = make_layer(Recurrence(cell, recurrent_dropout), input_size=6, hidden_size=8)  # type: ignore[arg-type]
    assert isinstance(layer, FusedLayer)
    return layer


def drawn(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def lie_one_behind_the_other(weights: list[Tensor]) -> bool:
    ends = [(weight.data_ptr(), weight.data_ptr() + weight.nbytes) for weight in weights]
    begins = weights[0].storage_offset() == 0 and weights[0].untyped_storage().nbytes() == ends[-1][1] - ends[0][0]
    return begins and all(before[1] == after[0] for before, after in pairwise(ends))


@CELLS
@pytest.mark.parametrize("recurrent_dropout", [0.0, 0.5])
@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float32, torch.float16])
def test_all_that_a_layer_is_given_has_the_type_that_is_asked_for_and_weights_lie_in_one_piece(
    cell: str, recurrent_dropout: float, kind: torch.dtype, watch: Watch
) -> None:
    layer = layer_of(cell, recurrent_dropout=recurrent_dropout).train()
    with torch.autocast("cpu", kind, enabled=kind != torch.float32), torch.no_grad():
        outputs, state = layer.run(drawn(3, 5, 6))
        _, ends = layer.read(drawn(3, 5, 6), torch.tensor([5, 2, 3]))
    assert watch.types == [{kind}, {kind}]
    assert all(map(lie_one_behind_the_other, watch.weights))
    assert {tensor.dtype for tensor in (outputs, *state, *ends)} == {kind}


@CELLS
def test_without_bf16_layers_they_are_computed_in_fp32_and_give_what_was_asked_for(
    cell: str, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fused_layers, "has_bf16_layers", lambda: False)
    with torch.autocast("cpu", torch.bfloat16):
        outputs, state = layer_of(cell).run(drawn(3, 5, 6).bfloat16())
    assert watch.types == [{torch.float32}]
    assert {tensor.dtype for tensor in (outputs, *state)} == {torch.bfloat16}


@CELLS
def test_weights_that_are_in_bf16_already_need_no_autocast(cell: str, watch: Watch) -> None:
    with torch.no_grad():
        outputs, _ = layer_of(cell).bfloat16().run(drawn(3, 5, 6).bfloat16())
    assert watch.types == [{torch.bfloat16}]
    assert outputs.dtype == torch.bfloat16


def test_weights_that_lie_in_one_piece_are_taken_as_they_are() -> None:
    piece = torch.arange(20.0)
    weights = piece[:12].view(4, 3), piece[12:16], piece[16:]
    assert fused_layers.in_one_piece(weights, torch.float32) is weights


@pytest.mark.parametrize("has_call", [True, False])
def test_the_pieces_are_the_weights_rounded_and_their_gradients_reach_the_weights_in_fp32(
    has_call: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_call:
        monkeypatch.setattr(fused_layers, "find", lambda name: None)
    weights = [drawn(4, 3).requires_grad_(), drawn(4, seed=2).requires_grad_()]
    placed = fused_layers.in_one_piece(weights, torch.bfloat16)
    for piece, weight in zip(placed, weights, strict=True):
        assert torch.equal(piece, weight.bfloat16())
    first, second = torch.autograd.grad((placed[0] * 3).sum() + (placed[1] * 0.1).sum(), weights)
    assert torch.equal(first, torch.full((4, 3), 3.0))
    assert torch.equal(second, torch.full((4,), 0.1).bfloat16().float())


@CELLS
@pytest.mark.parametrize("recurrent_dropout", [0.0, 0.5])
def test_gradients_are_those_of_a_layer_whose_weights_are_rounded_one_by_one(
    cell: str, recurrent_dropout: float, watch: Watch
) -> None:
    layer, inputs = layer_of(cell, recurrent_dropout=recurrent_dropout).train(), drawn(3, 5, 6)

    def gradients(run: Callable[[Tensor], Tensor]) -> list[Tensor]:
        torch.manual_seed(2)
        read = inputs.clone().requires_grad_()
        loss = (run(read).float() * drawn(3, 5, 8, seed=3)).sum()
        return list(torch.autograd.grad(loss, [read, *layer.parameters()]))

    def plainly(read: Tensor) -> Tensor:
        w, u, *biases = layer.fused.all_weights[0]
        weights = [weight.bfloat16() for weight in (w, layer.thinned(u), *biases)]
        state = [torch.zeros(3, 8).bfloat16()] * layer.state_parts
        return fused_layers._fused_layer(layer.kernel, read.bfloat16(), state, weights, True, None)[0]

    def as_on_a_gpu(read: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return layer(read)  # type: ignore[no-any-return]

    for found, expected in zip(gradients(as_on_a_gpu), gradients(plainly), strict=True):
        assert found.dtype == torch.float32
        assert torch.equal(found, expected)
