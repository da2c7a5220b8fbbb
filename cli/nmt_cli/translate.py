"""`nmt translate`: lines in, translations out, in the same order."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal, cast

import typer

from nmt_cli.console import console, progress, warn
from nmt_cli.options import OnBadUtf8Option
from nmt_cli.translation_output import STREAM, OutputOptions, writer

if TYPE_CHECKING:
    from io import BufferedReader

    from nmt.corpus.reading import OnBadUtf8
    from nmt.search.sampling import Sampling
    from nmt.streams import LineSource
    from nmt.translate import Translation

_FILE_BLOCK: Final = 4000
"""Lines of a file that are sorted by length together."""
_STREAM_BLOCK: Final = 500
"""Lines of a stream, and of a worker's share, that are: fewer, so that the first of them are not kept waiting."""

_SEARCH, _SAMPLE, _WORDS, _TEXT, _OUTPUT, _COMPUTE = (
    "Search",
    "Random translations",
    "Words",
    "Text",
    "Output",
    "Computation",
)
_THE_MODELS: Final = "the model's"


def translate(
    model_dir: Annotated[Path, typer.Argument(metavar="MODEL_DIR", help="Folder that `nmt train` wrote.")],
    source: Annotated[
        Path, typer.Argument(metavar="INPUT", help="Text to translate, one sentence a line; - is stdin.")
    ] = STREAM,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Where translations go; - is stdout.", rich_help_panel=_OUTPUT)
    ] = STREAM,
    beam_size: Annotated[
        int | None,
        typer.Option(
            "--beam",
            min=1,
            help="Hypotheses kept at each step; 1 is greedy search.",
            show_default=_THE_MODELS,
            rich_help_panel=_SEARCH,
        ),
    ] = None,
    n_best: Annotated[
        int,
        typer.Option(
            min=1,
            help="Above 1: up to so many lines for each input line, as `index ||| text ||| score`, the index from 0.",
            rich_help_panel=_SEARCH,
        ),
    ] = 1,
    length_penalty: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            help="Exponent of the length normalisation; 0: none.",
            show_default=_THE_MODELS,
            rich_help_panel=_SEARCH,
        ),
    ] = None,
    coverage_penalty: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            help="Weight of source words that nothing was read of; 0: none.",
            show_default=_THE_MODELS,
            rich_help_panel=_SEARCH,
        ),
    ] = None,
    min_length_ratio: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            help="Fewest pieces of a translation, times those of the source.",
            show_default=_THE_MODELS,
            rich_help_panel=_SEARCH,
        ),
    ] = None,
    max_length_ratio: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            help="Most pieces of a translation, times those of the source, plus ten.",
            show_default=_THE_MODELS,
            rich_help_panel=_SEARCH,
        ),
    ] = None,
    no_repeat_ngram: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Never say so many pieces twice in a row of the same; 0: no such rule.",
            show_default=_THE_MODELS,
            rich_help_panel=_SEARCH,
        ),
    ] = None,
    shortlist: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Words to choose from for each sentence, which `nmt shortlist` has learnt; 0: all.",
            show_default=_THE_MODELS,
            rich_help_panel=_SEARCH,
        ),
    ] = None,
    sample: Annotated[
        bool, typer.Option("--sample", help="Draw translations at random: `--n-best` of them.", rich_help_panel=_SAMPLE)
    ] = False,
    temperature: Annotated[
        float | None, typer.Option(help="Below 1: nearer to the most probable.", rich_help_panel=_SAMPLE)
    ] = None,
    top_k: Annotated[
        int | None, typer.Option(help="Draw from so many of the most probable words.", rich_help_panel=_SAMPLE)
    ] = None,
    top_p: Annotated[
        float | None,
        typer.Option(
            help="Draw from the most probable words that have this probability together.", rich_help_panel=_SAMPLE
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Each draws other translations.", rich_help_panel=_SAMPLE)] = None,
    terms: Annotated[
        Path | None,
        typer.Option(
            help="File of `source term <tab> target term`: the targets appear where the sources do.",
            rich_help_panel=_WORDS,
        ),
    ] = None,
    must: Annotated[
        list[str] | None,
        typer.Option(help="Words that every translation contains; repeatable.", rich_help_panel=_WORDS),
    ] = None,
    must_not: Annotated[
        list[str] | None,
        typer.Option(help="Words that no translation contains; repeatable.", rich_help_panel=_WORDS),
    ] = None,
    prefix_after_tab: Annotated[
        bool,
        typer.Option(
            "--prefix-after-tab",
            help="Input lines are `source <tab> how the translation begins`.",
            rich_help_panel=_WORDS,
        ),
    ] = False,
    replace_unknown: Annotated[
        bool,
        typer.Option(
            "--replace-unknown",
            help="Where the model knows no word, put in the source word it looked at.",
            rich_help_panel=_WORDS,
        ),
    ] = False,
    dictionary: Annotated[
        Path | None,
        typer.Option(
            help="File of `source word <tab> target word` for --replace-unknown, which this turns on.",
            rich_help_panel=_WORDS,
        ),
    ] = None,
    document: Annotated[
        bool,
        typer.Option(
            "--document",
            help="Lines are paragraphs: their sentences are translated one by one and joined again.",
            rich_help_panel=_TEXT,
        ),
    ] = False,
    markup: Annotated[
        bool,
        typer.Option("--markup", help="Keep tags, {placeholders} and format codes as they are.", rich_help_panel=_TEXT),
    ] = False,
    keep: Annotated[
        str | None,
        typer.Option(metavar="REGEX", help="Keep what matches as well; turns on --markup.", rich_help_panel=_TEXT),
    ] = None,
    on_bad_utf8: OnBadUtf8Option = "error",
    output_format: Annotated[
        Literal["text", "json"],
        typer.Option(
            "--format",
            help="json: an object a line, with scores, pieces and alignments.",
            rich_help_panel=_OUTPUT,
        ),
    ] = "text",
    scores: Annotated[
        bool,
        typer.Option("--scores", help="Put the score and a tab before each translation.", rich_help_panel=_OUTPUT),
    ] = False,
    alignment: Annotated[
        Path | None,
        typer.Option(
            help="Write word alignments there, a line for each input line: `0-0 1-2`, source-target.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    attention_plot: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Draw the attention of each line there as a PNG; needs the extra `plot`.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    ensemble: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="MODEL_DIR",
            help="Another model of the same vocabulary to decide with; repeatable.",
            rich_help_panel=_COMPUTE,
        ),
    ] = None,
    precision: Annotated[
        Literal["auto", "fp32", "bf16", "int8"] | None,
        typer.Option(
            help="Arithmetic; int8 is the fastest on a CPU that has it.",
            show_default=_THE_MODELS,
            rich_help_panel=_COMPUTE,
        ),
    ] = None,
    device: Annotated[
        Literal["auto", "cpu", "cuda"], typer.Option(help="Where to compute.", rich_help_panel=_COMPUTE)
    ] = "auto",
    workers: Annotated[
        int,
        typer.Option(min=1, help="Processes; each uses one CPU core.", rich_help_panel=_COMPUTE),
    ] = 1,
    batch_tokens: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Sentences x beams x longest source of what is translated at once; no translation depends on it.",
            show_default=_THE_MODELS,
            rich_help_panel=_COMPUTE,
        ),
    ] = None,
) -> None:
    """Translate a file or stdin, one output line for each input line.

    From stdin, whatever has arrived is translated at once.

    \b
    Examples:
      nmt translate models/en-fr test.en --output test.fr
      echo "A dog runs." | nmt translate models/en-fr
      nmt translate models/en-fr big.en --precision int8 --workers 4 > big.fr
      nmt translate models/en-fr test.en --n-best 5 --format json > test.jsonl
    """
    from nmt.markup import compile_pattern
    from nmt.terms import Terminology, load_dictionary
    from nmt.translate import Options
    from nmt.translate.blocks import Job, blocks_of
    from nmt.workers import translate_in_processes

    words = load_dictionary(dictionary) if dictionary else {}
    options = Options(
        beam_size=beam_size,
        length_penalty=length_penalty,
        coverage_penalty=coverage_penalty,
        min_length_ratio=min_length_ratio,
        max_length_ratio=max_length_ratio,
        no_repeat_ngram=no_repeat_ngram,
        batch_tokens=batch_tokens,
        shortlist=shortlist,
        n_best=n_best,
        sampling=_sampling(sample, {"temperature": temperature, "top_k": top_k, "top_p": top_p, "seed": seed}),
        alignment=alignment is not None or output_format == "json",
        details=attention_plot is not None or output_format == "json",
        unknown=words if replace_unknown or dictionary else None,
        document=document,
        markup=markup or keep is not None,
        keep=compile_pattern(keep) if keep is not None else None,
        terms=Terminology.load(terms) if terms else None,
        required=tuple(must or ()),
        forbidden=tuple(must_not or ()),
        prefix_after_tab=prefix_after_tab,
    )
    name, lines = _lines(source, on_bad_utf8)
    job = Job((model_dir, *(ensemble or ())), device, precision, options)
    if workers > 1:
        found = translate_in_processes(job.start, blocks_of(lines, _STREAM_BLOCK), workers=workers)
    else:
        found = job.translate(lines, block=_STREAM_BLOCK if source == STREAM else _FILE_BLOCK)
    form = OutputOptions(output, output_format, scores, n_best > 1, alignment, attention_plot)
    done = 0
    with (
        closing(found),
        writer(form) as write,
        _counter(visible=output != STREAM or not sys.stdout.isatty()) as show,
    ):
        for translations in found:
            write(translations, done)
            _warn_of_cuts(translations, done, name=name)
            done += len(translations)
            show(done)


def _sampling(wanted: bool, values: "dict[str, float | int | None]") -> "Sampling | None":
    from nmt.errors import ConfigError
    from nmt.search.sampling import Sampling

    given = {name: value for name, value in values.items() if value is not None}
    if wanted:
        return Sampling(**given)  # type: ignore[arg-type]
    if given:
        raise ConfigError(f"--{next(iter(given)).replace('_', '-')} is about random translations; it needs --sample")
    return None


def _lines(source: Path, on_bad_utf8: "OnBadUtf8") -> "tuple[str, LineSource]":
    """Open the input; give also what messages call it."""
    from nmt.corpus.reading import read_lines
    from nmt.streams import ArrivingLines, FileLines

    if source != STREAM:
        return str(source), FileLines(read_lines(source, on_bad_utf8))
    return "<stdin>", ArrivingLines(cast("BufferedReader", sys.stdin.buffer), "<stdin>", on_bad_utf8)


def _warn_of_cuts(found: "Sequence[Sequence[Translation]]", done: int, *, name: str) -> None:
    for number, (best, *_) in enumerate(found, start=done + 1):
        if best.cut:
            warn(f"{name}, line {number}: too long for the model, so it was translated in {best.parts} parts")


@contextmanager
def _counter(*, visible: bool) -> Iterator[Callable[[int], None]]:
    """Give a function that shows on the terminal how many lines are done, and how fast."""
    from rich.progress import SpinnerColumn, TextColumn

    if not (visible and console.is_terminal):
        yield lambda done: None
        return
    start = time.monotonic()
    with progress(SpinnerColumn(), TextColumn("{task.description}")) as bar:
        task = bar.add_task("translating")

        def show(done: int) -> None:
            speed = done / (time.monotonic() - start)
            bar.update(task, description=f"{done:,} lines, {speed:,.0f} lines/s")

        yield show
