"""`nmt inspect`: what is in prepared data, and what was left out."""

import json
from pathlib import Path
from typing import Annotated

import typer

from nmt_cli.console import results, say
from nmt_cli.streams import STREAM, refuse_replacing


def inspect(
    data_dir: Annotated[Path, typer.Argument(metavar="DATA_DIR", help="Folder that `nmt prepare` made.")],
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="The page.", show_default="DATA_DIR.html, beside the folder"),
    ] = None,
    no_html: Annotated[bool, typer.Option("--no-html", help="Write no page.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Show what is in prepared data, and why the rest was left out; write a page with the plots.

    Counts by reason, histograms of lengths, how much of the text the vocabulary covers, the most frequent unknown
    characters, what the training text has in common with validation and test text, examples of what was left out. The
    page is one HTML file that needs nothing else.

    \b
    Examples:
      nmt inspect data/en-fr
      nmt inspect data/en-fr --html report.html
      nmt inspect data/en-fr --no-html --json | jq .counts.rejected
    """
    if html is not None and no_html:
        raise typer.BadParameter("expected only one of --html and --no-html", param_hint="--html")
    if html == STREAM:
        raise typer.BadParameter("expected a file, since the report goes to stdout", param_hint="--html")
    if html is not None and html.resolve().parent.is_relative_to(data_dir.resolve()):
        raise typer.BadParameter(
            f"{html} would lie within the prepared data, where only they may be", param_hint="--html"
        )

    from nmt.files import written
    from nmt.inspection import inspect as look
    from nmt.inspection import to_tree

    inspection = look(data_dir)
    page = None if no_html else html or _beside(data_dir)
    refuse_replacing((Path(record.path) for record in inspection.manifest.inputs), [page] if page else [])
    if as_json:
        typer.echo(json.dumps(to_tree(inspection), ensure_ascii=False, indent=2))
    else:
        from nmt_cli.inspection_view import show

        show(inspection, results)
    if page is not None:
        from nmt.inspection.page import to_page

        with written(page) as file:
            file.write(to_page(inspection).encode("utf-8"))
        say(f"page: {page}")


def _beside(folder: Path) -> Path:
    named = folder if folder.name not in ("", "..") else folder.resolve()
    return named.with_name(f"{named.name}.html")
