"""Other processes that search beside this one: sentences go there, and what is found comes back."""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from multiprocessing.context import ForkContext, SpawnContext
from typing import Any, Final

import numpy as np
import torch

from nmt.io.workers import Worker
from nmt.search.engine import Engine
from nmt.search.protocol import Sentence
from nmt.translate.rescoring import Found

Share = list[list[Sentence]]
"""Sentences for each of the searches of a flow."""

_AHEAD: Final = 2
"""Shares at most that are under way: one in hand and one that waits for it."""
_PATIENCE: Final = 0.05
"""Seconds to wait for helpers before something else is looked for."""


@dataclass(frozen=True)
class Answer:
    """What a helper has found so far."""

    found: list[Found]
    """By each of its searches, with attention as an array: a tensor would keep a file open in both processes."""
    left: bool
    """Whether there are sentences that are not over."""


def search_share(engines: Sequence[Engine[Any, Any] | None], share: Share) -> Answer:
    """Take sentences, and search until there is room for more, or, where none came, until some are over."""
    pairs = [(engine, sentences) for engine, sentences in zip(engines, share, strict=True) if engine]
    for engine, sentences in pairs:
        engine.add(sentences)
    found: list[Found] = [[] for _ in share]
    while True:
        for over, search in zip(found, engines, strict=True):
            over.extend(search.step() if search else [])
        left = any(engine.busy for engine, _ in pairs)
        if not left or (all(engine.hungry for engine, _ in pairs) and (any(share) or any(found))):
            return Answer([_with_attention(over, np.asarray) for over in found], left)


def _with_attention(found: Found, convert: Callable[[Any], Any]) -> Found:
    return [
        (
            number,
            [one if one.attention is None else replace(one, attention=convert(one.attention)) for one in hypotheses],
        )
        for number, hypotheses in found
    ]


class Helper:
    """A process that searches: `start` it, and `add` sentences while it is `hungry`; it is that once it has loaded."""

    def __init__(self, make: Callable[[], Callable[[Share], Answer]], context: SpawnContext | ForkContext) -> None:
        """Begin with no process; `make` makes there what calls `search_share`."""
        self._make, self._context = make, context
        self._worker: Worker[Share, Answer] | None = None
        self._thread = ThreadPoolExecutor(1)
        self._answers: deque[Future[Answer]] = deque()
        self._loaded = False

    def start(self, searches: int) -> None:
        """Start the process if that has not been done."""
        if self._worker is None:
            self._worker = Worker(self._make, self._context)
            self.add([[] for _ in range(searches)])

    @property
    def hungry(self) -> bool:
        """Whether more sentences would be searched soon."""
        return self._loaded and len(self._answers) < _AHEAD

    def add(self, share: Share) -> None:
        """Send sentences."""
        assert self._worker is not None
        self._answers.append(self._thread.submit(self._worker.work_on, share))

    def take(self) -> list[list[Found]]:
        """Return what has come back, search by search; an NmtError if the process could not do it."""
        come: list[list[Found]] = []
        while self._answers and self._answers[0].done():
            answer = self._answers.popleft().result()
            self._loaded = True
            come.append([_with_attention(over, torch.from_numpy) for over in answer.found])
            if answer.left and not self._answers:
                self.add([[] for _ in answer.found])
        return come

    def stop(self) -> None:
        """End the process at once."""
        if self._worker:
            self._worker.process.kill()
        self._thread.shutdown(cancel_futures=True)
        if self._worker:
            self._worker.close()

    @staticmethod
    def wait_for(helpers: "Sequence[Helper]") -> None:
        """Wait a moment, until something has come back."""
        wait([helper._answers[0] for helper in helpers if helper._answers], _PATIENCE, FIRST_COMPLETED)
