"""`nmt settings`: what every setting is."""

import json
from textwrap import fill
from typing import Annotated

import typer

from nmt_cli.terminal import results


def settings(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="Sections, settings, or parts of their names.", show_default="all"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Show settings: default, type and range, what each does, and what makes it have no effect.

    They are set in a recipe, under their section, or with --set. Without a recipe, `nmt prepare` and `nmt train` choose
    some of them for the size of the corpus, instead of the default.

    \b
    Examples:
      nmt settings search
      nmt settings search.beam_size dropout
      nmt settings --json | jq -r .[].name
    """
    from nmt.config.describe import describe_settings

    found = describe_settings(names or ())
    if as_json:
        typer.echo(json.dumps([one._asdict() for one in found], ensure_ascii=False, indent=2))
        return
    for one in found:
        results.print(f"{one.name} = {one.default}", style="bold")
        idle = [f"No effect with {', or with '.join(one.idle_with)}."] if one.idle_with else []
        for line in (one.type, one.text, *idle):
            results.print(fill(line, results.width, initial_indent="  ", subsequent_indent="  "), soft_wrap=True)
