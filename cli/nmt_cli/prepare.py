"""`nmt prepare`: from text files to a folder of prepared data."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from nmt_cli.console import console, progress, say, warn
from nmt_cli.options import RecipeOption, SetOption

if TYPE_CHECKING:
    from rich.table import Table

    from nmt.config import Settings
    from nmt.prepared.manifest import Counts, TextCounts
    from nmt.prepared.pipeline import PreparationReport

Files = list[Path] | None


def prepare(
    data_dir: Annotated[Path, typer.Argument(metavar="DATA_DIR", help="Folder to make.")],
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
    text: Annotated[
        Files, typer.Option("--text", metavar="FILE", help="Text for a language model, instead of pairs; repeatable.")
    ] = None,
    valid_text: Annotated[
        Path | None,
        typer.Option("--valid-text", metavar="FILE", help="Its validation text, else its last lines are held out."),
    ] = None,
    tokenizer: Annotated[
        Path | None,
        typer.Option("--tokenizer", metavar="PATH", help="Use the tokenizer of a model or data folder, or a .model."),
    ] = None,
    on_bad_utf8: Annotated[
        Literal["error", "replace"] | None,
        typer.Option("--on-bad-utf8", help="Stop at bytes that are not UTF-8 (default), or read U+FFFD for them."),
    ] = None,
    recipe: RecipeOption = None,
    overrides: SetOption = None,
    force: Annotated[bool, typer.Option("--force", help="Replace data prepared from other text or settings.")] = False,
) -> None:
    """Clean parallel text, or text for a language model, train its tokenizer and write both to a folder for training.

    Files may be compressed (.gz .xz .bz2 .zst). An option is repeated for each further file, as in
    --src a.en --src b.en --tgt a.fr --tgt b.fr; these options are stronger than the recipe.

    \b
    Examples:
      nmt prepare data/en-fr --src train.en --tgt train.fr --set tokenizer.vocab_size=6000
      nmt prepare data/lm --text train.fr --set tokenizer.kind=word
    """
    from nmt.config import load_settings

    settings = load_settings(recipe, overrides or ())
    train = {"train_src": src, "train_tgt": tgt, "train_tsv": tsv, "train_text": text}
    valid = {"valid_src": valid_src, "valid_tgt": valid_tgt, "valid_text": valid_text}
    data = settings.data.model_copy(update=_named_files(train, valid))
    if on_bad_utf8:
        data = data.model_copy(update={"on_bad_utf8": on_bad_utf8})
    cutting = settings.tokenizer
    if tokenizer:
        cutting = cutting.model_copy(update={"file": tokenizer.absolute()})
    run_preparation(data_dir, settings.model_copy(update={"data": data, "tokenizer": cutting}), force=force)


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
        say(f"prepared data: {data_dir}; rejected {report.noun} are listed in {report.rejected}")
    return report


def _named_files(train: dict[str, Files], valid: dict[str, Path | None]) -> dict[str, object]:
    """Return the settings that files of the command line change: training text of any kind replaces the recipe's."""
    changes: dict[str, object] = {}
    if any(train.values()):
        # Paths of the command line count from the working folder, whatever data.root is.
        changes |= {name: tuple(path.absolute() for path in paths or ()) for name, paths in train.items()}
        changes |= dict.fromkeys(("valid_src", "valid_tgt") if train["train_text"] else ("valid_text",))
    sides = {name: path for name, path in valid.items() if name != "valid_text"}
    if any(sides.values()):
        changes |= {name: path and path.absolute() for name, path in sides.items()}
    if valid["valid_text"]:
        changes["valid_text"] = valid["valid_text"].absolute()
    return changes


def _to_table(report: "PreparationReport") -> "Table":
    from rich.table import Table

    from nmt.prepared.manifest import TextCounts

    counts = report.counts
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    rows = {f"{report.noun} read": counts.read}
    rows |= {f"  rejected: {reason}": count for reason, count in counts.rejected.items()}
    if counts.heldout:
        rows["  held out for validation"] = counts.heldout
    rows["  left for training"] = counts.train
    rows[f"validation {report.noun}"] = counts.valid
    if counts.valid_dropped:
        rows["  left out: empty"] = counts.valid_dropped
    rows |= _text_rows(counts) if isinstance(counts, TextCounts) else _pair_rows(counts, joint=report.joint)
    for name, count in rows.items():
        table.add_row(name, f"{count:,}")
    if isinstance(counts, TextCounts):
        table.add_row("  of them unknown", f"{counts.valid_unknown / max(counts.valid_pieces, 1):.2%}")
    return table


def _text_rows(counts: "TextCounts") -> dict[str, int]:
    return {"vocabulary": counts.vocabulary, "training pieces": counts.pieces, "validation pieces": counts.valid_pieces}


def _pair_rows(counts: "Counts", *, joint: bool) -> dict[str, int]:
    rows = {"source pieces": counts.src_pieces, "target pieces": counts.tgt_pieces}
    if joint:
        return rows | {"joint vocabulary": counts.src_vocabulary}
    return rows | {"source vocabulary": counts.src_vocabulary, "target vocabulary": counts.tgt_vocabulary}
