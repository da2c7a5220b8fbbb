"""What a person sees of a training run, and how they stop it."""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import FrameType, TracebackType

from rich.progress import BarColumn, Progress, TextColumn

from nmt.training.reports import Scores, StepReport, ValidationReport
from nmt.training.run import TrainingSummary
from nmt.wording import counted
from nmt_cli.console import progress, say


class TrainingView:
    """A progress bar for the whole run, and a line for each validation; on a terminal or not.

    Only the first of several processes shows anything. Of a language model, people know the perplexity rather than the
    loss.
    """

    def __init__(self, *, shown: bool = True, of_text: bool = False) -> None:
        self._shown = shown
        self._of_text = of_text
        self._bar: Progress = progress(
            TextColumn("{task.percentage:>3.0f}%"),
            BarColumn(bar_width=10),
            TextColumn("{task.description}"),
        )
        self._task = self._bar.add_task("starting", total=None)
        self._last: StepReport | None = None

    def __enter__(self) -> "TrainingView":
        if self._shown:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def on_step(self, report: StepReport) -> None:
        """Move the bar."""
        self._last = report
        left = (report.total_steps - report.step) * report.seconds_per_step
        steps = f"step {report.step:,}/{report.total_steps:,}"
        text = f"{steps}  {self._loss(report)}  {_speed(report.tokens_per_second)}  {_clock(left)} left"
        self._bar.update(self._task, completed=report.step, total=report.total_steps, description=text)

    def on_validation(self, report: ValidationReport) -> None:
        """Print a line, and one more for each further validation set."""
        last = self._last
        trained = f"train {self._loss(last)}, {_speed(last.tokens_per_second)}, " if last else ""
        best = "  best so far" if report.is_best else ""
        self.on_message(f"step {report.step:,}: {trained}valid {_scores(report)}{best}")
        for name, scores in report.others.items():
            self.on_message(f"  on {name}: {_scores(scores)}")

    def on_message(self, message: str) -> None:
        """Print it."""
        if self._shown:
            say(message)

    def describe_end(self, summary: TrainingSummary, model_dir: Path) -> str:
        """Say in one line what came out."""
        state = summary.state
        best = f"best at step {state.best_step:,} of {state.step:,}"
        if self._of_text and state.best_score is not None:  # minus its loss
            best = f"validation perplexity {math.exp(min(-state.best_score, 50.0)):.2f}, {best}"
        pieces = counted(state.tokens, "piece" if self._of_text else "target piece")
        speed = _speed(state.tokens / state.seconds)
        return (
            f"{model_dir}: {counted(summary.parameters, 'parameter')}, {best}, {pieces} in {_clock(state.seconds)} "
            f"({speed})"
        )

    def _loss(self, report: StepReport) -> str:
        return f"ppl {report.perplexity:.2f}" if self._of_text else f"loss {report.loss:.3f}"


@contextmanager
def stopping_on_signals(on_message: Callable[[str], None], *, echo: float = 0.0) -> Iterator[threading.Event]:
    """Turn the first Ctrl-C or SIGTERM into a request to stop; a second one interrupts at once.

    Args:
        on_message: Told what the first one does.
        echo: Seconds in which further signals are taken for the first one: `torchrun` passes on to its processes what
            the terminal has sent them already.
    """
    stop, first = threading.Event(), math.inf

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal first
        if stop.is_set() and time.monotonic() >= first + echo:
            raise KeyboardInterrupt
        if not stop.is_set():
            first = time.monotonic()
            stop.set()
            on_message("stopping after this step; once more stops at once")

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    heard = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]  # `nohup` ignores SIGHUP
    before = {number: signal.signal(number, handle) for number in heard}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _scores(found: ValidationReport | Scores) -> str:
    bleu = "" if found.bleu is None else f", BLEU {found.bleu:.2f}"
    return f"loss {found.loss:.3f}, ppl {found.perplexity:.2f}{bleu}"


def _speed(rate: float) -> str:
    return f"{rate:,.0f} pieces/s"


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
