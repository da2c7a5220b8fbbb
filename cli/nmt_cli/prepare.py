"""`nmt prepare`: from text files to a folder of prepared data."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from nmt_cli.console import console, progress, say, warn
from nmt_cli.options import RecipeOption, SetOption

if TYPE_CHECKING:
    from rich.table import Table

    from nmt.config import Settings
    from nmt.prepared.pipeline import PreparationReport

Files = list[Path] | None


def prepare(
    data_dir: Annotated[Path, typer.Argument(help="Folder to make.")],
    src: Annotated[Files, typer.Option("--src", metavar="FILE", help="Source text; repeat for several files.")] = None,
    tgt: Annotated[
        Files, typer.Option("--tgt", metavar="FILE", help="Its translation, line by line; repeatable.")
    ] = None,
    tsv: Annotated[
        Files, typer.Option("--tsv", metavar="FILE", help="Text as source <tab> target; repeatable.")
    ] = None,
    valid_src: Annotated[
        Path | None, typer.Option("--valid-src", metavar="FILE", help="Validation text, else some pairs are held out.")
    ] = None,
    valid_tgt: Annotated[Path | None, typer.Option("--valid-tgt", metavar="FILE", help="Its translation.")] = None,
    on_bad_utf8: Annotated[
        Literal["error", "replace"] | None,
        typer.Option("--on-bad-utf8", help="Stop at bytes that are not UTF-8 (default), or read U+FFFD for them."),
    ] = None,
    recipe: RecipeOption = None,
    overrides: SetOption = None,
    force: Annotated[bool, typer.Option("--force", help="Replace data prepared from other text or settings.")] = False,
) -> None:
    """Clean parallel text, train its tokenizer and write both to a folder for training.

    Files may be compressed (.gz .xz .bz2 .zst). An option is repeated for each further file, as in
    --src a.en --src b.en --tgt a.fr --tgt b.fr; these options are stronger than the recipe.

    \b
    Example:
      nmt prepare data/en-fr --src train.en --tgt train.fr --set tokenizer.vocab_size=6000
    """
    from nmt.config import load_settings

    settings = load_settings(recipe, overrides or ())
    changes: dict[str, object] = {}
    if src or tgt or tsv:
        changes |= {"train_src": _paths(src), "train_tgt": _paths(tgt), "train_tsv": _paths(tsv)}
    if valid_src or valid_tgt:
        changes |= {"valid_src": valid_src and valid_src.absolute(), "valid_tgt": valid_tgt and valid_tgt.absolute()}
    if on_bad_utf8:
        changes["on_bad_utf8"] = on_bad_utf8
    data = settings.data.model_copy(update=changes)
    run_preparation(data_dir, settings.model_copy(update={"data": data}), force=force)


def run_preparation(data_dir: Path, settings: "Settings", *, force: bool = False) -> "PreparationReport":
    """Prepare data with progress on stderr, and a table of what came of it."""
    from nmt.prepared.pipeline import prepare as prepare_data
    from nmt.prepared.selection import Progress

    with progress() as bar:
        task = bar.add_task("reading", total=None)

        def show(now: Progress) -> None:
            bar.update(task, description=now.stage, completed=now.done, total=now.total)

        report = prepare_data(data_dir, settings, show, force=force)
    for warning in report.warnings:
        warn(warning)
    if report.up_to_date:
        say(f"{data_dir} is up to date: nothing to do")
    else:
        console.print(_to_table(report))
        say(f"prepared data: {data_dir}; rejected pairs are listed in {report.rejected}")
    return report


def _paths(given: list[Path] | None) -> tuple[Path, ...]:
    # Paths of the command line count from the working folder, whatever data.root is.
    return tuple(path.absolute() for path in given or ())


def _to_table(report: "PreparationReport") -> "Table":
    from rich.table import Table

    counts = report.counts
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    rows = {"pairs read": counts.read}
    rows |= {f"  rejected: {reason}": count for reason, count in counts.rejected.items()}
    if counts.heldout:
        rows["  held out for validation"] = counts.heldout
    rows["  left for training"] = counts.train
    rows["validation pairs"] = counts.valid
    if counts.valid_dropped:
        rows["  left out: empty"] = counts.valid_dropped
    rows |= {"source pieces": counts.src_pieces, "target pieces": counts.tgt_pieces}
    if report.joint:
        rows["joint vocabulary"] = counts.src_vocabulary
    else:
        rows |= {"source vocabulary": counts.src_vocabulary, "target vocabulary": counts.tgt_vocabulary}
    for name, count in rows.items():
        table.add_row(name, f"{count:,}")
    return table
