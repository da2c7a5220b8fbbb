"""Work that a thread does while its caller goes on."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType


class Background:
    """Does what it is given, in that order; after an error nothing more, and whoever comes next is told of it.

    At the end of its block all is done.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1)  # which starts when it is needed
        self._error: BaseException | None = None

    def __enter__(self) -> "Background":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown()
        if error is None:
            self.check()

    def begin(self, work: Callable[[], None]) -> "Future[None]":
        """Have `work` done once all before it is; it may be waited for."""
        self.check()
        return self._thread.submit(self._do, work)

    def wait(self) -> None:
        """Wait until all is done."""
        self._thread.submit(lambda: None).result()
        self.check()

    def check(self) -> None:
        """Raise the error that has ended the work, if any."""
        if self._error is not None:
            raise self._error

    def _do(self, work: Callable[[], None]) -> None:
        if self._error is None:
            try:
                work()
            except BaseException as error:  # it is raised where work is asked for
                self._error = error
