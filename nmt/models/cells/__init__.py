"""Recurrent layers, a cell in each file: whole sequences at once, single steps by the same weights and equations."""

from nmt.config.model import Cell
from nmt.models.cells.cho_gru import ChoGRU
from nmt.models.cells.fused import FusedLayer
from nmt.models.cells.layer import Recurrence, RecurrentLayer, State, Weights
from nmt.models.cells.layer_norm import LayerNormLSTM
from nmt.models.cells.peephole import PeepholeLSTM
from nmt.models.cells.ssru import SSRU

__all__ = [
    "SSRU",
    "Cell",
    "ChoGRU",
    "FusedLayer",
    "LayerNormLSTM",
    "PeepholeLSTM",
    "Recurrence",
    "RecurrentLayer",
    "State",
    "Weights",
    "make_layer",
]


def make_layer(recurrence: Recurrence, *, input_size: int, hidden_size: int) -> RecurrentLayer:
    """Make a freshly initialised layer of a cell."""
    sizes = {"input_size": input_size, "hidden_size": hidden_size}
    if recurrence.cell == "peephole_lstm":
        return PeepholeLSTM(**sizes, recurrent_dropout=recurrence.dropout)
    if recurrence.cell == "layer_norm_lstm":
        return LayerNormLSTM(**sizes, recurrent_dropout=recurrence.dropout)
    if recurrence.cell == "cho_gru":
        return ChoGRU(**sizes, recurrent_dropout=recurrence.dropout)
    if recurrence.cell == "ssru":
        return SSRU(**sizes)
    return FusedLayer(recurrence.cell, **sizes, recurrent_dropout=recurrence.dropout)
