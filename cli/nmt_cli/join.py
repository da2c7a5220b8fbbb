"""`nmt join`: the shards of a file that machines without a common folder have made, as one file."""

from pathlib import Path
from typing import Annotated

import typer

from nmt.errors import counted
from nmt_cli.terminal import open_output, refuse_replacing, say


def join(
    shards: Annotated[
        list[Path], typer.Argument(metavar="SHARD...", help="All shards of one file, in whatever order.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The whole file, - for stdout.")],
) -> None:
    """Put together what `--shard 1/N` to `--shard N/N` have written.

    The shards have to be of the same input, model and options; one that is missing, damaged or there twice is named.

    \b
    Examples:
      nmt join big.fr.*-of-8 --output big.fr
    """
    from nmt.io.shards import join_shards

    refuse_replacing(shards, [output])
    with open_output(output) as file:
        blocks = join_shards(shards, file)
    say(f"joined {counted(blocks, 'block')} of {counted(len(shards), 'shard')}")
