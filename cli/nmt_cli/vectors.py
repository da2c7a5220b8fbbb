"""`nmt vectors`: a model's embeddings for other programs."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from nmt_cli.terminal import STREAM, ModelDir, file_option, loading, open_output, status


def vectors(
    model_dir: ModelDir,
    side: Annotated[
        Literal["src", "tgt"] | None,
        typer.Option(
            help="Embeddings of the source or of the target.", show_default="src; of a language model, its own"
        ),
    ] = None,
    output: Annotated[Path, file_option("--output", "-o", help="Where the vectors go; - is stdout.")] = STREAM,
) -> None:
    """Write a model's embeddings as text in word2vec's format.

    The first line counts pieces and numbers; each other line is a piece and its numbers. Such a file can be the
    model.src_vectors or model.tgt_vectors of another model.

    \b
    Examples:
      nmt vectors models/en-fr --side src --output en.vec
      nmt vectors models/fr | head -n 5
    """
    with loading():
        from nmt.models.folder import export_vectors

    with status("reading the model"):
        lines = export_vectors(model_dir, side=side)
    with open_output(output) as file:
        file.writelines(line.encode() for line in lines)
