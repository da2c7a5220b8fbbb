"""What commands share whose work several processes do, and which goes on after a kill."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nmt.errors import ConfigError, DataError, ModelError, NmtError
from nmt_cli.terminal import say

if TYPE_CHECKING:
    from nmt.io.shards import Shard

ShardOption = Annotated[
    str | None,
    typer.Option(
        metavar="I/N",
        help="Do the I-th of N shards of a file, and write FILE.I-of-N; `nmt join` makes FILE of all N.",
        rich_help_panel="Computation",
    ),
]


def shard_of(text: str | None) -> "Shard | None":
    """Read the option."""
    from nmt.io.shards import Shard

    return Shard.parse(text) if text is not None else None


@contextmanager
def going_on(output: Path, shard: "Shard | None", *, visible: bool) -> Iterator[None]:
    """Where work towards an output is interrupted, say that it goes on; an error that would come again ends it."""
    from nmt.io.work import work_folder

    try:
        yield
    except (ConfigError, DataError, ModelError):
        raise
    except (KeyboardInterrupt, OSError, NmtError):
        if visible and (work := work_folder(shard.name(output) if shard else output)).exists():
            say(f"what is done is kept in {work}: the same command continues from there")
        raise
