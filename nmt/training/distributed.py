"""Several processes that train one model: who they are, and what they tell each other (torch.distributed)."""

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, distributed, nn
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from nmt.errors import NmtError, TrainingError
from nmt.models.devices import Precision
from nmt.models.kernels import find

_LOOK = 0.1
"""Seconds between two looks at whether all processes are there."""
_LOST = ("Connection", "connection", "Broken pipe", "Socket closed", "Timed out waiting")
"""Words of gloo and NCCL for a process that does not answer."""


@dataclass(frozen=True)
class Ranks:
    """This process among those that train together; alone if nothing else is said."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    """This process among those on its machine; it takes the GPU of that number."""

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that prints and writes."""
        return self.rank == 0

    def join(self, device: torch.device) -> None:
        """Meet the others, each on its device, once: numbers travel over gloo, also where gradients go over NCCL."""
        if not distributed.is_torchelastic_launched() or distributed.is_initialized():
            return
        on_gpu = device.type == "cuda"
        with self.together():
            distributed.init_process_group(
                "cpu:gloo,cuda:nccl" if on_gpu else "gloo",
                store=self._meet(),
                rank=self.rank,
                world_size=self.size,
                device_id=device if on_gpu else None,  # on the device, and at once
            )

    @contextmanager
    def met(self, folder: Path) -> Iterator[None]:
        """Wait for all processes, which share the work in a folder, and make sure that they see each other's files.

        Raises:
            NmtError: They see no common folder.
        """
        (folder / f"process-{self.rank}").touch()
        store = self._meet()
        for rank in range(self.size):
            if not (folder / f"process-{rank}").exists():
                raise NmtError(
                    f"{folder} is not the folder that process {rank} sees under this name, so they cannot share the "
                    "work; machines without a common folder translate with --shard I/N each, for `nmt join`"
                )
        yield
        del store  # the first process may hold it for the others

    def _meet(self) -> Store:
        """Wait for all processes, and return a store in which nobody else has been.

        `torchrun` gives processes that it starts again the store of those before them, where gloo would wait for the
        dead, and counts on each machine by itself how often it has started them. So each leaves a number, drawn anew,
        and the first names those that it sees, until all have found their own among them.
        """
        store, _, _ = next(rendezvous("env://"))
        own, keys = secrets.token_hex(8), [f"nmt/{rank}" for rank in range(self.size)]
        store.set(keys[self.rank], own)
        while True:
            if self.is_first and store.check(keys):
                store.set("nmt/met", "-".join(store.get(key).decode() for key in keys))
            if store.check(["nmt/met"]) and own in (name := store.get("nmt/met").decode()).split("-"):
                store.set(f"{name}/{self.rank}", "")
                if store.check([f"{name}/{rank}" for rank in range(self.size)]):
                    return PrefixStore(f"{name}/theirs", store)
            time.sleep(_LOOK)  # and not in the store, where no signal would be heard

    def wrap(self, module: nn.Module, device: torch.device) -> nn.Module:
        """Let the backward pass of a module average its gradients over all processes."""
        if self.size == 1:
            return module
        devices = [device] if device.type == "cuda" else None
        tell = find("autograd.graph.set_warn_on_accumulate_grad_stream_mismatch")
        if devices and tell is not None:
            tell(False)  # gradients of an encoder's side stream are gathered in the main one, as is meant here
        with self.together():
            return DistributedDataParallel(module, device_ids=devices, gradient_as_bucket_view=True)

    def unsynchronised(self, module: nn.Module) -> AbstractContextManager[None]:
        """Keep the gradients of a wrapped module here for now, to be averaged with later ones."""
        return module.no_sync() if isinstance(module, DistributedDataParallel) else nullcontext()

    def sum(self, value: float) -> float:
        """Add up a number over all processes."""
        return value if self.size == 1 else self.sum_of(torch.tensor(value, dtype=torch.float64)).item()

    def any(self, flag: bool) -> bool:
        """Tell whether any process has its flag set."""
        return self.sum(float(flag)) > 0

    def from_first(self, values: tuple[float, ...]) -> tuple[float, ...]:
        """Hand the first process's numbers to all."""
        if self.size == 1:
            return values
        tensor = torch.tensor(values, dtype=torch.float64)
        with self.together():
            distributed.broadcast(tensor, src=0)
        return tuple(tensor.tolist())

    def sum_of(self, tensor: Tensor) -> Tensor:
        """Add up a tensor on the CPU over all processes, in place."""
        if self.size > 1:
            with self.together():
                distributed.all_reduce(tensor)
        return tensor

    @contextmanager
    def together(self) -> Iterator[None]:
        """Say in one line what it means when another process is gone.

        Raises:
            TrainingError: It has ended, so no gradients can be exchanged.
        """
        try:
            yield
        except RuntimeError as error:
            is_lost = isinstance(error, distributed.DistError) or any(sign in str(error) for sign in _LOST)
            if self.size == 1 or not is_lost:
                raise
            raise TrainingError(
                f"another of the {self.size} processes has ended, so this one cannot go on; its own message says why. "
                "The same command continues from the last checkpoint"
            ) from error


@dataclass(frozen=True)
class Place:
    """Where a run computes."""

    device: torch.device
    precision: Precision
    ranks: Ranks


@contextmanager
def joined_ranks() -> Iterator[Ranks]:
    """Say which of the processes that `torchrun` started this one is, or that it is alone. Once each has chosen its
    device, they `join`; here they part.

    Raises:
        NmtError: What the block raises, with the number of the process where it is not the first.
    """
    if not distributed.is_torchelastic_launched():
        yield Ranks()
        return
    ranks = Ranks(*(int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")))
    try:
        yield ranks
    except NmtError as error:
        if ranks.is_first:
            raise
        raise type(error)(f"process {ranks.rank}: {error}") from error
    finally:
        if distributed.is_initialized():
            distributed.destroy_process_group()
