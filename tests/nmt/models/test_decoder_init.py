import torch

from nmt.models.decoder import Bridges, make_init

SUMMARY = torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]])


def test_a_copied_state_is_cut_into_layers_and_their_parts() -> None:
    first, second = make_init("copy", memory_size=2, hidden_size=2, state_parts=2, layers=2)(SUMMARY)
    assert [part.tolist() for part in first] == [[[1, 2]], [[3, 4]]]
    assert [part.tolist() for part in second] == [[[5, 6]], [[7, 8]]]


def test_zeros_know_nothing() -> None:
    states = make_init("zeros", memory_size=3, hidden_size=3, state_parts=1, layers=2)(SUMMARY)
    assert [[part.tolist() for part in state] for state in states] == [[[[0, 0, 0]]], [[[0, 0, 0]]]]


def test_a_bridge_squashes_what_its_layer_makes_of_the_last_outputs() -> None:
    bridges = make_init("bridge", memory_size=1, hidden_size=1, state_parts=2, layers=1)
    assert isinstance(bridges, Bridges)
    with torch.no_grad():
        bridges[0].weight.copy_(torch.tensor([[2.0], [0.0]]))
        bridges[0].bias.copy_(torch.tensor([0.0, 1.0]))
    [(h, c)] = bridges(torch.tensor([[0.5]]))
    torch.testing.assert_close(torch.cat([h, c], dim=1), torch.tanh(torch.tensor([[1.0, 1.0]])))
