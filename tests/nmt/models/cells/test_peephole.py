import torch

from nmt.models.cells.peephole import PeepholeLSTM


def layer_of() -> PeepholeLSTM:
    torch.manual_seed(0)
    return PeepholeLSTM(input_size=2, hidden_size=3, recurrent_dropout=0.0).double()


def test_a_sequence_follows_the_plain_equations() -> None:
    layer = layer_of()
    for parameter in layer.parameters():
        parameter.data.add_(torch.randn_like(parameter), alpha=0.5)
    inputs, h, c = torch.randn(4, 5, 2).double(), torch.randn(4, 3).double(), torch.randn(4, 3).double()
    outputs, last = layer.run(inputs, (h, c))
    w_i, w_f, w_g, w_o = layer.input_weight.split(3)
    u_i, u_f, u_g, u_o = layer.recurrent_weight.split(3)
    b_i, b_f, b_g, b_o = layer.bias.split(3)
    p_i, p_f, p_o = layer.peepholes
    for t in range(5):
        x = inputs[:, t]
        i = torch.sigmoid(x @ w_i.T + h @ u_i.T + p_i * c + b_i)
        f = torch.sigmoid(x @ w_f.T + h @ u_f.T + p_f * c + b_f)
        c = f * c + i * torch.tanh(x @ w_g.T + h @ u_g.T + b_g)
        o = torch.sigmoid(x @ w_o.T + h @ u_o.T + p_o * c + b_o)
        h = o * torch.tanh(c)
        torch.testing.assert_close(outputs[:, t], h)
    torch.testing.assert_close(last, (h, c))


def test_without_peepholes_it_is_the_library_s_lstm() -> None:
    layer, library = layer_of(), torch.nn.LSTM(2, 3, batch_first=True).double()
    library.weight_ih_l0.data.copy_(layer.input_weight)
    library.weight_hh_l0.data.copy_(layer.recurrent_weight)
    library.bias_ih_l0.data.copy_(layer.bias)
    library.bias_hh_l0.data.zero_()
    inputs = torch.randn(4, 5, 2).double()
    torch.testing.assert_close(layer(inputs), library(inputs)[0])  # peepholes start at zero


def test_forget_gates_start_open() -> None:
    assert layer_of().bias.tolist() == [0.0] * 3 + [1.0] * 3 + [0.0] * 6
