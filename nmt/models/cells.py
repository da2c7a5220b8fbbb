"""Recurrent layers: whole sequences in one fused call, single steps by the same weights and equations."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

Cell = Literal["lstm", "gru", "rnn"]
State = tuple[Tensor, ...]
"""(h,) or, for an LSTM, (h, c), each [B, H]."""

_FUSED: dict[Cell, Callable[..., nn.RNNBase]] = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
_GATES: dict[Cell, int] = {"lstm": 4, "gru": 3, "rnn": 1}


class RecurrentLayer(nn.Module):
    """One recurrent layer in one direction.

    LSTM (Hochreiter & Schmidhuber, 1997; Gers et al., 2000), GRU (Cho et al., 2014) or tanh RNN (Elman, 1990),
    computed by the library's fused layer (cuDNN, oneDNN). Recurrent weights start orthogonal gate by gate (Saxe et al.,
    2014), input weights uniform (Glorot & Bengio, 2010), biases at zero but for an LSTM's forget gate, which starts at
    one (Jozefowicz et al., 2015).
    """

    def __init__(self, *, cell: Cell, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.cell: Cell = cell
        self.hidden_size = hidden_size
        self.fused = _FUSED[cell](input_size, hidden_size, batch_first=True)
        self._reset()

    @property
    def state_parts(self) -> int:
        """How many tensors the state has: 2 for an LSTM, else 1."""
        return 2 if self.cell == "lstm" else 1

    def forward(self, inputs: Tensor, state: State | None = None) -> Tensor:
        """Run over whole sequences.

        Args:
            inputs: [B, T, I].
            state: The state before the first step; None: zeros.

        Returns:
            The hidden state after every step, [B, T, H].
        """
        if state is None:
            outputs, _ = self.fused(inputs)
        else:
            first = tuple(part.unsqueeze(0).contiguous() for part in state)  # [1, B, H]
            outputs, _ = self.fused(inputs, first if self.cell == "lstm" else first[0])
        return outputs  # type: ignore[no-any-return]

    def step(self, inputs: Tensor, state: State) -> State:
        """Make one step: inputs [B, I], state parts [B, H]; the first part of the new state is the output."""
        input_weight, recurrent_weight, input_bias, recurrent_bias = self.fused.all_weights[0]
        weights = (input_weight, recurrent_weight, input_bias, recurrent_bias)
        if self.cell == "lstm":
            return torch.lstm_cell(inputs, state, *weights)
        advance = torch.gru_cell if self.cell == "gru" else torch.rnn_tanh_cell
        return (advance(inputs, state[0], *weights),)

    def _reset(self) -> None:
        input_weight, recurrent_weight, input_bias, recurrent_bias = self.fused.all_weights[0]
        for gate in torch.chunk(recurrent_weight, _GATES[self.cell]):
            nn.init.orthogonal_(gate)
        for gate in torch.chunk(input_weight, _GATES[self.cell]):
            nn.init.xavier_uniform_(gate)
        nn.init.zeros_(input_bias)
        nn.init.zeros_(recurrent_bias)
        if self.cell == "lstm":  # gate order of the library: input, forget, cell, output
            nn.init.ones_(torch.chunk(input_bias, 4)[1])
