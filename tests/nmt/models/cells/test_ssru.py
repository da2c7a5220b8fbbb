import torch

from nmt.models.cells.ssru import SSRU


def layer_of() -> SSRU:
    torch.manual_seed(0)
    return SSRU(input_size=2, hidden_size=3, recurrent_dropout=0.0).double()


def test_a_sequence_follows_the_plain_equations() -> None:
    layer = layer_of()
    layer.bias.data.add_(torch.randn(3).double(), alpha=0.5)
    inputs, c = torch.randn(4, 5, 2).double(), torch.randn(4, 3).double()
    outputs, last = layer.run(inputs, (c,))
    forget_weight, weight = layer.input_weight.split(3)
    for t in range(5):
        f = torch.sigmoid(inputs[:, t] @ forget_weight.T + layer.bias)
        c = f * c + (1 - f) * (inputs[:, t] @ weight.T)
        torch.testing.assert_close(outputs[:, t], c.clamp(min=0))
    torch.testing.assert_close(last, (c,))


def test_its_state_may_be_negative_and_its_output_not() -> None:
    layer = layer_of()
    state = (torch.tensor([[-1.0, 0.0, 2.0]]),)
    assert layer.output(state).tolist() == [[0.0, 0.0, 2.0]]


def test_forget_gates_start_open() -> None:
    assert layer_of().bias.tolist() == [1.0] * 3
