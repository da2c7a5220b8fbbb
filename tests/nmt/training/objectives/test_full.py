import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from nmt.training.objectives import full
from nmt.training.objectives.full import linear_cross_entropy


def reference_cross_entropy(features: Tensor, gold: Tensor, output: nn.Linear, *, label_smoothing: float) -> Tensor:
    """Sum the same loss by the library's own functions, with all logits at once."""
    logits = output(features).float()  # [N, V]
    return functional.cross_entropy(logits, gold, reduction="sum", label_smoothing=label_smoothing)


def parts(dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor, nn.Linear]:
    torch.manual_seed(0)
    output = nn.Linear(8, 50)
    return torch.randn(37, 8, dtype=dtype, requires_grad=True), torch.randint(0, 50, (37,)), output


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("cells", [50, 500, 10_000])  # slices of 1, 10 and all words
def test_loss_and_gradients_equal_the_library_s(smoothing: float, cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(full._CELLS, "cpu", cells)
    features, gold, output = parts()
    inputs = (features, output.weight, output.bias)
    expected = reference_cross_entropy(features, gold, output, label_smoothing=smoothing)
    expected_grads = torch.autograd.grad(expected / 3, inputs)
    loss = linear_cross_entropy(features, gold, output, label_smoothing=smoothing)
    grads = torch.autograd.grad(loss / 3, inputs)
    torch.testing.assert_close(loss, expected)
    for got, want in zip(grads, expected_grads, strict=True):
        torch.testing.assert_close(got, want)


def test_without_gradients_the_loss_is_the_same() -> None:
    features, gold, output = parts()
    with_gradients = linear_cross_entropy(features, gold, output, label_smoothing=0.1)
    with torch.no_grad():
        without = linear_cross_entropy(features, gold, output, label_smoothing=0.1)
    torch.testing.assert_close(without, with_gradients.detach())


def test_bf16_features_keep_the_loss_within_bf16_accuracy() -> None:
    features, gold, output = parts()
    narrow = features.detach().bfloat16().requires_grad_()
    expected = reference_cross_entropy(features, gold, output, label_smoothing=0.1)
    loss = linear_cross_entropy(narrow, gold, output, label_smoothing=0.1)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, expected, rtol=1e-2, atol=0.0)
    (grad,) = torch.autograd.grad(loss, narrow)
    (want,) = torch.autograd.grad(expected, features)
    torch.testing.assert_close(grad.float(), want, rtol=0.1, atol=0.05)


def test_under_fp16_the_softmax_is_in_fp32() -> None:
    output = nn.Linear(1, 2)
    with torch.no_grad():
        output.weight.copy_(torch.tensor([[18.0], [0.0]]))
        output.bias.zero_()
    features, gold = torch.ones(1, 1, dtype=torch.float16, requires_grad=True), torch.tensor([1])
    with torch.autocast("cpu", torch.float16):
        loss = linear_cross_entropy(features, gold, output, label_smoothing=0.0)
    assert loss.item() == pytest.approx(18.0)  # e^-18 is zero in float16, which would cost 87.3
    (grad,) = torch.autograd.grad(loss, features)
    assert (grad.dtype, grad.item()) == (torch.float16, pytest.approx(18.0))


@pytest.mark.parametrize("autocast_to", [None, torch.bfloat16])
def test_features_in_float16_that_nobody_asked_for_are_refused(autocast_to: torch.dtype | None) -> None:
    features, gold, output = parts(torch.float16)
    with (
        pytest.raises(TypeError, match=r"^features are torch\.float16, which no precision but fp16 asks for$"),
        torch.autocast("cpu", autocast_to, enabled=autocast_to is not None),
    ):
        linear_cross_entropy(features, gold, output, label_smoothing=0.1)


def test_a_uniform_guess_costs_the_log_of_the_vocabulary() -> None:
    output = nn.Linear(2, 8)
    nn.init.zeros_(output.weight)
    nn.init.zeros_(output.bias)
    loss = linear_cross_entropy(torch.ones(3, 2), torch.tensor([0, 3, 7]), output, label_smoothing=0.2)
    assert loss.item() == pytest.approx(3 * 2.0794415)  # 3 ln 8


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_no_words_cost_nothing_and_their_gradients_are_zeros(dtype: torch.dtype, smoothing: float) -> None:
    output = nn.Linear(8, 50)
    features, gold = torch.empty(0, 8, dtype=dtype, requires_grad=True), torch.empty(0, dtype=torch.int64)
    loss = linear_cross_entropy(features, gold, output, label_smoothing=smoothing)
    assert loss.item() == 0.0
    grads = torch.autograd.grad(loss, (features, output.weight, output.bias))
    assert [tuple(grad.shape) for grad in grads] == [(0, 8), (50, 8), (50,)]
    assert all(not grad.any() for grad in grads)


def test_no_words_cost_nothing_without_gradients_either() -> None:
    with torch.no_grad():
        loss = linear_cross_entropy(
            torch.empty(0, 8), torch.empty(0, dtype=torch.int64), nn.Linear(8, 50), label_smoothing=0.1
        )
    assert loss.item() == 0.0


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_gold_word_200_nats_below_another_keeps_loss_and_gradients_finite(
    dtype: torch.dtype, smoothing: float
) -> None:
    output = nn.Linear(1, 4)
    with torch.no_grad():
        output.weight.copy_(torch.tensor([[200.0], [0.0], [0.0], [0.0]]))
        output.bias.zero_()
    features = torch.ones(1, 1, dtype=dtype, requires_grad=True)
    loss = linear_cross_entropy(features, torch.tensor([1]), output, label_smoothing=smoothing)
    assert loss.isfinite()
    assert loss.item() > 50.0
    features_grad, weight_grad, bias_grad = torch.autograd.grad(loss, (features, output.weight, output.bias))
    # all the mass is on word 0 and should be on word 1, but for the smoothing: p - target
    expected = torch.tensor([1 - smoothing / 4, smoothing * 3 / 4 - 1, -smoothing / 4, -smoothing / 4])
    torch.testing.assert_close(bias_grad, expected, rtol=1e-2, atol=1e-3)
    torch.testing.assert_close(weight_grad[:, 0], expected, rtol=1e-2, atol=1e-3)
    assert features_grad.item() == pytest.approx(200 * (1 - smoothing / 4), rel=1e-2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_gold_word_200_nats_above_all_others_costs_nothing(dtype: torch.dtype) -> None:
    output = nn.Linear(1, 4)
    with torch.no_grad():
        output.weight.copy_(torch.tensor([[200.0], [0.0], [0.0], [0.0]]))
        output.bias.zero_()
    features = torch.ones(1, 1, dtype=dtype, requires_grad=True)
    loss = linear_cross_entropy(features, torch.tensor([0]), output, label_smoothing=0.0)
    assert loss.item() == 0.0
    grads = torch.autograd.grad(loss, (features, output.weight, output.bias))
    assert all(grad.abs().max() < 1e-6 for grad in grads)
