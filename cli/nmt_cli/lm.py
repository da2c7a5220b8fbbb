"""`nmt lm`: what a trained language model is for."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from nmt.wording import counted
from nmt_cli import lm_options as option
from nmt_cli.adding import add_command
from nmt_cli.console import results, say, status
from nmt_cli.lm_filter import filter_corpus
from nmt_cli.options import OnBadUtf8Option
from nmt_cli.streams import STREAM, open_lines, refuse_replacing

if TYPE_CHECKING:
    from nmt.lm import LineScore, Totals

_FILE_BLOCK: Final = 4000
"""Lines of a file that are taken together."""
_STREAM_BLOCK: Final = 500
"""Lines of a stream that are: fewer, so that the first of them are not kept waiting."""

lm = typer.Typer(name="lm", no_args_is_help=True)


@lm.callback()
def language_model() -> None:
    """Language models: how probable a text is, and texts at random.

    \b
    Examples:
      nmt lm score models/en test.en
      nmt lm generate models/en --lines 5
    """


def score(
    model_dir: option.ModelDir,
    source: Annotated[
        Path, typer.Argument(metavar="INPUT", help="Text to score, one sentence a line; - is stdin.")
    ] = STREAM,
    output: option.Output = STREAM,
    output_format: option.OutputFormat = "text",
    total: option.Total = False,
    carry: option.Carry = None,
    on_bad_utf8: OnBadUtf8Option = "error",
    precision: option.Precision = "fp32",
    device: option.Device = "auto",
    threads: option.Threads = 1,
) -> None:
    """Score a text: perplexity, log-probability and number of pieces for each of its lines, with tabs between them.

    The pieces are those that the model reads (words, where its tokenizer has words), and `</s>`; in JSON their number
    is called "words". The log-probability is the sum of their natural logarithms. Of a blank line nothing is scored:
    nan, 0, 0.

    \b
    Examples:
      nmt lm score models/en test.en --total
      nmt lm score models/en test.en --independent --output test.scores
      echo "A dog runs." | nmt lm score models/en --format json
    """
    from nmt.corpus.sources.documents import refuse_markup
    from nmt.lm import LanguageScorer

    if total and output != STREAM:
        raise typer.BadParameter("it prints the totals alone; leave --output out", param_hint="--total")
    refuse_replacing([source], [output])
    refuse_markup(source)
    _, lines = open_lines(source, on_bad_utf8)
    scorer = LanguageScorer.load(model_dir, device=device, precision=precision, threads=threads)
    carried = scorer.carries if carry is None else carry
    block = _STREAM_BLOCK if source == STREAM else _FILE_BLOCK
    found = scorer.score_source(lines, carry=carried, block=block)
    if total:
        _print_totals(_counted(found, visible=True), carried=carried, as_json=output_format == "json")
        return
    from nmt_cli.lm_output import score_writer, sentence

    with score_writer(output, output_format, pieces=scorer.tokenizer.pieces) as write:
        totals = _counted(found, write, visible=output != STREAM or not sys.stdout.isatty())
    say(sentence(totals, carried=carried))


def generate(
    model_dir: option.ModelDir,
    lines: option.Lines = 10,
    max_length: option.MaxLength = 200,
    prefix: option.Prefix = "",
    carry: option.CarryOn = False,
    temperature: option.Temperature = 1.0,
    top_k: option.TopK = 0,
    top_p: option.TopP = 1.0,
    seed: option.Seed = 1,
    device: option.Device = "auto",
    threads: option.Threads = 1,
) -> None:
    """Write lines that the model finds probable, drawn at random, each up to its `</s>`.

    \b
    Examples:
      nmt lm generate models/en
      nmt lm generate models/en --prefix "Once upon a time" --temperature 0.7
      nmt lm generate models/en --carry --lines 100 --top-p 0.9 --seed 7
    """
    from nmt.lm import Generation, Generator
    from nmt.search.sampling import Sampling

    sampling = Sampling(temperature=temperature, top_k=top_k, top_p=top_p, seed=seed)
    generation = Generation(sampling, max_length, prefix)
    generator = Generator.load(model_dir, device=device, threads=threads)
    text = islice(generator.text(generation), lines) if carry else generator.lines(generation, count=lines)
    for line in text:
        sys.stdout.buffer.write(f"{line}\n".encode())
        sys.stdout.buffer.flush()


def _counted(
    found: "Iterable[list[LineScore]]",
    write: "Callable[[list[LineScore], int], None]" = lambda scores, first: None,
    *,
    visible: bool,
) -> "Totals":
    """Write what is found as it is found; return the totals."""
    from nmt.lm import Totals

    totals = Totals()
    with _progress(visible=visible) as show:
        for scores in found:
            write(scores, totals.lines)
            totals = totals.plus(scores)
            show(totals)
    return totals


def _print_totals(totals: "Totals", *, carried: bool, as_json: bool) -> None:
    from nmt_cli.lm_output import to_json, to_table

    if as_json:
        typer.echo(to_json(totals, carried=carried))
    else:
        results.print(to_table(totals, carried=carried))


@contextmanager
def _progress(*, visible: bool) -> "Iterator[Callable[[Totals], None]]":
    """Give a function that shows on the terminal how much is done, and how fast."""
    start = time.monotonic()
    with status("scoring", visible=visible) as show:

        def show_totals(totals: "Totals") -> None:
            speed = totals.words / (time.monotonic() - start)
            show(f"{counted(totals.lines, 'line')}, {speed:,.0f} pieces/s, perplexity {totals.perplexity:.2f}")

        yield show_totals


add_command(lm, score)
add_command(lm, generate)
add_command(lm, filter_corpus, name="filter")
