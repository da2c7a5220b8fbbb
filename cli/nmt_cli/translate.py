"""`nmt translate`: lines in, translations out, in the same order."""

import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from nmt.wording import counted
from nmt_cli import language_options as language_option
from nmt_cli import search_options as search_option
from nmt_cli import translation_options as option
from nmt_cli.console import status, warn
from nmt_cli.options import OnBadUtf8Option
from nmt_cli.streams import STREAM, open_lines, refuse_replacing
from nmt_cli.translation_input import noticing
from nmt_cli.translation_output import OutputOptions, writer

if TYPE_CHECKING:
    from nmt.search.sampling import Sampling
    from nmt.streams import LineSource
    from nmt.translate.blocks import Job, Translations

_FILE_BLOCK: Final = 4000
"""Lines of a file that are sorted by length together."""
_STREAM_BLOCK: Final = 500
"""Lines of a stream, and of a worker's share, that are: fewer, so that the first of them are not kept waiting."""


def translate(
    model_dir: Annotated[Path, typer.Argument(metavar="MODEL_DIR", help="Folder that `nmt train` wrote.")],
    source: Annotated[
        Path, typer.Argument(metavar="INPUT", help="Text to translate, one sentence a line; - is stdin.")
    ] = STREAM,
    output: option.Output = STREAM,
    beam_size: search_option.BeamSize = None,
    n_best: search_option.NBest = 1,
    length_penalty: search_option.LengthPenalty = None,
    coverage_penalty: search_option.CoveragePenalty = None,
    min_length_ratio: search_option.MinLengthRatio = None,
    max_length_ratio: search_option.MaxLengthRatio = None,
    no_repeat_ngram: search_option.NoRepeatNgram = None,
    shortlist: search_option.Shortlist = None,
    lm: language_option.Folder = None,
    lm_weight: language_option.Weight = None,
    lm_rescore: language_option.Rescoring = False,
    sample: search_option.Sample = False,
    temperature: search_option.Temperature = None,
    top_k: search_option.TopK = None,
    top_p: search_option.TopP = None,
    seed: search_option.Seed = None,
    terms: option.Terms = None,
    must: option.Must = None,
    must_not: option.MustNot = None,
    prefix_after_tab: option.PrefixAfterTab = False,
    replace_unknown: option.ReplaceUnknown = False,
    dictionary: option.Dictionary = None,
    carry_unknown: option.CarryUnknown = None,
    document: option.Document = False,
    markup: option.Markup = False,
    tag: option.Tag = None,
    keep: option.Keep = None,
    on_bad_utf8: OnBadUtf8Option = "error",
    output_format: option.OutputFormat = "text",
    scores: option.Scores = False,
    alignment: option.Alignment = None,
    attention_plot: option.AttentionPlot = None,
    ensemble: option.Ensemble = None,
    precision: option.Precision = None,
    device: option.Device = "auto",
    workers: option.Workers = 1,
    batch_tokens: option.BatchTokens = None,
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
    from nmt.corpus.sources.documents import refuse_markup
    from nmt.markup import compile_pattern
    from nmt.terms import Terminology, load_dictionary
    from nmt.translate import Options
    from nmt.translate.blocks import Job

    language_option.check_options(lm, weight=lm_weight, rescoring=lm_rescore)
    read = [path for path in (source, terms, dictionary) if path is not None]
    refuse_replacing(read, [output, *([alignment] if alignment else [])])
    options = Options(
        beam_size=beam_size,
        length_penalty=length_penalty,
        coverage_penalty=coverage_penalty,
        min_length_ratio=min_length_ratio,
        max_length_ratio=max_length_ratio,
        lm_weight=lm_weight,
        no_repeat_ngram=no_repeat_ngram,
        carry_unknown=carry_unknown,
        batch_tokens=batch_tokens,
        shortlist=shortlist,
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
        noticing(lines, options, name=name) as watched,
        closing(_translations(job, watched, arriving=source == STREAM, workers=workers)) as found,
    ):
        _write(found, form, name=name, document=document)


def _translations(
    job: "Job", lines: "LineSource", *, arriving: bool, workers: int
) -> "Generator[Translations, None, None]":
    from nmt.translate.blocks import blocks_of
    from nmt.translate.result import whole_lines
    from nmt.workers import map_in_processes

    if workers > 1:
        found = map_in_processes(job.start, blocks_of(lines, _STREAM_BLOCK, job.options), workers=workers)
        return whole_lines(found, markup=job.options.markup)
    return job.translate(lines, block=_STREAM_BLOCK if arriving else _FILE_BLOCK)


def _write(found: "Iterable[Translations]", form: OutputOptions, *, name: str, document: bool) -> None:
    """Write what is found as it is found, and say which lines of the input `name` were too long."""
    done = 0
    with writer(form) as write, _counter(visible=form.output != STREAM or not sys.stdout.isatty()) as show:
        for translations in found:
            write(translations, done)
            _warn_of_cuts(translations, done, name=name, document=document)
            _warn_of_losses(translations, done, name=name)
            done += len(translations)
            show(done)


def _sampling(wanted: bool, values: "dict[str, float | int | None]") -> "Sampling | None":
    from nmt.errors import UsageError
    from nmt.search.sampling import Sampling

    given = {name: value for name, value in values.items() if value is not None}
    if wanted:
        return Sampling(**given)  # type: ignore[arg-type]
    if given:
        raise UsageError(f"--{next(iter(given)).replace('_', '-')} is about random translations; it needs --sample")
    return None


def _warn_of_cuts(found: "Translations", done: int, *, name: str, document: bool) -> None:
    hint = "" if document else "; --document translates sentences one by one"
    for number, (best, *_) in enumerate(found, start=done + 1):
        if best.cut:
            warn(f"{name}, line {number}: too long for the model, so it was translated in {best.parts} parts{hint}")


def _warn_of_losses(found: "Translations", done: int, *, name: str) -> None:
    for number, translations in enumerate(found, start=done + 1):
        for rank, one in enumerate(translations, start=1):
            which = f"translation {rank}" if len(translations) > 1 else "the translation"
            if one.lost:
                warn(f"{name}, line {number}: {which} found no place for {', '.join(one.lost)}")


@contextmanager
def _counter(*, visible: bool) -> Iterator[Callable[[int], None]]:
    """Give a function that shows on the terminal how many lines are done, and how fast."""
    start = time.monotonic()
    with status("translating", visible=visible) as show:
        yield lambda done: show(f"{counted(done, 'line')}, {done / (time.monotonic() - start):,.0f} lines/s")
