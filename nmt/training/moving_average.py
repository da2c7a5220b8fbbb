"""An exponential moving average of the weights (Polyak & Juditsky, 1992; Morishita et al., 2017, sec. 3.2)."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from nmt.models.kernels import move_towards


class MovingAverage:
    """Follows the weights of a model; validation and the saved model use it in their place.

    The decay is min(`decay`, (1 + n) / (10 + n)) after n updates, so that the start is soon forgotten.
    """

    def __init__(self, model: nn.Module, *, decay: float) -> None:
        self.decay = decay
        self._averages = {parameter: parameter.detach().clone() for parameter in model.parameters()}

    def of(self, parameter: nn.Parameter) -> Tensor:
        """Return the average of a weight; it is the stored tensor, not a copy."""
        return self._averages[parameter]

    @torch.no_grad()
    def update(self, *, step: int) -> None:
        """Move towards the weights after update number `step`, counted from 1."""
        decay = min(self.decay, (1 + step) / (10 + step))
        move_towards(list(self._averages.values()), list(self._averages), 1 - decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Let the model have the average as its weights for a while."""
        weights = {parameter: parameter.detach().clone() for parameter in self._averages}
        _copy(self._averages)
        try:
            yield
        finally:
            _copy(weights)


@torch.no_grad()
def _copy(values: dict[nn.Parameter, Tensor]) -> None:
    for parameter, value in values.items():  # into the storage they have: fused layers keep theirs in one piece
        parameter.copy_(value)
