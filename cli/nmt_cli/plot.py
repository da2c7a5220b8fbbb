"""`nmt plot`: the curves of a run as a picture."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from nmt_cli.terminal import results


def _as_png(picture: Path | None) -> Path | None:
    if picture is not None and picture.suffix.lower() != ".png":
        raise typer.BadParameter(f"expected a name that ends in .png, found {picture}", param_hint="--output")
    return picture


picture_option = partial(typer.Option, "--output", "-o", metavar="FILE.png", help="The picture.", callback=_as_png)


def plot(
    model_dir: Annotated[Path, typer.Argument(metavar="MODEL_DIR", help="Folder that `nmt train` writes or wrote.")],
    output: Annotated[Path | None, picture_option(show_default="MODEL_DIR/curves.png")] = None,
) -> None:
    """Draw the curves of a run into a PNG, and print its path.

    Loss, perplexity, BLEU, learning rate, speed and gradient norm, with a star at the BLEU of the model that was kept;
    the run may still be going on.

    This needs matplotlib, the optional extra "plot": in a checkout of nmt, pip install '.\\[plot]'. No window
    is opened.

    \b
    Examples:
      nmt plot models/en-fr
      nmt plot models/en-fr --output en-fr.png
    """
    from nmt.report.curves import draw_curves

    results.print(str(draw_curves(model_dir, output)), soft_wrap=True)
