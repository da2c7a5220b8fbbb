"""Small steps that every search makes with the rows of its batch."""

from collections.abc import Sequence

import torch
from torch import Tensor


def longest_of(max_lengths: Tensor) -> int:
    """Return the largest of the step limits [B].

    Raises:
        ValueError: A sentence is allowed no step at all.
    """
    shortest = int(max_lengths.min())
    if shortest < 1:
        raise ValueError(f"every sentence needs at least one step, found a limit of {shortest}")
    return int(max_lengths.max())


def rows_where(flags: Sequence[bool], device: torch.device) -> Tensor:
    """Return the rows whose flag is set, in order."""
    return torch.tensor([row for row, flag in enumerate(flags) if flag], dtype=torch.int64, device=device)
