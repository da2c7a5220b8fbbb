"""`nmt translate`: lines in, translations out in the same order, with files of alignments and pictures beside them."""

import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from nmt.errors import NmtError, UsageError
from nmt_cli.other_models import (
    LanguageModelOption,
    OtherModels,
    RescoringOption,
    ReverseModelOption,
    RightToLeftOption,
)
from nmt_cli.outputs import OutputOptions, OutputTally, formed, writer
from nmt_cli.pace import LinePace, telling
from nmt_cli.processes import is_first, several_processes
from nmt_cli.resuming import ShardOption, going_on, shard_of
from nmt_cli.terminal import (
    MEMORY,
    STREAM,
    DeviceOption,
    EnsembleOption,
    ModelDir,
    OnBadUtf8Option,
    SeedOption,
    TagOption,
    TemperatureOption,
    TopKOption,
    TopPOption,
    block_of,
    check_folder_of,
    console,
    count_option,
    is_typed,
    loading,
    open_lines,
    refuse_replacing,
    refuse_without,
    sampling_with,
    say,
    setting,
    status,
    warn,
    with_search_options,
)

if TYPE_CHECKING:
    from nmt.io.arriving import LineSource
    from nmt.io.lines import OnBadUtf8
    from nmt.io.shards import Shard
    from nmt.training.distributed import Ranks
    from nmt.translate import Options
    from nmt.translate.blockwise import LongText
    from nmt.translate.flow import OnLines, Translations
    from nmt.translate.translator import Job

_SHOWN: Final = 20
"""Characters of markup that a warning shows."""

_output = partial(typer.Option, rich_help_panel="Output")
_words = partial(typer.Option, rich_help_panel="Words")
_text = partial(typer.Option, rich_help_panel="Text")


@with_search_options
def translate(
    model_dir: ModelDir,
    source: Annotated[
        Path, typer.Argument(metavar="INPUT", help="Text to translate, one sentence per line; - is stdin.")
    ] = STREAM,
    output: Annotated[Path, _output("--output", "-o", metavar="FILE", help="The translations; - is stdout.")] = STREAM,
    n_best: Annotated[
        int,
        count_option(
            max=1000,
            help="Up to N lines per input line, in the format of Moses: `line ||| text ||| score`, the first line "
            "being 0 (in JSON and in pictures, 1).",
            rich_help_panel="Search",
        ),
    ] = 1,
    mbr: Annotated[
        int | None,
        count_option(
            min=2,
            max=1000,
            help="Of a beam of N, or with --sample of N samples, take the translation that is most like all of them "
            "(minimum Bayes risk).",
            rich_help_panel="Search",
        ),
    ] = None,
    utility: Annotated[
        Literal["chrf", "bleu"] | None,
        typer.Option(help="Likeness, for --mbr.", rich_help_panel="Search", show_default="bleu"),
    ] = None,
    lm: LanguageModelOption = None,
    lm_rescore: RescoringOption = False,
    right_to_left: RightToLeftOption = None,
    reverse_model: ReverseModelOption = None,
    memory: Annotated[
        Path | None,
        typer.Option(
            metavar="MEMORY_DIR",
            help="Translation memory that `nmt memory build` wrote: the target of a pair with the same source is taken "
            "as it stands, other lines are translated beside similar pairs.",
            rich_help_panel=MEMORY,
        ),
    ] = None,
    sample: Annotated[
        bool, typer.Option("--sample", help="Sample `--n-best` translations.", rich_help_panel="Sampling")
    ] = False,
    temperature: TemperatureOption = None,
    top_k: TopKOption = None,
    top_p: TopPOption = None,
    seed: SeedOption = None,
    terms: Annotated[
        Path | None, _words(metavar="FILE", help="Terminology, one `source term <tab> target term` per line.")
    ] = None,
    must: Annotated[
        list[str] | None, _words(metavar="WORDS", help="Words that every translation contains; repeatable.")
    ] = None,
    must_not: Annotated[
        list[str] | None, _words(metavar="WORDS", help="Words that no translation has, in just this form; repeatable.")
    ] = None,
    prefix_after_tab: Annotated[
        bool, _words("--prefix-after-tab", help="Input lines are `source <tab> how the translation begins`.")
    ] = False,
    replace_unknown: Annotated[
        bool, _words("--replace-unknown", help="Replace <unk> by the source word with the most attention.")
    ] = False,
    dictionary: Annotated[
        Path | None,
        _words(
            metavar="FILE",
            help="Lines of `source word <tab> target word` for --replace-unknown, which it turns on, and for what is "
            "carried over.",
        ),
    ] = None,
    document: Annotated[
        bool, _text("--document", help="Lines are paragraphs: their sentences are translated one by one and joined.")
    ] = False,
    markup: Annotated[
        bool, _text("--markup", help="Keep tags, scripts, code, {placeholders} and format codes, over line ends too.")
    ] = False,
    tag: TagOption = None,
    keep: Annotated[str | None, _text(metavar="REGEX", help="Keep what matches as well; turns on --markup.")] = None,
    on_bad_utf8: OnBadUtf8Option = "error",
    output_format: Annotated[
        Literal["text", "json"],
        _output("--format", help="json: an object per line with scores, pieces and alignments."),
    ] = "text",
    scores: Annotated[
        bool, _output("--scores", help="Put the score and a tab before each translation of plain text.")
    ] = False,
    alignment: Annotated[
        Path | None, _output(metavar="FILE", help="Write word alignments as `0-0 1-2`, source-target, without markup.")
    ] = None,
    attention_plot: Annotated[
        Path | None, _output(metavar="DIR", help="Draw each line's attention there as a PNG; needs the extra `plot`.")
    ] = None,
    ensemble: EnsembleOption = None,
    precision: Annotated[Literal["auto", "fp32", "bf16", "int8"] | None, setting("precision")] = None,
    device: DeviceOption = "auto",
    workers: Annotated[int, count_option(help="Processes; each uses one CPU core.", rich_help_panel="Computation")] = 1,
    shard: ShardOption = None,
    *,
    search: dict[str, Any],
) -> None:
    """Translate a file or stdin, one output line for each input line.

    Lines from stdin are translated as they arrive. A long file with --output goes on after a kill, by the same command;
    several processes that run it at once, by hand or under torchrun, on machines that share the folder, share the work.

    \b
    Examples:
      nmt translate models/en-fr test.en --output test.fr
      echo "A dog runs." | nmt translate models/en-fr
      nmt translate models/en-fr big.en --workers 4 > big.fr
      nmt translate models/en-fr test.en --n-best 5 --format json > test.jsonl
      nmt translate models/en-fr test.en --lm models/lm-fr --lm-weight 0.1
      nmt translate models/en-fr manual.en --memory manual.tm > manual.fr
      nmt translate models/en-fr test.en --right-to-left models/en-fr-r2l
      torchrun --nproc-per-node 4 -m nmt_cli translate model big.en -o big.fr
      nmt translate models/en-fr big.en --output big.fr --shard 2/8
    """
    with loading(visible=not is_typed(source)):
        from nmt.markup.spans import compile_pattern
        from nmt.translate.options import Options, Terminology, load_dictionary
        from nmt.translate.translator import Job, Translator

    only = shard_of(shard)
    beside = OtherModels(lm, right_to_left, reverse_model, memory)
    beside.check(model_dir, {**search, "lm_rescore": lm_rescore or None})
    drawing = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "seed": seed}
    refuse_without("--sample", {} if sample else drawing, what="sampling")
    refuse_without("--mbr", {} if mbr else {"utility": utility}, what="minimum Bayes risk decoding")
    scored = f"expected_{utility or 'bleu'}" if mbr else "score"
    form = OutputOptions(output, output_format, scores, n_best > 1, alignment, attention_plot, bool(memory), scored)
    refuse_replacing([path for path in (source, terms, dictionary) if path is not None], form.files)
    options = Options(
        **search,
        n_best=n_best,
        lm_rescore=lm_rescore,
        sampling=sampling_with(**drawing) if sample else None,
        mbr=mbr or 0,
        utility=utility or "bleu",
        alignment=alignment is not None or attention_plot is not None,
        details=attention_plot is not None or output_format == "json",
        unknown=load_dictionary(dictionary) if dictionary else {} if replace_unknown else None,
        document=document,
        markup=markup or keep is not None,
        tag=tag,
        keep=compile_pattern(keep) if keep is not None else None,
        terms=Terminology.load(terms) if terms else None,
        required=tuple(must or ()),
        forbidden=tuple(must_not or ()),
        prefix_after_tab=prefix_after_tab,
    )
    _warn_of_workers(workers, device)
    with several_processes() as ranks:
        _say_precision(model_dir, precision, device, visible=is_first(ranks) and _shows_progress(output))
        arguments = beside.arguments | {"gpu": ranks.local_rank if ranks else 0}
        load = partial(Translator.load, model_dir, *(ensemble or ()), device=device, precision=precision, **arguments)
        _write(Job(load, options, workers), form, source=source, on_bad_utf8=on_bad_utf8, shard=only, ranks=ranks)


def _shows_progress(output: Path) -> bool:
    """Whether progress shows: on a terminal, and not between results."""
    return console.is_terminal and (output != STREAM or not sys.stdout.isatty())


def _warn_of_workers(workers: int, device: str) -> None:
    """Warn where they would share a GPU."""
    import torch

    if workers > 1 and device != "cpu" and torch.cuda.is_available():
        warn(f"--workers {workers} is for CPUs: on a GPU each has a model of its own, and together they are no faster")


def _say_precision(folder: Path, asked: str | None, device: Literal["auto", "cpu", "cuda"], *, visible: bool) -> None:
    """Say which arithmetic "auto" is here, if that is what is asked for."""
    if not visible:
        return
    from nmt.models.devices import choose_device, why_auto
    from nmt.models.folder import read_settings

    with suppress(NmtError):  # which loading the model tells
        if (asked or read_settings(folder).search.precision) == "auto":
            say(why_auto(choose_device(device)))


@contextmanager
def _noticing(lines: "LineSource", options: "Options", *, name: str) -> "Iterator[LineSource]":
    """Give the lines of the input `name`, and warn of what their markup, or the lack of --markup, does to them."""
    from nmt.io.compressed import begins_markup
    from nmt.markup.scanning import LINES, Unclosed

    begun = False

    def watch_for_markup(taken: list[str]) -> None:
        nonlocal begun
        first = "" if begun else next(filter(str.strip, taken), "")
        begun = begun or bool(first)
        if begins_markup(first):
            warn(f"{name} begins as HTML or XML, but is translated as plain text; --markup keeps its tags")

    if not options.markup:
        lines.watch = watch_for_markup
        yield lines
        return
    unclosed = Unclosed(options.keep)

    def watch_tags(taken: list[str]) -> None:
        for number, text in unclosed.read(options.text_of(line)[0] for line in taken):
            warn(f"{name}, line {number}: {text[:_SHOWN]!r} is not closed in {LINES} lines, which are kept as they are")

    lines.watch = watch_tags
    yield lines
    if unclosed.place:
        number, text = unclosed.place
        warn(f"{name}, line {number}: {text[:_SHOWN]!r} is never closed, so all that follows was kept as it is")


def _write(
    job: "Job",
    form: OutputOptions,
    *,
    source: Path,
    on_bad_utf8: "OnBadUtf8",
    shard: "Shard | None",
    ranks: "Ranks | None",
) -> None:
    """Translate the lines of the input, write what is found as it is found, and say what was lost."""
    from nmt.io.compressed import refuse_markup
    from nmt.io.files import Stamp
    from nmt.io.lines import count_lines
    from nmt.translate.blockwise import LINES, LongText

    if not job.options.markup:
        refuse_markup(source, "--markup translates its text and keeps the rest")
    shown, filed = _shows_progress(form.output), _becomes_files(source, form)
    visible, logged = is_first(ranks) and shown, filed and not console.is_terminal
    stamp = Stamp.of(source) if filed else None
    with status(f"reading {source}", visible=visible):
        count = count_lines(source) if visible or filed else None
    text = LongText(source, count, on_bad_utf8, stamp) if filed and count is not None else None
    if not text and (shard or ranks):
        raise UsageError(f"{'--shard' if shard else 'torchrun'} is for a file of text that becomes a file (--output)")
    pace = LinePace(of=text.lines_in(shard) if text and shard else count)
    name, lines = open_lines(source, on_bad_utf8, in_sections=True)
    tally = OutputTally(name, document=job.options.document)
    with (
        telling(pace, visible=visible, logged=logged and is_first(ranks)) as on_lines,
        _noticing(lines, job.options, name=name) as watched,
    ):
        if text and (text.lines > LINES or shard or ranks):
            watch = watched.watch if is_first(ranks) else None
            found = _in_blocks(job, text, form, shard=shard, ranks=ranks, on_lines=on_lines, watch=watch)
        else:
            found = _at_once(job, watched, form, block=block_of(source), on_lines=on_lines)
        with closing(found):
            for translations, first in found:
                tally.add(translations, first)
    who = f"process {ranks.rank}: " if ranks else ""
    if tally.lines and (shown or (logged and (ranks or pace.is_long))):
        say("; ".join([f"{who}{pace.summary(tally.lines)}", *tally.warned_of()]))
    if form.memory:
        say(f"{who}{tally.of_memory()}")


def _becomes_files(source: Path, form: OutputOptions) -> bool:
    """Whether a regular file is translated into others, not into pipes or devices."""
    outputs = [path for path in form.files if path != STREAM and (path.is_file() or not path.exists())]
    return source != STREAM and source.is_file() and outputs == form.files


def _at_once(
    job: "Job", lines: "LineSource", form: OutputOptions, *, block: int, on_lines: "OnLines"
) -> "Generator[tuple[Translations, int], None, None]":
    """Translate and write lines as they come; give what is written, and the number of its first line."""
    done = 0
    with closing(job.translate(lines, block=block, on_lines=on_lines)) as translations, writer(form) as write:
        for found in translations:
            write(found, done)
            yield found, done
            done += len(found)


def _in_blocks(
    job: "Job",
    text: "LongText",
    form: OutputOptions,
    *,
    shard: "Shard | None",
    ranks: "Ranks | None",
    on_lines: "OnLines",
    watch: "Callable[[list[str]], None] | None",
) -> "Generator[tuple[Translations, int], None, None]":
    """Do the same with a file in blocks, which outlive a kill and other processes share."""
    from nmt.io.files import naming
    from nmt.translate.blockwise import key_of, translate_in_blocks

    for path in form.files:
        check_folder_of(path)
    pictures = str(form.attention_plot and form.attention_plot.resolve())
    key = key_of(text, job, form=f"{form.format} {form.scores} {form.n_best} {form.memory} {pictures}")
    meet = ranks.met if ranks else nullcontext
    pieces = translate_in_blocks(job, text, form.files, key, shard=shard, meet=meet, on_lines=on_lines, watch=watch)
    named, told = naming(form.output), going_on(form.output, shard, visible=is_first(ranks))
    with told, named, formed(form) as put, closing(pieces):
        for piece in pieces:
            put(piece.found, piece.first, piece.files)
            yield piece.found, piece.first
