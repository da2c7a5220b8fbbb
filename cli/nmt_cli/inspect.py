"""`nmt inspect`: what is in prepared data, and what was left out, as tables and histograms of block characters."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from nmt_cli.terminal import STREAM, file_option, loading, refuse_replacing, results, say, status

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from nmt.report.inspection import Bar, Inspection

_HEIGHTS: Final = "▁▂▃▄▅▆▇█"
_BAR: Final = 24
_EXCERPT: Final = 100


def inspect(
    data_dir: Annotated[Path, typer.Argument(metavar="DATA_DIR", help="Folder that `nmt prepare` wrote.")],
    html: Annotated[Path | None, file_option(help="The page.", show_default="DATA_DIR.html, beside the folder")] = None,
    no_html: Annotated[bool, typer.Option("--no-html", help="Write no page.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Show statistics of prepared data and of rejected pairs, and write an HTML page with plots.

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

    with loading("libraries"):
        from nmt.io.files import written
        from nmt.report.inspection import inspect as look
        from nmt.report.page import inspection_tree, to_page

    with status(f"reading {data_dir}"):
        inspection = look(data_dir)
    named = data_dir if data_dir.name not in ("", "..") else data_dir.resolve()
    page = None if no_html else html or named.with_name(f"{named.name}.html")
    refuse_replacing((Path(record.path) for record in inspection.manifest.inputs), [page] if page else [])
    if as_json:
        typer.echo(json.dumps(inspection_tree(inspection), ensure_ascii=False, indent=2))
    else:
        show(inspection, results)
    if page is not None:
        with written(page) as file:
            file.write(to_page(inspection).encode("utf-8"))
        say(f"page: {page}")


def show(inspection: "Inspection", console: "Console") -> None:
    """Print everything, part after part."""
    from rich.padding import Padding

    from nmt.report.inspection import CORPUS, corpus_rows

    counts, noun = inspection.manifest.counts, inspection.noun
    lost, heldout = sum(counts.rejected.values()), f", {counts.heldout:,} held out" if counts.heldout else ""
    console.print(
        f"{inspection.folder}: {counts.read:,} {noun} read, {lost:,} left out{heldout}, {counts.train:,} to train on, "
        f"{counts.valid:,} to validate on",
        soft_wrap=True,
    )
    pairs = inspection.pairs
    corpora = corpus_rows(pairs) if pairs and (len(pairs.corpora) > 1 or pairs.corpora[0].tag) else []
    common = [
        (f"with {name}", f"{count.source:,}", f"{count.target:,}", f"{count.pair:,}")
        for name, count in (pairs.overlap if pairs else {}).items()
    ]
    for title, tables in (
        ("corpora", [_table(CORPUS, corpora)]),
        ("left out", _rejections(inspection)),
        ("lengths", _lengths(inspection)),
        ("vocabulary", _vocabulary(inspection)),
        ("unknown pieces", _unknown(inspection)),
        ("overlap", [_table(("training pairs", "same source", "same target", "same pair"), common)]),
        ("examples of what was left out", _examples(inspection)),
    ):
        if shown := [table for table in tables if table.row_count]:
            console.print(f"\n{title}", style="bold")
            for table in shown:
                console.print(Padding(table, (0, 0, 0, 2), expand=False))


def _rejections(inspection: "Inspection") -> "Iterator[Table]":
    from nmt.report.inspection import percent

    counts = inspection.manifest.counts
    found = {reason: number for reason, number in counts.rejected.items() if number}
    most = max(found.values(), default=0)
    rows = (
        (reason, f"{number:,}", percent(number, counts.read), "█" * round(_BAR * number / most))
        for reason, number in found.items()
    )
    yield _table(("reason", "number", "share", ""), rows)


def _lengths(inspection: "Inspection") -> "Iterator[Table]":
    from nmt.report.inspection import QUANTILES, UNITS, length_bars, ratio_bars

    rows = []
    for side in inspection.sides:
        for unit in UNITS:
            one = side.lengths(unit)
            quantiles = [f"{one.quantile(share):,}" for share in QUANTILES.values()]
            picture = _outline(length_bars(one, most=19))
            rows.append((f"{side.name}, {unit}", f"{one.mean:,.1f}", *quantiles, f"{one.largest:,}", picture))
    yield _table(("", "mean", *(f"{name} ≤" for name in QUANTILES), "longest", "from 0 on"), rows)
    if inspection.pairs:
        bars = ratio_bars(inspection)
        picture = f"{bars[0].name} {_outline(bars)} {bars[-1].name}"
        yield _table(("", "histogram"), [("target characters for each source character", picture)])


def _outline(bars: "Sequence[Bar]") -> str:
    """Draw a histogram as one line of block characters."""
    most, top = max(1, *(bar.rows for bar in bars)), len(_HEIGHTS) - 1
    return "".join(_HEIGHTS[top * bar.rows // most] if bar.rows else " " for bar in bars)


def _vocabulary(inspection: "Inspection") -> "Iterator[Table]":
    from nmt.report.inspection import RARE, SHARES

    rows, covering = [], []
    for one in inspection.vocabularies:
        sizes = (len(one), one.running, len(one.occurring(0, 0)), len(one.occurring(1, RARE)))
        rows.append((one.name, *(f"{size:,}" for size in sizes)))
        needed = map(one.needed, SHARES.values())
        covering.append((one.name, *("-" if number is None else f"{number:,}" for number in needed)))
    yield _table(("", "pieces", "in the text", "never occur", f"occur 1 to {RARE} times"), rows)
    yield _table(("pieces that cover", *SHARES), covering)


def _unknown(inspection: "Inspection") -> "Iterator[Table]":
    from nmt.report.inspection import percent, unknown_characters

    rows = [
        (
            f"{side.name}, {name}",
            f"{column.unknown:,}",
            percent(column.unknown, column.pieces.total),
            percent(column.unknown_rows, column.pieces.rows),
        )
        for side in inspection.sides
        for name, column in side.sets.items()
    ]
    yield _table(("", "number", "of all pieces", "of all sentences"), rows)
    for side in inspection.sides:
        characters = (
            (f"{side.name}: {one.shown}", f"{one.train:,}", f"{one.valid:,}", f"{one.code} {one.name}")
            for one in unknown_characters(side, most=10)
        )
        yield _table(("", "training", "validation", ""), characters)


def _examples(inspection: "Inspection") -> "Iterator[Table]":
    from rich.table import Table

    from nmt.report.inspection import visible

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for reason, examples in inspection.statistics.rejected.items():
        for example in examples[:2]:
            table.add_row(reason, f"{example.file}:{example.line}")
            for text in example.texts:
                table.add_row("", visible(text if len(text) <= _EXCERPT else text[:_EXCERPT] + "…"))
    yield table


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> "Table":
    """Make a table whose numbers are flush right: everything but the first column and the last one without a title."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for place, name in enumerate(head):
        text = place == 0 or name in ("", "from 0 on", "histogram", "tag")
        table.add_column(name, justify="left" if text else "right", no_wrap=name != "corpus", overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table
