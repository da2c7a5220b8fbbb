"""`nmt average`: a model from the mean of a run's checkpoints."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from nmt.errors import counted
from nmt_cli.terminal import count_option, loading, results, say, status
from nmt_cli.whats_next import say_lexicon


def average(
    model_dir: Annotated[Path, typer.Argument(metavar="MODEL_DIR", help="Folder of a run of `nmt train`.")],
    out_dir: Annotated[Path, typer.Argument(metavar="OUT_DIR", help="Folder for the new model; new or empty.")],
    last: Annotated[
        int | None, count_option(help="How many of the newest checkpoints, if there are as many.", show_default="all")
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            "--data", metavar="DATA_DIR", help="Validate the average on these data of `nmt prepare`, on every set."
        ),
    ] = None,
) -> None:
    """Average the weights of a run's last checkpoints into a new model.

    \b
    Examples:
      nmt average models/en-fr models/en-fr-average
      nmt average models/en-fr models/en-fr-average --last 4 --data data/en-fr
    """
    with loading():
        from nmt.prepared import open_data
        from nmt.training.averaging import average_run

    data = None if data_dir is None else open_data(data_dir)
    with status("averaging" if data is None else "averaging and validating"):
        done = average_run(model_dir, out_dir, last=last, data=data)
    results.print("averaged steps:", *done.steps, soft_wrap=True)
    if last is not None and len(done.steps) < last:
        say(f"{model_dir} holds no more than {counted(len(done.steps), 'checkpoint')}, not {last}: all are averaged")
    if len(done.steps) == 1:
        say(f"there was one checkpoint to average: {out_dir} holds a copy of its weights")
    say_lexicon(model_dir, out_dir, "DATA_DIR" if data_dir is None else shlex.quote(str(data_dir)))
    if done.scores is not None:
        for name, scores in [("", done.scores), *done.scores.others.items()]:
            which = f"validation on {name}" if name else "validation"
            bleu = "" if scores.bleu is None else f", BLEU {scores.bleu:.2f}"
            results.print(f"{which}: loss {scores.loss:.4f}, perplexity {scores.perplexity:.2f}{bleu}", soft_wrap=True)
