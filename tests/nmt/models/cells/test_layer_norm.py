import torch
from torch import Tensor

from nmt.models.cells.layer_norm import LayerNormLSTM


def layer_of() -> LayerNormLSTM:
    torch.manual_seed(0)
    return LayerNormLSTM(input_size=2, hidden_size=3, recurrent_dropout=0.0).double()


def normalised(x: Tensor) -> Tensor:
    centred = x - x.mean(dim=1, keepdim=True)
    return centred / (centred.square().mean(dim=1, keepdim=True) + 1e-5).sqrt()


def test_a_sequence_follows_the_plain_equations() -> None:
    layer = layer_of()
    for parameter in layer.parameters():
        parameter.data.add_(torch.randn_like(parameter), alpha=0.5)
    inputs, h, c = torch.randn(4, 5, 2).double(), torch.randn(4, 3).double(), torch.randn(4, 3).double()
    outputs, last = layer.run(inputs, (h, c))
    input_weights, recurrent_weights = layer.input_weight.split(3), layer.recurrent_weight.split(3)
    for t in range(5):
        i, f, g, o = (
            normalised(inputs[:, t] @ input_weights[k].T) * layer.input_gain[k]
            + normalised(h @ recurrent_weights[k].T) * layer.recurrent_gain[k]
            + layer.bias[k]
            for k in range(4)
        )
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(normalised(c) * layer.cell_gain + layer.cell_bias)
        torch.testing.assert_close(outputs[:, t], h)
    torch.testing.assert_close(last, (h, c))


def test_the_size_of_the_inputs_is_of_no_account() -> None:
    layer = LayerNormLSTM(input_size=8, hidden_size=16, recurrent_dropout=0.0).double()
    inputs = torch.randn(4, 5, 8).double()
    torch.testing.assert_close(layer(inputs * 100), layer(inputs), rtol=0, atol=1e-3)


def test_gains_start_at_one_and_forget_gates_open() -> None:
    layer = layer_of()
    assert layer.bias.tolist() == [[0.0] * 3, [1.0] * 3, [0.0] * 3, [0.0] * 3]
    assert all(bool((gain == 1).all()) for gain in (layer.input_gain, layer.recurrent_gain, layer.cell_gain))
    assert not layer.cell_bias.any()
