"""Recurrent layers in one call, and their steps, give what the library's layers give, where calls are missing too."""

from collections.abc import Callable
from typing import Any, get_args

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from nmt.models.fused_layers import Fused, fused_layer, fused_step
from tests.nmt.models.test_kernels import drawn

LIBRARY: dict[Fused, Callable[[], nn.RNNBase]] = {
    "lstm": lambda: nn.LSTM(5, 4, batch_first=True),
    "gru": lambda: nn.GRU(5, 4, batch_first=True),
    "rnn_tanh": lambda: nn.RNN(5, 4, batch_first=True),
    "rnn_relu": lambda: nn.RNN(5, 4, batch_first=True, nonlinearity="relu"),
}


@pytest.mark.usefixtures("calls")
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", get_args(Fused))
def test_a_fused_layer_is_the_library_s_layer(name: Fused, training: bool) -> None:
    layer = LIBRARY[name]().train(training)
    inputs, state = drawn(3, 6, 5), [drawn(3, 4, seed=seed) for seed in range(2 if name == "lstm" else 1)]
    hx: Any = tuple(part[None] for part in state) if name == "lstm" else state[0][None]
    expected, last = layer(inputs, hx)
    outputs, *parts = fused_layer(name, inputs, state, layer.all_weights[0], training=training)
    torch.testing.assert_close(outputs, expected)
    torch.testing.assert_close(parts, [part[0] for part in (last if name == "lstm" else [last])])
    for t in range(6):
        state = list(fused_step(name, inputs[:, t], state, layer.all_weights[0]))
    torch.testing.assert_close(state, parts)


@pytest.mark.usefixtures("calls")
def test_an_lstm_reads_packed_sequences_as_the_library_does() -> None:
    layer = LIBRARY["lstm"]()
    packed = pack_padded_sequence(drawn(3, 6, 5), torch.tensor([6, 3, 1]), batch_first=True)
    expected, last = layer(packed)
    outputs, *parts = fused_layer(
        "lstm",
        packed.data,
        [torch.zeros(3, 4)] * 2,
        layer.all_weights[0],
        training=True,
        batch_sizes=packed.batch_sizes,
    )
    torch.testing.assert_close(outputs, expected.data)
    torch.testing.assert_close(parts, [part[0] for part in last])
