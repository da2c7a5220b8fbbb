"""`nmt vocabulary`: what pieces a model has."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from nmt.errors import ConfigError, UsageError, counted
from nmt_cli.terminal import ModelDir, OnBadUtf8Option, add_command, count_option, loading, results, status
from nmt_cli.whats_next import say_lexicon, say_next

vocabulary = typer.Typer(name="vocabulary", no_args_is_help=True)
_LISTED = 20
"""New pieces that are shown."""


@vocabulary.callback()
def pieces_of_a_model() -> None:
    """The pieces that a model reads and writes.

    \b
    Examples:
      nmt vocabulary add models/en-de -o models/en-de-larger --from-text terms.de
    """


def add(
    model_dir: ModelDir,
    out_dir: Annotated[
        Path, typer.Option("--output", "-o", metavar="OUT_DIR", help="Folder for the new model; new or empty.")
    ],
    pieces: Annotated[
        list[str] | None,
        typer.Option(
            "--pieces", metavar="PIECE", help="One more piece; with a space before it: of the start of a word."
        ),
    ] = None,
    symbols: Annotated[
        list[str] | None,
        typer.Option("--symbols", metavar="SYMBOL", help='One more that is never cut and never merged, such as "<b>".'),
    ] = None,
    texts: Annotated[
        list[Path] | None,
        typer.Option(
            "--from-text",
            metavar="FILE",
            help="Find pieces in a text: its frequent words that the model cuts into four or more, and characters that "
            "it does not know.",
        ),
    ] = None,
    limit: Annotated[int, count_option(help="Pieces to take from all texts, the most frequent.")] = 100,
    min_count: Annotated[int, count_option(help="How often a text must have them.")] = 3,
    side: Annotated[
        Literal["src", "tgt", "both"],
        typer.Option(help="The vocabulary that gets them; without effect on a model with one for both sides."),
    ] = "both",
    on_bad_utf8: OnBadUtf8Option = "error",
) -> None:
    """Write a model with more pieces, which translates text without them as before, bit for bit.

    It writes none of them until it is trained further: nmt prepare DATA --tokenizer OUT_DIR, nmt train --from OUT_DIR.

    \b
    Examples:
      nmt vocabulary add models/en-de -o models/larger --from-text terms.de
      nmt vocabulary add models/en-de -o models/larger --symbols "<b>"
    """
    if not (pieces or symbols or texts):
        raise UsageError("expected --pieces, --symbols or --from-text: there is nothing to add")
    with loading():
        from nmt.training.growing import add_to_vocabulary, find_wanting

    with status("finding pieces"):
        found = find_wanting(model_dir, texts or (), limit=limit, min_count=min_count, on_bad_utf8=on_bad_utf8)
    of_side = {name: [*(pieces or ()), *found[name]] if side in (name, "both") else [] for name in ("src", "tgt")}
    if not (pieces or symbols or any(found.values())):
        raise ConfigError(
            f"nothing to add: the texts have no word that {model_dir} cuts into four pieces or more, and no character "
            f"that it does not know, {min_count} times or more (--min-count)"
        )
    with status("writing the model"):
        new = add_to_vocabulary(model_dir, out_dir, **of_side, symbols=symbols or ())
    for name, added in new.items():
        of = "" if name == "joint" else f"{name}: "
        results.print(f"{of}{counted(len(added), 'new piece')}{_listed(added)}", soft_wrap=True)
    larger = shlex.quote(str(out_dir))
    say_lexicon(model_dir, out_dir, "DATA_DIR")
    say_next(f"nmt prepare DATA_DIR --tokenizer {larger} ...; nmt train DATA_DIR NEW_DIR --from {larger}")


def _listed(added: Sequence[str]) -> str:
    shown = " ".join(added[:_LISTED])
    return f": {shown}{' ...' if len(added) > _LISTED else ''}" if added else ""


add_command(vocabulary, add)
