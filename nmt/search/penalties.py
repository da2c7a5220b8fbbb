"""Length normalisation: without it the best hypothesis is too often the shortest."""

import torch
from torch import Tensor


def length_penalties(longest: int, *, alpha: float, device: torch.device) -> Tensor:
    """Tabulate the length penalty ((5 + |Y|) / 6) ** alpha (Wu et al., 2016, eq. 14) for |Y| = 0 .. `longest`.

    A hypothesis is ranked by its log-probability divided by the penalty of its length; |Y| counts `</s>`.

    Returns:
        Penalties that never fall with the length, [longest + 1] float64.

    Raises:
        ValueError: A negative `alpha` would make the penalty fall.
    """
    if alpha < 0:
        raise ValueError(f"the length penalty must not be negative, found {alpha}")
    return ((5 + torch.arange(longest + 1, dtype=torch.float64, device=device)) / 6) ** alpha
