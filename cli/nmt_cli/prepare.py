"""`nmt prepare`: from text files to a folder of prepared data."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from nmt.corpus import FORMATS
from nmt.errors import ConfigError, DataError, ModelError, NmtError, UsageError
from nmt_cli.processes import cores_of_process, is_first, several_processes
from nmt_cli.terminal import (
    Files,
    RecipeOption,
    SetOption,
    count_option,
    file_option,
    loading,
    progress,
    results,
    say,
    warn,
)

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bar
    from rich.table import Table

    from nmt.config import Settings
    from nmt.prepare.pipeline import PreparationReport
    from nmt.prepare.stages import OnProgress, StageProgress


def prepare(
    data_dir: Annotated[Path, typer.Argument(metavar="DATA_DIR", help="Folder to write.")],
    src: Annotated[Files, file_option(help="Source text; a pattern, or repeat for several files.")] = None,
    tgt: Annotated[Files, file_option(help="Target text, aligned line by line; repeatable.")] = None,
    tsv: Annotated[
        Files, file_option(help="Text as source <tab> target, quotation marks are text; repeatable.")
    ] = None,
    corpus: Annotated[
        list[str] | None, file_option(help=f"Pairs as {' '.join(FORMATS)} or hf:NAME[:CONFIG]; repeatable.")
    ] = None,
    src_lang: Annotated[str | None, typer.Option(metavar="CODE", help="Language of the source, such as en.")] = None,
    tgt_lang: Annotated[str | None, typer.Option(metavar="CODE", help="Language of the target.")] = None,
    valid_src: Annotated[
        Files,
        file_option(help="Validation set, else some pairs are held out; repeatable: the first chooses the best model."),
    ] = None,
    valid_tgt: Annotated[Files, file_option(help="Its translation; repeatable.")] = None,
    text: Annotated[Files, file_option(help="Text for a language model, instead of pairs; repeatable.")] = None,
    valid_text: Annotated[
        Path | None, file_option(help="Its validation text, else its last lines are held out.")
    ] = None,
    tokenizer: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Use the tokenizer of a model or data folder, or a .model.")
    ] = None,
    replay: Annotated[
        Path | None,
        typer.Option(
            metavar="DATA_DIR",
            help="Read the text of data prepared before again, as half of each epoch, and watch their validation set.",
        ),
    ] = None,
    on_bad_utf8: Annotated[
        Literal["error", "replace"] | None,
        typer.Option(help="Stop at bytes that are not UTF-8 (default), or read U+FFFD for them."),
    ] = None,
    on_bad_record: Annotated[
        Literal["error", "skip"] | None,
        typer.Option(
            help="Stop at a broken line of TSV or JSON, unit of TMX or entry of PO (default), or leave it out."
        ),
    ] = None,
    recipe: RecipeOption = None,
    overrides: SetOption = None,
    workers: Annotated[
        int | None, count_option(help="Processes; the result is the same for any number.", show_default="cores")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace data prepared from other text or settings.")] = False,
) -> None:
    """Clean parallel text, or text for a language model, train its tokenizer and write both to a folder for training.

    Files may be compressed (.gz .xz .bz2 .zst). An option is repeated for each further file, as in `--src a.en
    --src b.en --tgt a.fr --tgt b.fr`, or names several by a pattern; these options override the recipe. Without a
    recipe, there are as many pieces as suit the pairs. An interrupted run continues when the same command is called
    again, and several at once, by hand or under torchrun, share the work.

    \b
    Examples:
      nmt prepare data/en-fr --src train.en --tgt train.fr
      nmt prepare data/en-fr --src "part-*.en.gz" --tgt "part-*.fr.gz" \\
          --valid-src dev.en --valid-tgt dev.fr
      nmt prepare data/en-fr --corpus memory.tmx --corpus "web-*.jsonl.zst" \\
          --src-lang en --tgt-lang fr
      nmt prepare data/medical --src medical.en --tgt medical.fr \\
          --tokenizer data/en-fr --replay data/en-fr
      nmt prepare data/lm --text train.fr --set tokenizer.kind=word
    """
    from nmt.config import load_settings

    of_pairs: dict[str, object] = {"--src": src, "--tgt": tgt, "--tsv": tsv, "--corpus": corpus}
    of_pairs |= {"--valid-src": valid_src, "--valid-tgt": valid_tgt, "--replay": replay}
    _refuse_mixtures(of_pairs, {"--text": text, "--valid-text": valid_text})
    if not (recipe or overrides or src or tsv or corpus or text):
        raise UsageError("no training text: give --src and --tgt, --tsv, --corpus or --text, or a recipe that names it")
    settings = load_settings(recipe, overrides or ())
    files = {"train_src": src, "train_tgt": tgt, "train_tsv": tsv, "train_text": text}
    changes = _given_text(files, corpus or (), valid_src or [], valid_tgt or [], valid_text)
    plain: dict[str, object] = {
        "on_bad_utf8": on_bad_utf8,
        "on_bad_record": on_bad_record,
        "src_lang": src_lang,
        "tgt_lang": tgt_lang,
    }
    plain |= {"replay": replay and replay.absolute()}
    data = settings.data.model_copy(update=changes | {name: value for name, value in plain.items() if value})
    file = {"file": tokenizer.absolute()} if tokenizer else {}
    cutting = settings.tokenizer.model_copy(update=file)
    is_free = not (recipe or text or cutting.file or cutting.src_file or "vocab_size" in cutting.model_fields_set)
    if is_free and cutting.kind in ("unigram", "bpe"):
        cutting = cutting.model_copy(update={"vocab_size": "auto"})
    settings = settings.model_copy(update={"data": data, "tokenizer": cutting})
    run_preparation(data_dir, settings, table=results, force=force, workers=workers)


def run_preparation(
    data_dir: Path, settings: "Settings", *, table: "Console", force: bool = False, workers: int | None = None
) -> None:
    """Prepare data with progress on stderr; the table of what came of it goes to `table`."""
    with loading("libraries"):
        from nmt.config.load import check_kind
        from nmt.io.work import work_folder
        from nmt.prepare.pipeline import prepare as prepare_data

    check_kind(settings)
    with several_processes() as ranks:
        meet, workers = ranks.met if ranks else nullcontext, workers or cores_of_process()
        try:
            with progress(visible=is_first(ranks)) as bar:
                report = prepare_data(data_dir, settings, show_stages(bar), force=force, workers=workers, meet=meet)
        except (ConfigError, DataError, ModelError):
            raise
        except (KeyboardInterrupt, OSError, NmtError):
            if is_first(ranks) and (work := work_folder(data_dir)).exists():
                say(f"what is done is kept in {work}: the same command continues from there")
            raise
    if is_first(ranks):
        _show(report, table)


def _show(report: "PreparationReport", table: "Console") -> None:
    """Say what has been done."""
    for choice in report.choices:
        say(choice)
    for warning in report.warnings:
        warn(warning)
    if report.up_to_date:
        say(f"{report.folder} is up to date: nothing to do")
    else:
        table.print(_to_table(report))
        say(f"prepared data: {report.folder}; rejected {report.noun} are listed in {report.rejected}")


def show_stages(bar: "Bar") -> "OnProgress":
    """Return what shows how far preparation has come: each stage anew, with a total and a time left of its own."""
    stage, task = "reading", bar.add_task("reading", total=None)

    def show(now: "StageProgress") -> None:
        nonlocal stage, task
        if now.stage != stage:
            bar.remove_task(task)
            stage, task = now.stage, bar.add_task(now.stage, total=now.total)
        bar.update(task, completed=now.done, total=now.total)

    return show


def _refuse_mixtures(pairs: Mapping[str, object], text: Mapping[str, object]) -> None:
    """Refuse options about pairs beside those about text of one language, and one side of pairs without the other."""
    of_pairs = [name for name, value in pairs.items() if value]
    of_text = [name for name, value in text.items() if value]
    if of_pairs and of_text:
        raise UsageError(
            f"{of_pairs[0]} is about pairs and {of_text[0]} about text for a language model: data hold one of them"
        )
    for side, other in (("--src", "--tgt"), ("--valid-src", "--valid-tgt")):
        if (side in of_pairs) != (other in of_pairs):
            raise UsageError(f"{side} and {other} are the two sides of a text: give both")


def _given_text(
    files: dict[str, Files], corpora: Sequence[str], src: list[Path], tgt: list[Path], text: Path | None
) -> dict[str, object]:
    """Return the settings that text of the command line changes: training text of any kind replaces all of the
    recipe's, and so do validation sets."""
    from nmt.config import CorpusSettings, TrainingCorpusSettings
    from nmt.prepare.inputs import absolute

    changes: dict[str, object] = {}
    # Paths of the command line count from the working folder, whatever data.root is.
    if corpora or any(files.values()):
        changes |= {name: tuple(Path(absolute(str(path))) for path in paths or ()) for name, paths in files.items()}
        changes["corpora"] = tuple(TrainingCorpusSettings(path=(absolute(name),)) for name in corpora)
        of_pairs = {"valid_src": None, "valid_tgt": None, "validation": ()}
        changes |= of_pairs if files["train_text"] else {"valid_text": None}
    if len(src) != len(tgt):
        raise UsageError(f"found {len(src)} of --valid-src but {len(tgt)} of --valid-tgt; each set has two sides")
    if text:
        changes["valid_text"] = text.absolute()
    if src:
        first, *further = [(absolute(str(one)), absolute(str(other))) for one, other in zip(src, tgt, strict=True)]
        changes |= {"valid_src": Path(first[0]), "valid_tgt": Path(first[1])}
        changes["validation"] = tuple(CorpusSettings(src=(one,), tgt=(other,)) for one, other in further)
    return changes


def _to_table(report: "PreparationReport") -> "Table":
    from rich.table import Table

    from nmt.prepared.manifest import Counts

    counts = report.counts
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    rows = {f"{report.noun} read": counts.read}
    rows |= {f"  rejected: {reason}": count for reason, count in counts.rejected.items() if count}
    if counts.heldout:
        rows["  held out for validation"] = counts.heldout
    rows["  left for training"] = counts.train
    if isinstance(counts, Counts) and len(counts.corpora) > 1:
        rows |= {f"    {corpus.name}": corpus.train for corpus in counts.corpora}
    rows[f"validation {report.noun}"] = counts.valid
    if isinstance(counts, Counts) and len(counts.validation) > 1:
        rows |= {f"  {one.name}": one.pairs for one in counts.validation}
    if counts.valid_dropped:
        rows["  left out: empty"] = counts.valid_dropped
    if isinstance(counts, Counts):
        for name, found in counts.overlap.items():
            sides = found.model_dump().items()
            rows |= {f"training {side}s in the {name} text": count for side, count in sides if count}
        rows |= {"source pieces": counts.src_pieces, "target pieces": counts.tgt_pieces}
        rows["joint vocabulary" if report.joint else "source vocabulary"] = counts.src_vocabulary
        if not report.joint:
            rows["target vocabulary"] = counts.tgt_vocabulary
    else:
        rows |= {"vocabulary": counts.vocabulary, "training pieces": counts.pieces}
        rows["validation pieces"] = counts.valid_pieces
    for name, count in rows.items():
        table.add_row(name, f"{count:,}")
    if not isinstance(counts, Counts):
        table.add_row("  of them unknown", f"{counts.valid_unknown / max(counts.valid_pieces, 1):.2%}")
    return table
