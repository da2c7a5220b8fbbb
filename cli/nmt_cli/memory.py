"""`nmt memory`: pairs that a model translates beside."""

import shlex
from pathlib import Path
from typing import Annotated, Literal

import typer

from nmt.corpus import FORMATS
from nmt.errors import UsageError, counted
from nmt_cli.terminal import Files, ModelDir, OnBadUtf8Option, add_command, file_option, loading, results, status
from nmt_cli.whats_next import say_next

memory = typer.Typer(name="memory", no_args_is_help=True)


@memory.callback()
def pairs_beside_a_model() -> None:
    """Translation memories: pairs that a model translates beside.

    \b
    Examples:
      nmt memory build models/en-fr manual.tsv -o manual.tm
      nmt translate models/en-fr next.en --memory manual.tm
    """


def build(
    model_dir: ModelDir,
    out_dir: Annotated[
        Path, typer.Option("--output", "-o", metavar="MEMORY_DIR", help="Folder for the memory; new or empty.")
    ],
    pairs: Annotated[
        list[str] | None,
        typer.Argument(metavar="PAIRS...", help=f"Pairs as {' '.join(FORMATS)}, or patterns of such files."),
    ] = None,
    src: Annotated[Files, file_option(help="Source text, instead of PAIRS; repeatable.")] = None,
    tgt: Annotated[Files, file_option(help="Target text, aligned line by line; repeatable.")] = None,
    src_lang: Annotated[str | None, typer.Option(metavar="CODE", help="Language of the source, such as en.")] = None,
    tgt_lang: Annotated[str | None, typer.Option(metavar="CODE", help="Language of the target.")] = None,
    on_bad_utf8: OnBadUtf8Option = "error",
    on_bad_record: Annotated[
        Literal["error", "skip"],
        typer.Option(help="Stop at a broken line of TSV or JSON, unit of TMX or entry of PO, or leave it out."),
    ] = "error",
) -> None:
    """Write pairs as a translation memory, for a model and all others with its tokenizer.

    With it, `nmt translate --memory` gives lines that are the source of a pair the target of this pair, and translates
    others beside the pairs that are most like them. Of pairs with the same source, the last one counts.

    \b
    Examples:
      nmt memory build models/en-fr manual.tsv -o manual.tm
      nmt memory build models/en-fr old.tmx "more-*.po" -o manual.tm \\
          --src-lang en --tgt-lang fr
      nmt memory build models/en-fr --src manual.en --tgt manual.fr -o manual.tm
    """
    if bool(pairs) == bool(src or tgt):
        raise UsageError("expected either PAIRS or --src and --tgt")
    with loading("libraries"):
        from nmt.config import CorpusSettings, DataSettings
        from nmt.prepare.inputs import open_corpus
        from nmt.translation_memory import build_memory

    names = {"path": pairs or (), "src": map(str, src or ()), "tgt": map(str, tgt or ())}
    data = DataSettings(src_lang=src_lang, tgt_lang=tgt_lang, on_bad_utf8=on_bad_utf8, on_bad_record=on_bad_record)
    settings = CorpusSettings.model_validate({name: tuple(files) for name, files in names.items()})
    corpus = open_corpus(settings, data, split="train", setting="the memory")
    with status("reading pairs") as show:
        built = build_memory(model_dir, corpus, out_dir, on_pairs=lambda count: show(counted(count, "pair")))
    results.print(f"{counted(built.pairs, 'pair')} in {out_dir}; left out: {built.left_out:,}", soft_wrap=True)
    say_next(f"nmt translate {shlex.quote(str(model_dir))} FILE --memory {shlex.quote(str(out_dir))}")


add_command(memory, build)
