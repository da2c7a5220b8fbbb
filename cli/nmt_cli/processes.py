"""The processes that `torchrun` has started for one command."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from nmt.training.distributed import Ranks

_STARTED: Final = "TORCHELASTIC_RUN_ID"
"""What `torchrun` sets; `torch.distributed.is_torchelastic_launched` looks for it, but to load torch takes a second."""


@contextmanager
def several_processes() -> "Iterator[Ranks | None]":
    """Say which of several processes that share a command this one is; None: it is alone."""
    if _STARTED not in os.environ:
        yield None
        return
    from nmt.training.distributed import joined_ranks

    with joined_ranks() as ranks:
        yield ranks


def is_first(ranks: "Ranks | None") -> bool:
    """Whether this process says what is of all."""
    return ranks is None or ranks.is_first


def cores_of_process() -> int:
    """Count the cores that this process may use, where others of the same command are on the machine."""
    from nmt.io.limits import usable_cores

    return max(1, usable_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
