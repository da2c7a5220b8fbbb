"""`nmt train`: from prepared data to a model folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from nmt_cli.console import INTERRUPTED, results
from nmt_cli.options import RecipeOption, SetOption

_ECHO = 2.0
"""Seconds in which `torchrun` repeats a signal."""


def train(
    data_dir: Annotated[
        Path | None, typer.Argument(metavar="DATA_DIR", help="Folder that `nmt prepare` wrote.")
    ] = None,
    model_dir: Annotated[
        Path | None, typer.Argument(metavar="MODEL_DIR", help="Folder for the model; a run begun there goes on.")
    ] = None,
    recipe: RecipeOption = None,
    overrides: SetOption = None,
    show_config: Annotated[
        bool, typer.Option("--show-config", help="Print the resolved settings as TOML and stop.")
    ] = False,
) -> None:
    """Train a model, or continue the run that MODEL_DIR holds: a translation model of pairs, a language model of text.

    Ctrl-C saves the state; the same command goes on from there. Several processes train one model under torchrun.

    \b
    Examples:
      nmt train data/en-de models/en-de --set training.max_epochs=8
      nmt train --show-config --recipe recipes/multi30k-en-de.toml
      torchrun --nproc-per-node 2 -m nmt_cli train data/en-de models/en-de
    """
    if show_config and (data_dir is None or model_dir is not None):
        results.print(_resolved_toml(data_dir, model_dir, recipe, overrides or []), end="", soft_wrap=True)
        return
    if data_dir is None or model_dir is None:
        raise typer.BadParameter("DATA_DIR and MODEL_DIR are needed: nmt train DATA_DIR MODEL_DIR")

    def tell(summary: str) -> None:
        results.print(summary, soft_wrap=True)

    run_training(data_dir, model_dir, recipe=recipe, overrides=overrides or [], tell=tell)


def run_training(
    data_dir: Path, model_dir: Path, *, recipe: Path | None, overrides: list[str], tell: Callable[[str], None]
) -> None:
    """Train with progress on stderr; Ctrl-C or SIGTERM saves the state and stops after the step.

    Args:
        data_dir: Prepared data.
        model_dir: The folder for the model.
        recipe: A settings file.
        overrides: Settings of the command line.
        tell: Told in one line what came out, by the first of several processes.

    Raises:
        typer.Exit: The run was stopped before its end.
    """
    from nmt.training.distributed import joined_ranks
    from nmt.training.resolve import resolve_settings
    from nmt.training.run import train as train_model
    from nmt.training.tasks import open_data
    from nmt_cli.training_view import TrainingView, stopping_on_signals

    with joined_ranks() as ranks:
        data = open_data(data_dir)
        settings, changes = resolve_settings(data.settings, model_dir, recipe=recipe, overrides=overrides)
        shown = TrainingView(shown=ranks.is_first, of_text=settings.model.kind == "lm")
        with shown as view, stopping_on_signals(view.on_message, echo=_ECHO if ranks.size > 1 else 0.0) as stop:
            summary = train_model(data, model_dir, settings, observer=view, stop=stop, ranks=ranks, changes=changes)
        if not summary.finished:
            view.on_message(f"stopped at step {summary.state.step:,}; the same command continues from there")
            raise typer.Exit(INTERRUPTED)
        if ranks.is_first:
            tell(view.describe_end(summary, model_dir))


def _resolved_toml(data_dir: Path | None, model_dir: Path | None, recipe: Path | None, overrides: list[str]) -> str:
    from nmt.config import load_settings, to_toml

    if data_dir is None or model_dir is None:
        return to_toml(load_settings(recipe, overrides))
    from nmt.training.resolve import resolve_settings
    from nmt.training.tasks import open_data

    settings, _ = resolve_settings(open_data(data_dir).settings, model_dir, recipe=recipe, overrides=overrides)
    return to_toml(settings)
