"""`nmt train`: from prepared data to a model folder."""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from nmt.errors import counted
from nmt_cli.terminal import INTERRUPTED, RecipeOption, SetOption, progress, results, say

if TYPE_CHECKING:
    from nmt.training.observers import Scores, StepReport, ValidationReport
    from nmt.training.trainer import TrainingSummary

_ECHO = 2.0
"""Seconds in which `torchrun` repeats a signal."""


def train(
    data_dir: Annotated[
        Path | None, typer.Argument(metavar="DATA_DIR", help="Folder that `nmt prepare` wrote.")
    ] = None,
    model_dir: Annotated[
        Path | None, typer.Argument(metavar="MODEL_DIR", help="Folder for the model; a run in it is continued.")
    ] = None,
    recipe: RecipeOption = None,
    overrides: SetOption = None,
    show_config: Annotated[
        bool, typer.Option("--show-config", help="Print the resolved settings as TOML and stop.")
    ] = False,
) -> None:
    """Train a model, or continue the run that MODEL_DIR holds: a translation model of pairs, a language model of text.

    Ctrl-C saves the state; the same command continues from there. Several processes train one model under torchrun.

    \b
    Examples:
      nmt train data/en-de models/en-de --set training.max_epochs=8
      nmt train --show-config --recipe recipes/multi30k-en-de.toml
      torchrun --nproc-per-node 2 -m nmt_cli train data/en-de models/en-de
    """
    if show_config and (data_dir is None or model_dir is not None):
        from nmt.config import load_settings, to_toml

        if data_dir is None or model_dir is None:
            settings = load_settings(recipe, overrides or [])
        else:
            from nmt.prepared import open_data
            from nmt.training.resolve import resolve_settings

            prepared = open_data(data_dir).settings
            settings, _ = resolve_settings(prepared, model_dir, recipe=recipe, overrides=overrides or [])
        results.print(to_toml(settings), end="", soft_wrap=True)
    elif data_dir is None or model_dir is None:
        raise typer.BadParameter("DATA_DIR and MODEL_DIR are needed: nmt train DATA_DIR MODEL_DIR")
    elif summary := run_training(data_dir, model_dir, recipe=recipe, overrides=overrides or []):
        results.print(summary, soft_wrap=True)


def run_training(data_dir: Path, model_dir: Path, *, recipe: Path | None, overrides: Sequence[str]) -> str:
    """Train with progress on stderr; return what came out in a line, by the first of several processes only;
    Ctrl-C or SIGTERM saves the state and stops after the step."""
    from nmt.prepared import open_data
    from nmt.training.distributed import joined_ranks
    from nmt.training.resolve import resolve_settings
    from nmt.training.trainer import train as train_model

    with joined_ranks() as ranks:
        data = open_data(data_dir)
        settings, changes = resolve_settings(data.settings, model_dir, recipe=recipe, overrides=overrides)
        view = TrainingView(shown=ranks.is_first, of_text=settings.model.kind == "lm")
        with view.bar, stopping_on_signals(view.on_message, echo=_ECHO if ranks.size > 1 else 0.0) as stop:
            summary = train_model(data, model_dir, settings, observer=view, stop=stop, ranks=ranks, changes=changes)
        if not summary.finished:
            view.on_message(f"stopped at step {summary.state.step:,}; the same command continues from there")
            raise typer.Exit(INTERRUPTED)
        return view.describe_end(summary, model_dir) if ranks.is_first else ""


class TrainingView:
    """A progress bar for the whole run, and a line for each validation; only the first of several processes has one."""

    def __init__(self, *, shown: bool = True, of_text: bool = False) -> None:
        from rich.progress import BarColumn, TextColumn

        self._shown = shown
        self._of_text = of_text
        percentage, description = TextColumn("{task.percentage:>3.0f}%"), TextColumn("{task.description}")
        self.bar = progress(percentage, BarColumn(bar_width=10), description, visible=shown)
        self._task = self.bar.add_task("starting", total=None)
        self._last: StepReport | None = None

    def on_step(self, report: "StepReport") -> None:
        """Move the bar."""
        self._last = report
        left = (report.total_steps - report.step) * report.seconds_per_step
        steps = f"step {report.step:,}/{report.total_steps:,}"
        text = f"{steps}  {self._loss(report)}  {_speed(report.tokens_per_second)}  {_clock(left)} left"
        self.bar.update(self._task, completed=report.step, total=report.total_steps, description=text)

    def on_validation(self, report: "ValidationReport") -> None:
        """Print a line, and one more for each further validation set."""
        last = self._last
        trained = f"train {self._loss(last)}, {_speed(last.tokens_per_second)}, " if last else ""
        best = "  best so far" if report.is_best else ""
        self.on_message(f"step {report.step:,}: {trained}valid {_scores(report.scores)}{best}")
        for name, scores in report.scores.others.items():
            self.on_message(f"  on {name}: {_scores(scores)}")

    def on_message(self, message: str) -> None:
        """Print it."""
        if self._shown:
            say(message)

    def describe_end(self, summary: "TrainingSummary", model_dir: Path) -> str:
        """Say in one line what came out."""
        state, noun = summary.state, "piece" if self._of_text else "target piece"
        best = f"best at step {state.best_step:,} of {state.step:,}"
        if self._of_text and state.best_score is not None:  # minus its loss
            best = f"validation perplexity {math.exp(min(-state.best_score, 50.0)):.2f}, {best}"
        return (
            f"{model_dir}: {counted(summary.parameters, 'parameter')}, {best}, {counted(state.tokens, noun)} in "
            f"{_clock(state.seconds)} ({_speed(state.tokens / state.seconds)})"
        )

    def _loss(self, report: "StepReport") -> str:
        return f"ppl {report.perplexity:.2f}" if self._of_text else f"loss {report.loss:.3f}"


@contextmanager
def stopping_on_signals(on_message: Callable[[str], None], *, echo: float = 0.0) -> Iterator[threading.Event]:
    """Turn the first Ctrl-C or SIGTERM into a request to stop; a second one interrupts at once.

    For `echo` seconds further signals are taken for the first one: `torchrun` passes on to its processes what the
    terminal has sent them already.
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


def _scores(found: "Scores") -> str:
    bleu = "" if found.bleu is None else f", BLEU {found.bleu:.2f}"
    return f"loss {found.loss:.3f}, ppl {found.perplexity:.2f}{bleu}"


def _speed(rate: float) -> str:
    return f"{rate:,.0f} pieces/s"


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
