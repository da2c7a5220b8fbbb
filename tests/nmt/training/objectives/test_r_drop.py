import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from nmt.training.objectives import r_drop
from nmt.training.objectives.full import linear_cross_entropy
from nmt.training.objectives.r_drop import RDrop


def r_drop_loss(
    first: Tensor, second: Tensor, gold: Tensor, output: nn.Linear, *, label_smoothing: float, weight: float
) -> Tensor:
    return RDrop(weight=weight, label_smoothing=label_smoothing)([first, second], gold, output)


def reference_r_drop(
    first: Tensor, second: Tensor, gold: Tensor, output: nn.Linear, *, label_smoothing: float, weight: float
) -> Tensor:
    """Sum the same loss by the library's own functions, with all logits at once."""
    log_p, log_q = (output(features).float().log_softmax(dim=1) for features in (first, second))
    cross_entropies = [
        functional.cross_entropy(scores, gold, reduction="sum", label_smoothing=label_smoothing)
        for scores in (log_p, log_q)
    ]
    there = functional.kl_div(log_q, log_p, reduction="sum", log_target=True)
    back = functional.kl_div(log_p, log_q, reduction="sum", log_target=True)
    return (cross_entropies[0] + cross_entropies[1]) / 2 + weight / 4 * (there + back)


def parts(words: int = 37) -> tuple[Tensor, Tensor, Tensor, nn.Linear]:
    torch.manual_seed(0)
    first, second = torch.randn(words, 8, requires_grad=True), torch.randn(words, 8, requires_grad=True)
    return first, second, torch.randint(0, 50, (words,)), nn.Linear(8, 50)


def two_words(weight: float, scale: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    """The loss of p = (3/4, 1/4) and q = (1/4, 3/4) at the gold word 0, for a `scale` of 1; and both features."""
    output = nn.Linear(1, 2)
    with torch.no_grad():
        output.weight.copy_(torch.tensor([[1.0], [0.0]]))
        output.bias.zero_()
    first = torch.tensor([[scale * math.log(3)]], requires_grad=True)
    second = torch.tensor([[-math.log(3)]], requires_grad=True)
    loss = r_drop_loss(first, second, torch.tensor([0]), output, label_smoothing=0.0, weight=weight)
    return loss, first, second


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weight", [0.5, 5.0])
@pytest.mark.parametrize(("slices", "blocks"), [(32, 32), (64, 32), (96, 64), (1000, 32), (1000, 1000)])
def test_loss_and_gradients_equal_the_library_s(
    smoothing: float, weight: float, slices: int, blocks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, gold, output = parts(words=100)
    monkeypatch.setitem(r_drop._CELLS, "cpu", slices * 50)  # words of a slice, times the pieces of the vocabulary
    monkeypatch.setitem(r_drop._BLOCK, "cpu", blocks * 50)
    inputs = (first, second, output.weight, output.bias)
    expected = reference_r_drop(first, second, gold, output, label_smoothing=smoothing, weight=weight)
    expected_grads = torch.autograd.grad(expected / 3, inputs)
    loss = r_drop_loss(first, second, gold, output, label_smoothing=smoothing, weight=weight)
    grads = torch.autograd.grad(loss / 3, inputs)
    torch.testing.assert_close(loss, expected)
    for got, want in zip(grads, expected_grads, strict=True):
        torch.testing.assert_close(got, want)


def test_the_loss_of_two_opposite_guesses() -> None:
    # (ln 4/3 + ln 4) / 2, and in both directions a divergence of 3/4 ln 3 - 1/4 ln 3
    assert two_words(weight=0.0)[0].item() == pytest.approx((math.log(4 / 3) + math.log(4)) / 2)
    assert two_words(weight=2.0)[0].item() == pytest.approx(math.log(4))


def test_the_gradient_of_two_opposite_guesses() -> None:
    loss, first, second = two_words(weight=2.0)
    loss.backward()
    # (p - target) / 2 + weight / 4 (p (ln 3 - KL) + p - q), where KL = ln 3 / 2; q has its own, with -ln 3
    assert first.grad is not None
    assert first.grad.item() == pytest.approx(-1 / 8 + (3 / 8 * math.log(3) + 1 / 2) / 2)
    assert second.grad is not None
    assert second.grad.item() == pytest.approx(-3 / 8 + (-3 / 8 * math.log(3) - 1 / 2) / 2)


def test_the_gradient_is_the_slope_of_the_loss() -> None:
    step = 0.01
    slope = (two_words(2.0, 1 + step)[0] - two_words(2.0, 1 - step)[0]).item() / (2 * step * math.log(3))
    loss, first, _ = two_words(2.0)
    (grad,) = torch.autograd.grad(loss, first)
    assert grad.item() == pytest.approx(slope, rel=1e-3)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_two_equal_passes_cost_what_one_costs_whatever_the_weight(smoothing: float) -> None:
    first, _, gold, output = parts()
    plain = linear_cross_entropy(first, gold, output, label_smoothing=smoothing)
    (plain_grad,) = torch.autograd.grad(plain, output.weight)
    for weight in (0.0, 1.0, 7.0):
        loss = r_drop_loss(first, first, gold, output, label_smoothing=smoothing, weight=weight)
        torch.testing.assert_close(loss, plain)
        (grad,) = torch.autograd.grad(loss, output.weight)
        torch.testing.assert_close(grad, plain_grad)


def test_which_pass_comes_first_makes_no_difference() -> None:
    first, second, gold, output = parts()
    loss = r_drop_loss(first, second, gold, output, label_smoothing=0.1, weight=3.0)
    swapped = r_drop_loss(second, first, gold, output, label_smoothing=0.1, weight=3.0)
    torch.testing.assert_close(loss, swapped)


def test_bf16_features_keep_loss_and_gradients_within_bf16_accuracy() -> None:
    first, second, gold, output = parts()
    inputs = (first, second, output.weight, output.bias)
    expected = reference_r_drop(first, second, gold, output, label_smoothing=0.1, weight=2.0)
    expected_grads = torch.autograd.grad(expected, inputs)
    narrow = [features.detach().bfloat16().requires_grad_() for features in (first, second)]
    loss = r_drop_loss(narrow[0], narrow[1], gold, output, label_smoothing=0.1, weight=2.0)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, expected, rtol=1e-2, atol=0.0)
    grads = torch.autograd.grad(loss, (*narrow, output.weight, output.bias))
    assert [grad.dtype for grad in grads] == [torch.bfloat16, torch.bfloat16, torch.float32, torch.float32]
    for got, want in zip(grads, expected_grads, strict=True):
        assert (got.float() - want).norm() < 0.02 * want.norm()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_no_words_cost_nothing_and_their_gradients_are_zeros(dtype: torch.dtype) -> None:
    first, second = (torch.empty(0, 8, dtype=dtype, requires_grad=True) for _ in range(2))
    output = nn.Linear(8, 50)
    gold = torch.empty(0, dtype=torch.int64)
    loss = r_drop_loss(first, second, gold, output, label_smoothing=0.1, weight=2.0)
    assert loss.item() == 0.0
    grads = torch.autograd.grad(loss, (first, second, output.weight, output.bias))
    assert [tuple(grad.shape) for grad in grads] == [(0, 8), (0, 8), (50, 8), (50,)]
    assert all(not grad.any() for grad in grads)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_guesses_200_nats_apart_keep_loss_and_gradients_finite(dtype: torch.dtype) -> None:
    output = nn.Linear(1, 2)
    with torch.no_grad():
        output.weight.copy_(torch.tensor([[200.0], [0.0]]))
        output.bias.zero_()
    first, second = (torch.tensor([[value]], dtype=dtype, requires_grad=True) for value in (1.0, -1.0))
    loss = r_drop_loss(first, second, torch.tensor([0]), output, label_smoothing=0.0, weight=4.0)
    assert loss.item() == pytest.approx(200 / 2 + 200 + 200)  # one pass is sure and right, the other sure and wrong
    grads = torch.autograd.grad(loss, (first, second, output.weight, output.bias))
    assert all(grad.isfinite().all() for grad in grads)
