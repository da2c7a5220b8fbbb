"""Threads that compute an update side by side, a part of each batch every one of them."""

import copy
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack
from typing import Final, TypeVar

import numpy as np
import torch
from torch import nn

from nmt.io.limits import usable_cores
from nmt.models.devices import autocast
from nmt.models.embedding import Draws
from nmt.training.distributed import Place

R = TypeVar("R")
S = TypeVar("S")

_FEWEST_TOKENS: Final = 250
"""Of an update, for each thread: with fewer, what every part costs weighs more than what another core gives."""


def most_threads(*, tokens: int) -> int:
    """Return how many threads an update of `tokens` can feed: one a core at most, or as many as OMP_NUM_THREADS says,
    which torchrun sets to 1 for several processes."""
    said = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return max(1, min(int(said) if said.isdecimal() else usable_cores(), tokens // _FEWEST_TOKENS))


class Threads:
    """A loss, and for every thread but the first a copy that has its weights, and gradients and random numbers of its
    own.

    Torch's threads wait for each other after every operation, and so for ever beside another program that has a core;
    these wait once, at the end. What they compute depends on how many they are, and on nothing else: gradients are
    added in the order of the parts.
    """

    def __init__(self, loss: nn.Module, count: int, *, place: Place, shared: Sequence[object] = ()) -> None:
        """Copy `loss` for `count` threads in all, but for the `shared` parts of it."""
        self.place = place
        self.generators = [torch.Generator() for _ in range(1, count)]
        self.losses = [loss, *(_copied(loss, generator, shared) for generator in self.generators)]
        self._parameters = [list(loss.parameters()) for loss in self.losses]
        # its threads start when they are needed, and end when nobody has it any more: so none of them may have `self`
        self._pool = ThreadPoolExecutor(max(1, count - 1), initializer=_begin, initargs=(place,))

    def __len__(self) -> int:
        return len(self.losses)

    def seed(self, seed: int) -> None:
        """Seed the random numbers: those of one thread alone are torch's own, as ever."""
        torch.manual_seed(seed)
        for number, generator in enumerate(self.generators, start=1):
            generator.manual_seed(int(np.random.SeedSequence([seed, number]).generate_state(1)[0]))

    def each(self, work: Callable[[nn.Module, S], R], shares: Sequence[S]) -> list[R]:
        """Let every thread do its share with its loss; the first one is the caller. When all have ended, the first
        error is raised."""
        if len(self) == 1:
            return [work(self.losses[0], shares[0])]
        with autocast(self.place.device, self.place.precision):
            others = [self._pool.submit(work, *its) for its in zip(self.losses[1:], shares[1:], strict=True)]
            try:
                first = work(self.losses[0], shares[0])
            finally:
                wait(others)
        return [first, *(other.result() for other in others)]

    @torch.no_grad()
    def add_gradients(self) -> None:
        """Add the gradients of all to those of the first, in their order."""
        for first, *others in zip(*self._parameters, strict=True):
            for grad in [other.grad for other in others if other.grad is not None]:
                first.grad = grad if first.grad is None else first.grad.add_(grad)
        self.forget_gradients()

    def forget_gradients(self) -> None:
        """Forget the gradients of all but the first."""
        for loss in self.losses[1:]:
            loss.zero_grad()


def _begin(place: Place) -> None:
    """Prepare a thread. It never leaves autocast: all threads keep cast weights in one cache, which is emptied wherever
    the outermost block ends, and what is then cast anew is rounded in another place."""
    torch.set_num_threads(1)
    ExitStack().enter_context(autocast(place.device, place.precision))


def _copied(loss: nn.Module, generator: torch.Generator, shared: Sequence[object]) -> nn.Module:
    memo: dict[int, object] = {id(each): each for each in shared}
    for parameter in loss.parameters():
        memo[id(parameter)] = nn.Parameter(parameter.data, requires_grad=parameter.requires_grad)
    copied = copy.deepcopy(loss, memo)
    for module in copied.modules():
        if isinstance(module, Draws):
            module.generator = generator
    return copied
