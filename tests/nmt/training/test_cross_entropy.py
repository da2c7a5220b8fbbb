import pytest
import torch
from torch import nn

from nmt.training import cross_entropy
from nmt.training.cross_entropy import linear_cross_entropy, reference_cross_entropy


def parts(dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor, nn.Linear]:
    torch.manual_seed(0)
    output = nn.Linear(8, 50)
    return torch.randn(37, 8, dtype=dtype, requires_grad=True), torch.randint(0, 50, (37,)), output


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("cells", [50, 500, 10_000])  # slices of 1, 10 and all words
def test_loss_and_gradients_equal_the_library_s(smoothing: float, cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cross_entropy, "_CELLS", cells)
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


def test_a_uniform_guess_costs_the_log_of_the_vocabulary() -> None:
    output = nn.Linear(2, 8)
    nn.init.zeros_(output.weight)
    nn.init.zeros_(output.bias)
    loss = linear_cross_entropy(torch.ones(3, 2), torch.tensor([0, 3, 7]), output, label_smoothing=0.2)
    assert loss.item() == pytest.approx(3 * 2.0794415)  # 3 ln 8
