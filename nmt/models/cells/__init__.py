"""Recurrent layers, a cell in each file: whole sequences at once, single steps by the same weights and equations."""

import pkgutil
from importlib import import_module

from nmt.models.cells.layer import LAYERS, Recurrence, RecurrentLayer, State, Weights

__all__ = ["Recurrence", "RecurrentLayer", "State", "Weights", "make_layer"]


def make_layer(recurrence: Recurrence, *, input_size: int, hidden_size: int) -> RecurrentLayer:
    """Make a freshly initialised layer of a cell, which is registered by one of the files of this folder."""
    for module in pkgutil.iter_modules(__path__):
        import_module(f"{__name__}.{module.name}")
    make = LAYERS[recurrence.cell]
    return make(input_size=input_size, hidden_size=hidden_size, recurrent_dropout=recurrence.dropout)
