"""Several processes that work on blocks of lines at the same time; the results come in the order of the blocks."""

import os
import signal
import time
import traceback
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sized
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import ForkContext, SpawnContext
from queue import SimpleQueue
from typing import Any, Final, Generic, TypeVar

from nmt.errors import NmtError, NmtWarning

B = TypeVar("B", bound=Sized)
R = TypeVar("R")

_BLOCKS_PER_WORKER: Final = 2  # one in hand and one that waits for it, so that no worker waits for its next
_SPAWN: Final = get_context("spawn")  # a fork copies the locks of other threads, but not the threads
_LOOK: Final = 1.0
"""Seconds between two looks at whether the process is still there that a fork works for."""


def map_blocks(
    make: Callable[[], Callable[[B], R]], blocks: Iterable[B], *, workers: int, alone: float
) -> Generator[R, None, None]:
    """Do as `map_in_processes`, but start no process for one worker, nor before the first blocks have taken `alone`
    seconds of a processor in this one: so much work should be seen before the time that processes take to start is
    spent."""
    stream, spent = iter(blocks), 0.0
    work: Callable[[B], R] | None = None
    for block in stream if workers == 1 or alone else ():
        work, begun = work or make(), time.thread_time()
        result = work(block)
        spent += time.thread_time() - begun
        yield result
        if workers > 1 and spent > alone:
            break
    del work
    yield from map_in_processes(make, stream, workers=workers)


def map_in_processes(
    make: Callable[[], Callable[[B], R]], blocks: Iterable[B], *, workers: int
) -> Generator[R, None, None]:
    """Yield the result of each block, in order; processes start as blocks come, and end with the iteration.

    Close the generator when it is left early (`contextlib.closing`): the processes end at once. Memory stays flat: at
    most two blocks for each worker are read ahead of the results. When `blocks` raises an `NmtError`, the results of
    the blocks before come first.

    Args:
        make: Makes what turns a block into a result; it runs once in each worker. It has to be picklable, as blocks and
            results have to be, and the main module of a program that calls this needs its `if __name__ == "__main__"`.
        blocks: Asked for the next block while results are outstanding. An empty one has no result: it says that no more
            has arrived yet, so the outstanding results are waited for before the next block is asked for.

    Raises:
        NmtError: A worker process was killed, or `make` or what it made raised this error. Other errors come through
            as well; the cause of each shows where in the worker it was raised.
    """
    pool: _Pool[B, R] = _Pool(make, workers)
    outstanding: deque[Future[R]] = deque()
    failure: NmtError | None = None

    def until_failure() -> Iterator[B]:
        nonlocal failure
        try:
            yield from blocks
        except NmtError as error:
            failure = error

    try:
        for block in until_failure():
            if len(block):
                outstanding.append(pool.submit(block))
            at_most = _BLOCKS_PER_WORKER * workers - 1 if len(block) else 0
            while outstanding and (len(outstanding) > at_most or outstanding[0].done()):
                yield outstanding.popleft().result()
        while outstanding:
            yield outstanding.popleft().result()
    finally:
        pool.stop()
    if failure is not None:
        raise failure


class _Pool(Generic[B, R]):
    """Worker processes, and as many threads, each of which waits for the worker that has its block."""

    def __init__(self, make: Callable[[], Callable[[B], R]], size: int) -> None:
        self._make = make
        self._size = size
        self._workers: list[Worker[B, R]] = []
        self._idle: SimpleQueue[Worker[B, R]] = SimpleQueue()
        self._threads = ThreadPoolExecutor(size)

    def submit(self, block: B) -> Future[R]:
        if len(self._workers) < self._size:
            worker = Worker(self._make)
            self._workers.append(worker)
            self._idle.put(worker)
        return self._threads.submit(self._work_on, block)

    def _work_on(self, block: B) -> R:
        worker = self._idle.get()
        try:
            return worker.work_on(block)
        finally:
            self._idle.put(worker)

    def stop(self) -> None:
        for worker in self._workers:
            worker.process.kill()  # the threads that wait for them go on
        self._threads.shutdown(cancel_futures=True)
        for worker in self._workers:
            worker.close()


class Worker(Generic[B, R]):
    """A process that works on one block at a time."""

    def __init__(self, make: Callable[[], Callable[[B], R]], context: SpawnContext | ForkContext = _SPAWN) -> None:
        """Start it; `map_in_processes` says what `make` is, which for a fork need not be picklable."""
        self._connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(make, theirs), daemon=True)
        # A process that starts here never hears of Ctrl-C, which a terminal sends to all: its parent ends it. Python's
        # tracker of resources has to run by then, or the first of them would start it and let interrupts through again.
        if context is _SPAWN:
            resource_tracker.ensure_running()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # from Python 3.12 on: of a fork beside threads
                self.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()

    def work_on(self, block: B) -> R:
        """Return what the process makes of a block; an NmtError if it was killed, or what was raised there."""
        try:
            self._connection.send(block)
            result, messages, failure = self._connection.recv()
        except (EOFError, OSError) as error:
            raise NmtError(
                "a worker process ended unexpectedly (killed? out of memory?); fewer workers need less memory"
            ) from error
        if failure is not None:
            raise failure[0] from RuntimeError(f"in a worker process:\n{failure[1]}")
        for message in messages:  # all workers have the same to say: Python shows it once
            warnings.warn(message, NmtWarning, stacklevel=2)
        return result  # type: ignore[no-any-return]

    def close(self) -> None:
        """Wait for the end of the process, which has been killed."""
        self.process.join()
        self.process.close()
        self._connection.close()


def _serve(make: Callable[[], Callable[[Any], Any]], connection: "Connection[Any, Any]") -> None:
    """Answer each block with its result, the warnings, and the error and its traceback if there was one instead, until
    the other end is closed or gone."""
    work: Callable[[B], R] | None = None
    parent = os.getppid()
    for number in (signal.SIGTERM, signal.SIGHUP):
        if callable(signal.getsignal(number)):  # a fork has its parent's way to clean up
            signal.signal(number, signal.SIG_DFL)
    with suppress(EOFError, OSError):
        while True:
            while not connection.poll(_LOOK):
                if os.getppid() != parent:  # the other end is still open in this and other forks
                    return
            block = connection.recv()
            try:
                with warnings.catch_warnings(record=True) as caught:
                    warnings.simplefilter("ignore")
                    warnings.simplefilter("always", NmtWarning)
                    work = work or make()
                    result = work(block)
                connection.send((result, [str(one.message) for one in caught], None))
            except Exception as error:
                connection.send((None, [], (_portable(error), traceback.format_exc())))


def _portable(error: Exception) -> Exception:
    """Return an error that can be sent: one of ours or of Python, or else one that names it."""
    for kind in type(error).__mro__:
        if kind.__module__ == NmtError.__module__:
            return kind(str(error))  # type: ignore[no-any-return]
    if type(error).__module__ == "builtins":
        return error
    return RuntimeError(f"{type(error).__name__}: {error}")
