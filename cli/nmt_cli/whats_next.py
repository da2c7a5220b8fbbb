"""What a command says can be done with what it has made."""

import shlex
from contextvars import ContextVar
from pathlib import Path
from typing import Final

from nmt_cli.terminal import say

IS_STAGE: Final = ContextVar("IS_STAGE", default=False)
"""Whether the command is a stage of a recipe, which says what comes next."""


def say_next(commands: str) -> None:
    """Say what can be done now, unless `IS_STAGE`."""
    if not IS_STAGE.get():
        say(f"next: {commands}")


def say_what_is_next(model_dir: Path, *, of_text: bool) -> None:
    """Say what can be done with a trained model; a single checkpoint is no average."""
    from nmt.training.averaging import checkpoints_to_average

    model, average = shlex.quote(str(model_dir)), shlex.quote(f"{model_dir}-average")
    commands = [f"nmt {'lm score' if of_text else 'translate'} {model} FILE", f"nmt plot {model}"]
    if len(checkpoints_to_average(model_dir)) > 1:
        commands.append(f"nmt average {model} {average}")
    say_next("; ".join(commands))


def say_lexicon(model_dir: Path, out_dir: Path, data: str) -> None:
    """Say how a model that was made from another one gets a lexicon, which it does not inherit, if that one has one."""
    from nmt.models.folder import LEXICON

    if (model_dir / LEXICON).exists() and not (out_dir / LEXICON).exists():
        command = f"nmt shortlist {shlex.quote(str(out_dir))} {data}"
        say(f"{out_dir} has no lexicon, as {model_dir} has: {command} learns one")
