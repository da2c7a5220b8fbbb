import pytest
import torch
from torch import Tensor

from nmt.config.model import Cell
from nmt.models.cells.ssru import SSRU
from nmt_lab.common import Network, Options, compared, make_compared, make_network, train


def network_of(cell: Cell) -> Network:
    torch.manual_seed(0)
    return Network(cell, input_size=3, hidden_size=4, output_size=2)


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_a_sequence_may_be_read_in_parts(cell: Cell) -> None:
    network, inputs = network_of(cell), torch.randn(2, 5, 3)
    whole, last = network(inputs)
    first, state = network(inputs[:, :2])
    second, end = network(inputs[:, 2:], state)
    torch.testing.assert_close(torch.cat([first, second], dim=1), whole)
    torch.testing.assert_close(end, last)
    assert whole.shape == (2, 5, 2)


def test_a_uniform_start_is_smaller_than_an_orthogonal_one() -> None:
    options = Options(units=16, steps=1)
    uniform, orthogonal, *_ = (make_compared(name, options, input_size=3, output_size=2) for name in compared(None))
    weight = uniform.layer.weights()[1]
    assert 0.2 < weight.abs().max() <= 0.25
    weight = orthogonal.layer.weights()[1]
    torch.testing.assert_close(weight @ weight.T, torch.eye(16))


def test_updates_lower_the_loss_and_are_the_same_for_the_same_seed() -> None:
    def losses() -> list[float]:
        heard: list[float] = []
        options = Options(units=4, steps=30, cell="gru", on_update=heard.append)
        network = make_network(options, input_size=3, output_size=2)
        inputs = torch.randn(8, 5, 3)

        def loss() -> Tensor:
            outputs: Tensor = network(inputs)[0]
            return (outputs - inputs.cumsum(dim=1)[..., :2]).square().mean()

        train(network, loss, options, learning_rate=0.02)
        return heard

    once = losses()
    assert len(once) == 30
    assert once[-1] < 0.7 * once[0]
    assert losses() == once


def test_a_comparison_is_of_four_networks_or_of_the_one_that_is_asked_for() -> None:
    assert [cell for cell, _ in compared(None).values()] == ["rnn", "rnn", "gru", "lstm"]
    assert list(compared("ssru")) == ["ssru"]
    assert isinstance(
        make_compared("ssru", Options(units=4, steps=1, cell="ssru"), input_size=3, output_size=2).layer, SSRU
    )
