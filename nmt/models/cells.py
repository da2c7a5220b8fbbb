"""Recurrent layers: whole sequences in one fused call, single steps by the same weights and equations."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from nmt.models.dropout import drop_cells

Cell = Literal["lstm", "gru", "rnn"]
State = tuple[Tensor, ...]
"""(h,) or, for an LSTM, (h, c), each [B, H]."""
Weights = tuple[Tensor, ...]
"""Of G gates: input weights [G * H, I], recurrent weights [G * H, H], and the bias of each, [G * H].

A layer that has its weights in another form, for inference, gives none."""

_FUSED: dict[Cell, Callable[..., nn.RNNBase]] = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
_SEQUENCE: dict[Cell, Callable[..., tuple[Tensor, ...]]] = {
    "lstm": torch.lstm,
    "gru": torch.gru,
    "rnn": torch.rnn_tanh,
}
_GATES: dict[Cell, int] = {"lstm": 4, "gru": 3, "rnn": 1}


@dataclass(frozen=True)
class Recurrence:
    """What the recurrent layers of a model have in common."""

    cell: Cell
    dropout: float
    """Share of the recurrent weights that is dropped in training."""


class RecurrentLayer(nn.Module):
    """One recurrent layer in one direction.

    LSTM (Hochreiter & Schmidhuber, 1997; Gers et al., 2000), GRU (Cho et al., 2014) or tanh RNN (Elman, 1990),
    computed by the library's fused layer (cuDNN, oneDNN). Recurrent weights start orthogonal gate by gate (Saxe et al.,
    2014), input weights uniform (Glorot & Bengio, 2010), biases at zero but for an LSTM's forget gate, which starts at
    one (Jozefowicz et al., 2015).

    In training, single recurrent weights may be dropped (DropConnect: Wan et al., 2013), the same ones at all steps
    (Merity et al., 2018, sec. 2), which leaves the fused layer as it is.
    """

    def __init__(self, recurrence: Recurrence, *, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.cell = recurrence.cell
        self.recurrent_dropout = recurrence.dropout
        self.hidden_size = hidden_size
        self.fused = _FUSED[self.cell](input_size, hidden_size, batch_first=True)
        self._reset()

    @property
    def state_parts(self) -> int:
        """How many tensors the state has: 2 for an LSTM, else 1."""
        return 2 if self.cell == "lstm" else 1

    def forward(self, inputs: Tensor, state: State | None = None) -> Tensor:
        """Run over whole sequences [B, T, I] from a state, or from zeros; return the hidden states, [B, T, H]."""
        return self.run(inputs, state)[0]

    def run(self, inputs: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Run over whole sequences.

        Args:
            inputs: [B, T, I].
            state: The state before the first step, parts [B, H]; None: zeros.

        Returns:
            The hidden state after every step, [B, T, H], and the whole state after the last one, parts [B, H].
        """
        if state is None:
            state = (inputs.new_zeros(inputs.shape[0], self.hidden_size),) * self.state_parts
        first = tuple(part.unsqueeze(0).contiguous() for part in state)  # [1, B, H]
        weights, hx = self._drawn_weights(), first if self.cell == "lstm" else first[0]
        # biases, layers, dropout between layers, training, two directions, batch first: what `fused` itself would say
        outputs, *last = _SEQUENCE[self.cell](inputs, hx, weights, True, 1, 0.0, self.training, False, True)
        return outputs, tuple(part.squeeze(0) for part in last)

    def weights(self) -> Weights:
        """Return the weights for all steps over a batch; in training, dropped ones among them are zero."""
        input_weight, recurrent_weight, input_bias, recurrent_bias = self._drawn_weights()
        device = recurrent_weight.device.type
        if self._drops and torch.is_autocast_enabled(device):
            # autocast remembers its copies of parameters only, and would make one of these at every step
            recurrent_weight = recurrent_weight.to(torch.get_autocast_dtype(device))
        return input_weight, recurrent_weight, input_bias, recurrent_bias

    def step(self, inputs: Tensor, state: State, *, weights: Weights) -> State:
        """Make one step: inputs [B, I], state parts [B, H]; the first part of the new state is the output."""
        if self.cell == "lstm":
            return torch.lstm_cell(inputs, state, *weights)
        advance = torch.gru_cell if self.cell == "gru" else torch.rnn_tanh_cell
        return (advance(inputs, state[0], *weights),)

    @property
    def _drops(self) -> bool:
        return self.training and self.recurrent_dropout > 0

    def _drawn_weights(self) -> Weights:
        input_weight, recurrent_weight, input_bias, recurrent_bias = self.fused.all_weights[0]
        if not self._drops:
            return input_weight, recurrent_weight, input_bias, recurrent_bias
        return input_weight, drop_cells(recurrent_weight, self.recurrent_dropout), input_bias, recurrent_bias

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
