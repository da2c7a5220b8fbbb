"""`nmt lab`: classic sequence problems, each solved by a small network."""

from dataclasses import replace
from pathlib import Path
from textwrap import fill
from typing import Annotated, Any

import typer

from nmt.config.model import CELLS
from nmt_cli.plot import picture_option
from nmt_cli.terminal import check_folder_of, count_option, progress, results, say


def lab(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="The lab; all are listed where none is named.")
    ] = None,
    cell: Annotated[
        str | None,
        typer.Option(
            metavar="CELL",
            help=f"{', '.join(list(CELLS)[:-1])} or {list(CELLS)[-1]}.",
            show_default="lstm; some labs compare several",
        ),
    ] = None,
    units: Annotated[int | None, count_option(help="Hidden units.", show_default="the lab's own")] = None,
    steps: Annotated[int | None, count_option(help="Updates per training.", show_default="the lab's own")] = None,
    output: Annotated[Path | None, picture_option(show_default="NAME.png")] = None,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Of the data, the weights and the training.")] = 1,
) -> None:
    """Train a small network on a classic sequence problem, print its figures and draw a picture.

    Without a name, this lists the labs. It needs matplotlib, and scikit-learn for some, the optional extra "lab": in a
    checkout of nmt, pip install '.\\[lab]'. Nothing is downloaded.

    \b
    Examples:
      nmt lab
      nmt lab reber
      nmt lab timeseries --cell gru --units 64 --steps 500 --output gru.png
    """
    from nmt_lab import LABS, describe, load

    if name is None:
        width = max(map(len, LABS))
        for each in LABS:
            _print(f"{each:{width}}  {describe(each)}", indent=width + 2)
        return
    if name not in LABS:
        raise typer.BadParameter(f"expected one of {', '.join(LABS)}, found {name}", param_hint="NAME")
    picture = output or Path(f"{name}.png")
    check_folder_of(picture)  # otherwise this would come out at the end
    chosen = load(name)
    if cell is not None and cell not in CELLS:
        raise typer.BadParameter(f"expected one of {', '.join(CELLS)}, found {cell}", param_hint="--cell")
    given: dict[str, Any] = {"cell": cell, "units": units, "steps": steps}
    import torch

    torch.set_num_threads(1)  # every machine sums in one order
    options = replace(chosen.DEFAULTS, seed=seed, **{key: value for key, value in given.items() if value is not None})
    with progress() as bar:
        training = bar.add_task("training", total=options.steps)

        def show(loss: float) -> None:
            if bar.tasks[training].finished:
                bar.reset(training)
            bar.update(training, advance=1, description=f"loss {loss:.4f}")

        for line in chosen.run(replace(options, on_update=show), picture):
            bar.stop()  # while it shows, stdout is not what it was
            _print(line, indent=2)
            bar.start()
    say(f"picture: {picture}")


def _print(line: str, *, indent: int) -> None:
    """Print a line, on a terminal as many as it needs, the further ones indented."""
    results.print(fill(line, results.width, subsequent_indent=" " * indent), soft_wrap=True)
