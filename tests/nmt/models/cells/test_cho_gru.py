import torch

from nmt.models.cells.cho_gru import ChoGRU


def layer_of() -> ChoGRU:
    torch.manual_seed(0)
    layer = ChoGRU(input_size=2, hidden_size=3, recurrent_dropout=0.0).double()
    for parameter in layer.parameters():
        parameter.data.add_(torch.randn_like(parameter), alpha=0.5)
    return layer


def test_a_sequence_follows_the_plain_equations() -> None:
    layer = layer_of()
    inputs, h = torch.randn(4, 5, 2).double(), torch.randn(4, 3).double()
    outputs, last = layer.run(inputs, (h,))
    w_r, w_z, w_n = layer.input_weight.split(3)
    u_r, u_z = layer.recurrent_weight.split(3)
    b_r, b_z, b_n = layer.bias.split(3)
    for t in range(5):
        x = inputs[:, t]
        r = torch.sigmoid(x @ w_r.T + h @ u_r.T + b_r)
        z = torch.sigmoid(x @ w_z.T + h @ u_z.T + b_z)
        n = torch.tanh(x @ w_n.T + (r * h) @ layer.candidate_weight.T + b_n)
        h = z * h + (1 - z) * n
        torch.testing.assert_close(outputs[:, t], h)
    torch.testing.assert_close(last, (h,))


def library_of(layer: ChoGRU) -> torch.nn.GRU:
    library = torch.nn.GRU(2, 3, batch_first=True).double()
    library.weight_ih_l0.data.copy_(layer.input_weight)
    library.weight_hh_l0.data.copy_(torch.cat([layer.recurrent_weight, layer.candidate_weight]))
    library.bias_ih_l0.data.copy_(layer.bias)
    library.bias_hh_l0.data.zero_()
    return library


def test_where_nothing_is_reset_it_is_the_library_s_gru_and_elsewhere_it_is_not() -> None:
    layer = layer_of()
    inputs = torch.randn(4, 5, 2).double()
    assert not torch.allclose(layer(inputs), library_of(layer)(inputs)[0])
    layer.bias.data[:3] = 50.0  # the reset gate lets everything pass
    torch.testing.assert_close(layer(inputs), library_of(layer)(inputs)[0])


def test_its_own_backward_pass_is_that_of_its_steps() -> None:
    layer = layer_of()
    inputs, first = torch.randn(4, 6, 2).double().requires_grad_(), torch.randn(4, 3).double().requires_grad_()
    asked = [inputs, first, *layer.parameters()]
    outputs, (last,) = layer.run(inputs, (first,))
    found = torch.autograd.grad(outputs.square().sum() + last.sum(), asked)
    state, steps, weights = (first,), [], layer.weights()
    for t in range(6):
        state = layer.step(inputs[:, t], state, weights=weights)
        steps.append(state[0])
    expected = torch.autograd.grad(torch.stack(steps).square().sum() + state[0].sum(), asked)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_biases_start_at_zero() -> None:
    assert not ChoGRU(input_size=2, hidden_size=3, recurrent_dropout=0.0).bias.any()
