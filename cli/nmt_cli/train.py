"""`nmt train`: from prepared data to a model folder."""

import json
import math
import shlex
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from nmt.errors import clock, counted
from nmt_cli.terminal import INTERRUPTED, RecipeOption, SetOption, loading, on_signals, progress, results, say, status
from nmt_cli.whats_next import say_lexicon, say_what_is_next

if TYPE_CHECKING:
    from nmt.config import Settings
    from nmt.prepared import PreparedData, PreparedText
    from nmt.training.distributed import Ranks
    from nmt.training.observers import Scores, StepProgress, StepReport, ValidationReport
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
    parent: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="PARENT",
            help="Begin with the weights and settings of a model folder: fine-tuning; short for "
            "--set training.parent=PARENT.",
        ),
    ] = None,
    time_limit: Annotated[
        str | None,
        typer.Option(
            "--time",
            metavar="20m",
            help="Make as many steps as this machine does in so long (90s, 20m, 1h30m), measured before the first; "
            "short for --set training.time=20m.",
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Print what the run would do, or what is left of it, and what time and memory some timed steps "
            "foretell for it; nothing is written.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print that as JSON; needs --dry-run.")] = False,
    show_config: Annotated[
        bool, typer.Option("--show-config", help="Print the resolved settings as TOML and stop.")
    ] = False,
) -> None:
    """Train a model, or continue the run that MODEL_DIR holds: a translation model of pairs, a language model of text.

    Without a recipe, what is not set is chosen for so much text, and the reasons are printed. Ctrl-C saves the state;
    the same command continues from there. Several processes train one model under torchrun.

    \b
    Examples:
      nmt train data/en-de models/en-de --dry-run
      nmt train data/en-de models/en-de --time 20m
      nmt train data/en-de models/en-de --set training.max_epochs=8
      nmt train data/medical models/medical --from models/en-de
      nmt train --show-config --recipe recipes/multi30k-en-de.toml
      torchrun --nproc-per-node 2 -m nmt_cli train data/en-de models/en-de
    """
    overrides = list(overrides or ())
    for name, value in (("time", time_limit), ("parent", parent)):
        if value is not None:
            overrides.append(f"training.{name}={json.dumps(str(value), ensure_ascii=False)}")
    if as_json and not dry_run:
        raise typer.BadParameter("expected --dry-run beside it", param_hint="--json")
    if show_config and (data_dir is None or model_dir is not None):
        from nmt.config import load_settings, to_toml

        if data_dir is None or model_dir is None:
            settings = load_settings(recipe, overrides)
        else:
            from nmt.prepared import open_data

            settings, changes = _resolved(open_data(data_dir), model_dir, recipe=recipe, overrides=overrides)
            for line in changes:
                say(line)
        results.print(to_toml(settings), end="", soft_wrap=True)
    elif data_dir is None or model_dir is None:
        raise typer.BadParameter("DATA_DIR and MODEL_DIR are needed: nmt train DATA_DIR MODEL_DIR")
    elif dry_run:
        foretell(data_dir, model_dir, recipe=recipe, overrides=overrides, as_json=as_json)
    elif summary := run_training(data_dir, model_dir, recipe=recipe, overrides=overrides):
        results.print(summary, soft_wrap=True)
        from nmt.models.folder import read_training

        found = read_training(model_dir)
        if "valid_bleu" in found:
            say(f"validation BLEU {found['valid_bleu']:.2f}  {found['valid_bleu_signature']}")
        say_what_is_next(model_dir, of_text="valid_bleu" not in found)


def run_training(data_dir: Path, model_dir: Path, *, recipe: Path | None, overrides: Sequence[str]) -> str:
    """Train with progress on stderr; return what came out in a line, by the first of several processes only;
    Ctrl-C or SIGTERM saves the state and stops after the step."""
    begun = time.perf_counter()
    with _opened(data_dir, model_dir, recipe=recipe, overrides=overrides) as run:
        from nmt.training.trainer import train as train_model

        view, ranks = run.view, run.ranks
        with stopping_on_signals(view.on_message, echo=_ECHO if ranks.size > 1 else 0.0) as stop:
            summary = train_model(
                run.data,
                model_dir,
                run.settings,
                observer=view,
                stop=stop,
                ranks=ranks,
                changes=run.changes,
                begun=begun,
            )
        if not summary.finished:
            view.on_message(view.describe_stop(summary, model_dir))
            raise typer.Exit(INTERRUPTED)
        if not ranks.is_first:
            return ""
        if parent := run.settings.training.parent:
            say_lexicon(parent, model_dir, shlex.quote(str(data_dir)))
        return view.describe_end(summary, model_dir)


def foretell(data_dir: Path, model_dir: Path, *, recipe: Path | None, overrides: Sequence[str], as_json: bool) -> None:
    """Print on stdout what a training would do and take."""
    with _opened(data_dir, model_dir, recipe=recipe, overrides=overrides) as run:
        from nmt.training.trainer import rehearse

        settings, view, ranks = run.settings, run.view, run.ranks
        found = rehearse(run.data, model_dir, settings, observer=view, ranks=ranks, changes=run.changes)
    if not ranks.is_first:
        return
    if as_json:
        tree = {**asdict(found[0]), **asdict(found[1])} if found else {"steps_left": 0}
        typer.echo(json.dumps(tree, ensure_ascii=False, indent=2, default=str))
    elif found:
        plan, forecast = found
        for line in (*plan.describe(), forecast.describe()):
            results.print(line, soft_wrap=True)


class _Opened(NamedTuple):
    """What a training begins with."""

    data: "PreparedData | PreparedText"
    settings: "Settings"
    changes: list[str]
    ranks: "Ranks"
    view: "TrainingView"


@contextmanager
def _opened(data_dir: Path, model_dir: Path, *, recipe: Path | None, overrides: Sequence[str]) -> Iterator[_Opened]:
    """Load libraries, data and settings, and join the processes that take part."""
    with loading():
        from nmt.prepared import open_data
        from nmt.training.distributed import joined_ranks
        from nmt.training.trainer import train  # noqa: F401 - loads the rest

    with joined_ranks() as ranks:
        with status(f"reading {data_dir}", visible=ranks.is_first):
            data = open_data(data_dir)
        settings, changes = _resolved(data, model_dir, recipe=recipe, overrides=overrides, ranks=ranks)
        view = TrainingView(shown=ranks.is_first, of_text=settings.model.kind == "lm")
        with view.bar:
            yield _Opened(data, settings, changes, ranks, view)


def _resolved(
    data: "PreparedData | PreparedText",
    model_dir: Path,
    *,
    recipe: Path | None,
    overrides: Sequence[str],
    ranks: "Ranks | None" = None,
) -> "tuple[Settings, list[str]]":
    from nmt.training.distributed import Ranks
    from nmt.training.resolve import resolve_settings
    from nmt.training.trainer import epochs_within

    return resolve_settings(
        data.settings,
        model_dir,
        recipe=recipe,
        overrides=overrides,
        corpus=data.size,
        tokenizers=data.tokenizers,
        epochs_within=partial(epochs_within, data, model_dir, ranks=ranks or Ranks()),
    )


class TrainingView:
    """A progress bar for the whole run, and a line for each validation; only the first of several processes has one."""

    def __init__(self, *, shown: bool = True, of_text: bool = False) -> None:
        from rich.progress import BarColumn, SpinnerColumn, TextColumn

        self._shown = shown
        self._of_text = of_text
        percentage, description = TextColumn("{task.percentage:>3.0f}%"), TextColumn("{task.description}")
        self.bar = progress(percentage, BarColumn(bar_width=8), SpinnerColumn(), description, visible=shown)
        self._task = self.bar.add_task("starting", total=None)
        self._last: StepReport | None = None

    def on_step(self, report: "StepReport") -> None:
        """Note loss and speed, which the bar shows from now on."""
        self._last = report

    def on_progress(self, progress: "StepProgress") -> None:
        """Move the bar."""
        if progress.activity:
            self.bar.update(self._task, description=f"{progress.activity} step {progress.step:,}")
            return
        known = self._last or progress
        # a narrow terminal cuts the end off
        parts = [f"step {progress.step:,}/{progress.total_steps:,}", f"{clock(progress.seconds_left)} left"]
        if known.loss is not None:
            parts.append(self._loss(known.loss))
        text = "  ".join([*parts, _speed(known.tokens_per_second)])
        self.bar.update(self._task, completed=progress.step, total=progress.total_steps, description=text)

    def on_validation(self, report: "ValidationReport") -> None:
        """Print a line, and one more for each further validation set."""
        last = self._last
        trained = f"train {self._loss(last.loss)}, {_speed(last.tokens_per_second)}, " if last else ""
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
            f"{clock(state.seconds)} ({_speed(state.tokens / state.seconds)})"
        )

    def describe_stop(self, summary: "TrainingSummary", model_dir: Path) -> str:
        """Say in one line where a run was stopped, and which model there is."""
        step, best = summary.state.step, summary.state.best_step
        use = "lm score" if self._of_text else "translate"
        model = f"; nmt {use} {shlex.quote(str(model_dir))} uses the model of step {best or step:,}" if step else ""
        return f"stopped at step {step:,}; the same command continues from there{model}"

    def _loss(self, loss: float) -> str:
        return f"ppl {math.exp(min(loss, 50.0)):.2f}" if self._of_text else f"loss {loss:.3f}"


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

    with on_signals(handle):
        yield stop


def _scores(found: "Scores") -> str:
    bleu = "" if found.bleu is None else f", BLEU {found.bleu:.2f}"
    return f"loss {found.loss:.3f}, ppl {found.perplexity:.2f}{bleu}"


def _speed(rate: float) -> str:
    return f"{rate:,.0f} pieces/s"
