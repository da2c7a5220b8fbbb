"""`nmt translate`: lines in, translations out, in the same order."""

import sys
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from nmt.errors import counted
from nmt_cli.arguments import (
    STREAM,
    STREAM_BLOCK,
    DeviceOption,
    EnsembleOption,
    LanguageModelOption,
    ModelDir,
    OnBadUtf8Option,
    RescoringOption,
    TagOption,
    block_of,
    check_language_options,
    drawn_by,
    open_lines,
    refuse_replacing,
    setting,
    with_search_options,
)
from nmt_cli.console import status, warn
from nmt_cli.translation_output import OutputOptions, writer

if TYPE_CHECKING:
    from nmt.io.arriving import LineSource
    from nmt.search.sampling import Sampling
    from nmt.translate import Options
    from nmt.translate.translator import Job, Translations

_SHOWN: Final = 20
"""Characters of markup that a warning shows."""


_output_option = partial(typer.Option, rich_help_panel="Output")
_search_option = partial(typer.Option, rich_help_panel="Search")
_drawn_option = partial(typer.Option, rich_help_panel="Random translations")
_words_option = partial(typer.Option, rich_help_panel="Words")
_text_option = partial(typer.Option, rich_help_panel="Text")
_compute_option = partial(typer.Option, rich_help_panel="Computation")


@with_search_options
def translate(
    model_dir: ModelDir,
    source: Annotated[
        Path, typer.Argument(metavar="INPUT", help="Text to translate, one sentence a line; - is stdin.")
    ] = STREAM,
    output: Annotated[
        Path, _output_option("--output", "-o", metavar="FILE", help="Where translations go; - is stdout.")
    ] = STREAM,
    n_best: Annotated[
        int,
        _search_option(
            metavar="N",
            min=1,
            max=1000,
            help="Above 1: up to so many lines for each input line, as Moses writes them: `line ||| text ||| score`, "
            "the first line being 0 (in JSON and in pictures, 1).",
        ),
    ] = 1,
    lm: LanguageModelOption = None,
    lm_rescore: RescoringOption = False,
    sample: Annotated[bool, _drawn_option("--sample", help="Draw translations at random: `--n-best` of them.")] = False,
    temperature: Annotated[float | None, drawn_by("temperature", panel="Random translations")] = None,
    top_k: Annotated[int | None, drawn_by("top_k", panel="Random translations")] = None,
    top_p: Annotated[float | None, drawn_by("top_p", panel="Random translations")] = None,
    seed: Annotated[int | None, drawn_by("seed", panel="Random translations")] = None,
    terms: Annotated[
        Path | None,
        _words_option(
            metavar="FILE", help="File of `source term <tab> target term`: the targets appear where the sources do."
        ),
    ] = None,
    must: Annotated[
        list[str] | None, _words_option(metavar="WORDS", help="Words that every translation contains; repeatable.")
    ] = None,
    must_not: Annotated[
        list[str] | None,
        _words_option(
            metavar="WORDS",
            help="Words that no translation contains, just as written; forms that only begin so may come; repeatable.",
        ),
    ] = None,
    prefix_after_tab: Annotated[
        bool, _words_option("--prefix-after-tab", help="Input lines are `source <tab> how the translation begins`.")
    ] = False,
    replace_unknown: Annotated[
        bool,
        _words_option(
            "--replace-unknown",
            help="UNK replacement: where a model of words says <unk>, put in the source word that it attends to most.",
        ),
    ] = False,
    dictionary: Annotated[
        Path | None,
        _words_option(
            metavar="FILE",
            help="File of `source word <tab> target word` for --replace-unknown, which this turns on, and for what is "
            "carried over.",
        ),
    ] = None,
    document: Annotated[
        bool,
        _text_option(
            "--document", help="Lines are paragraphs: their sentences are translated one by one and joined again."
        ),
    ] = False,
    markup: Annotated[
        bool,
        _text_option(
            "--markup",
            help="Keep tags, scripts, styles, code, {placeholders} and format codes as they are, over line ends too.",
        ),
    ] = False,
    tag: TagOption = None,
    keep: Annotated[
        str | None, _text_option(metavar="REGEX", help="Keep what matches as well; turns on --markup.")
    ] = None,
    on_bad_utf8: OnBadUtf8Option = "error",
    output_format: Annotated[
        Literal["text", "json"],
        _output_option("--format", help="json: an object a line, with scores, pieces and alignments."),
    ] = "text",
    scores: Annotated[
        bool,
        _output_option(
            "--scores",
            help="Put the score and a tab before each translation; n-best lists and JSON have scores anyway.",
        ),
    ] = False,
    alignment: Annotated[
        Path | None,
        _output_option(
            metavar="FILE",
            help="Write word alignments there, a line for each input line: `0-0 1-2`, source-target, without markup.",
        ),
    ] = None,
    attention_plot: Annotated[
        Path | None,
        _output_option(metavar="DIR", help="Draw the attention of each line there as a PNG; needs the extra `plot`."),
    ] = None,
    ensemble: EnsembleOption = None,
    precision: Annotated[Literal["auto", "fp32", "bf16", "int8"] | None, setting("precision")] = None,
    device: DeviceOption = "auto",
    workers: Annotated[int, _compute_option(metavar="N", min=1, help="Processes; each uses one CPU core.")] = 1,
    *,
    search: dict[str, Any],
) -> None:
    """Translate a file or stdin, one output line for each input line.

    From stdin, whatever has arrived is translated at once.

    \b
    Examples:
      nmt translate models/en-fr test.en --output test.fr
      echo "A dog runs." | nmt translate models/en-fr
      nmt translate models/en-fr big.en --precision int8 --workers 4 > big.fr
      nmt translate models/en-fr test.en --n-best 5 --format json > test.jsonl
      nmt translate models/en-fr test.en --lm models/lm-fr --lm-weight 0.1
    """
    from nmt.corpus.plain import refuse_markup
    from nmt.markup import compile_pattern
    from nmt.translate import Options
    from nmt.translate.options import Terminology, load_dictionary
    from nmt.translate.translator import Job

    check_language_options(lm, weight=search.get("lm_weight"), rescoring=lm_rescore)
    read = [path for path in (source, terms, dictionary) if path is not None]
    refuse_replacing(read, [output, *([alignment] if alignment else [])])
    options = Options(
        **search,
        n_best=n_best,
        lm_rescore=lm_rescore,
        sampling=_sampling(sample, {"temperature": temperature, "top_k": top_k, "top_p": top_p, "seed": seed}),
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
    job = Job((model_dir, *(ensemble or ())), device, precision, options, lm)
    form = OutputOptions(output, output_format, scores, n_best > 1, alignment, attention_plot)
    if not options.markup:
        refuse_markup(source, "--markup translates its text and keeps the rest")
    name, lines = open_lines(source, on_bad_utf8, in_sections=True)
    with (
        _noticing(lines, options, name=name) as watched,
        closing(_translations(job, watched, block=block_of(source), workers=workers)) as found,
    ):
        _write(found, form, name=name, document=document)


@contextmanager
def _noticing(lines: "LineSource", options: "Options", *, name: str) -> "Iterator[LineSource]":
    """Give the lines of the input `name`, and warn of what their markup, or the lack of --markup, does to them."""
    from nmt.io.arriving import WatchedLines
    from nmt.markup import LINES, Unclosed

    if not options.markup:
        yield WatchedLines(lines, _Beginning(name).read)
        return
    unclosed = Unclosed(options.keep)

    def read(taken: list[str]) -> None:
        for number, text in unclosed.read(options.text_of(line)[0] for line in taken):
            warn(f"{name}, line {number}: {text[:_SHOWN]!r} is not closed in {LINES} lines, which are kept as they are")

    yield WatchedLines(lines, read)
    if unclosed.place:
        number, text = unclosed.place
        warn(f"{name}, line {number}: {text[:_SHOWN]!r} is never closed, so all that follows was kept as it is")


class _Beginning:
    """Waits for the first line that is not blank."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._over = False

    def read(self, lines: list[str]) -> None:
        from nmt.corpus.plain import begins_markup

        first = next(filter(str.strip, lines), "") if not self._over else ""
        self._over = self._over or bool(first)
        if begins_markup(first):
            warn(f"{self._name} begins as HTML or XML, but is translated as plain text; --markup keeps its tags")


def _translations(
    job: "Job", lines: "LineSource", *, block: int, workers: int
) -> "Generator[Translations, None, None]":
    from nmt.io.workers import map_in_processes
    from nmt.translate.result import whole_lines
    from nmt.translate.translator import blocks_of

    if workers > 1:
        found = map_in_processes(job.start, blocks_of(lines, STREAM_BLOCK, job.options), workers=workers)
        return whole_lines(found, markup=job.options.markup)
    return job.translate(lines, block=block)


def _write(found: "Iterable[Translations]", form: OutputOptions, *, name: str, document: bool) -> None:
    """Write what is found as it is found, and say which lines of the input `name` were too long."""
    done, start = 0, time.monotonic()
    visible = form.output != STREAM or not sys.stdout.isatty()
    with writer(form) as write, status("translating", visible=visible) as show:
        for translations in found:
            write(translations, done)
            _warn_of_cuts_and_losses(translations, done, name=name, document=document)
            done += len(translations)
            show(f"{counted(done, 'line')}, {done / (time.monotonic() - start):,.0f} lines/s")


def _sampling(wanted: bool, values: "dict[str, float | int | None]") -> "Sampling | None":
    from nmt.errors import UsageError
    from nmt.search.sampling import Sampling

    given = {name: value for name, value in values.items() if value is not None}
    if wanted:
        return Sampling(**given)  # type: ignore[arg-type]
    if given:
        raise UsageError(f"--{next(iter(given)).replace('_', '-')} is about random translations; it needs --sample")
    return None


def _warn_of_cuts_and_losses(found: "Translations", done: int, *, name: str, document: bool) -> None:
    hint = "" if document else "; --document translates sentences one by one"
    cuts, losses = list[str](), list[str]()
    for number, translations in enumerate(found, start=done + 1):
        best, *_ = translations
        if best.cut:
            cuts.append(f"line {number}: too long for the model, so it was translated in {best.parts} parts{hint}")
        for rank, one in enumerate(translations, start=1):
            which = f"translation {rank}" if len(translations) > 1 else "the translation"
            if one.lost:
                losses.append(f"line {number}: {which} found no place for {', '.join(one.lost)}")
    for message in (*cuts, *losses):
        warn(f"{name}, {message}")
