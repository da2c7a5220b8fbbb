import math
from collections.abc import Callable

import pytest
import torch

from nmt_lab import copying
from nmt_lab.common import Network, compared
from nmt_lab.copying import accuracy, draw_batch, fading, gradient_norms, learn, make


def test_a_batch_is_a_word_a_delay_a_cue_and_room_for_the_word() -> None:
    torch.manual_seed(0)
    inputs, words = draw_batch(3, 4)
    ids = inputs.argmax(dim=2)
    assert inputs.sum(dim=2).eq(1).all()
    assert (ids[:, :2] == words).all()
    assert (words < 8).all()
    assert ids[:, 2:].tolist() == [[8, 8, 8, 8, 9, 8]] * 3


def test_gradient_norms_equal_those_of_two_steps_by_hand() -> None:
    """One unit, h' = tanh(x + w h): the word is read at step 0, the last two steps are asked."""
    network = Network("rnn", input_size=1, hidden_size=1, output_size=2).double()
    input_weight, recurrent_weight, *biases = network.layer.weights()
    for parameter, value in ((input_weight, 1.0), (recurrent_weight, 0.5), *((bias, 0.0) for bias in biases)):
        parameter.data.fill_(value)
    network.output.weight.data.copy_(torch.tensor([[1.0], [-1.0]]))
    network.output.bias.data.zero_()
    x1, x2 = 0.3, -0.2
    h1 = math.tanh(x1)
    h2 = math.tanh(x2 + 0.5 * h1)

    def slope(h: float) -> float:
        """Of -log of the first of two classes with logits h and -h, half of the mean over two steps."""
        return -2 / (1 + math.exp(2 * h)) / 2

    at_two = slope(h2)
    at_one = slope(h1) + at_two * (1 - h2**2) * 0.5
    norms = gradient_norms(network, torch.tensor([[[x1], [x2]]]).double(), torch.tensor([[0, 0]]))
    assert norms.tolist() == pytest.approx([abs(at_one), abs(at_two)])


def test_the_gradient_of_an_lstm_counts_both_parts_of_its_state() -> None:
    torch.manual_seed(0)
    network = Network("lstm", input_size=10, hidden_size=3, output_size=8).double()
    inputs, words = draw_batch(1, 1)
    inputs = inputs.double()
    _, state = network(inputs[:, :1])
    parts = tuple(part.detach().requires_grad_() for part in state)
    outputs, _ = network(inputs[:, 1:], parts)
    gradients = torch.autograd.grad(copying.loss_of(outputs, words), parts)
    norm = torch.cat(gradients, dim=1).norm().item()
    assert gradient_norms(network, inputs, words)[0].item() == pytest.approx(norm)


def test_a_small_start_lets_the_gradient_vanish_and_an_orthogonal_one_lets_it_fade() -> None:
    small, orthogonal, *_ = (fading(make(name, copying.DEFAULTS)) for name in compared(None))
    assert small[0] == orthogonal[0] == 1.0
    assert len(small) == 101
    assert small[100] < 1e-20
    assert orthogonal[100] > 1e-9


def test_the_lab_says_what_it_has_found(run: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "MEASURED", 5)
    monkeypatch.setattr(copying, "DELAYS", (1, 2))
    lines = run(copying, steps=2)
    assert [line.partition(":")[0] for line in lines] == list(compared(None))


@pytest.mark.slow
def test_the_gated_cells_copy_over_all_delays_of_training() -> None:
    for name in ("GRU", "LSTM"):
        network = make(name, copying.DEFAULTS)
        learn(network, copying.DEFAULTS)
        assert min(accuracy(network, delay) for delay in (1, 20, 40)) > 0.99
