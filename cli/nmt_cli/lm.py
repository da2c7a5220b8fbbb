"""`nmt lm`: what a trained language model is for."""

import json
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from nmt.errors import counted
from nmt_cli.arguments import (
    STREAM,
    DeviceOption,
    OnBadUtf8Option,
    add_command,
    block_of,
    drawn_by,
    open_lines,
    open_output,
    refuse_replacing,
)
from nmt_cli.console import results, say, status
from nmt_cli.lm_filter import filter_corpus

if TYPE_CHECKING:
    from rich.table import Table

    from nmt.lm import LineScore, Totals


_compute_option = partial(typer.Option, rich_help_panel="Computation")
_output_option = partial(typer.Option, rich_help_panel="Output")

_ModelDir = Annotated[
    Path, typer.Argument(metavar="MODEL_DIR", help="Folder of a language model that `nmt train` wrote.")
]
_Threads = Annotated[int, _compute_option(metavar="N", min=1, help="CPU threads; last digits may depend on them.")]

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
    model_dir: _ModelDir,
    source: Annotated[
        Path, typer.Argument(metavar="INPUT", help="Text to score, one sentence a line; - is stdin.")
    ] = STREAM,
    output: Annotated[
        Path, _output_option("--output", "-o", metavar="FILE", help="Where the scores go; - is stdout.")
    ] = STREAM,
    output_format: Annotated[
        Literal["text", "json"],
        _output_option("--format", help="json: an object a line, with the pieces and their log-probabilities."),
    ] = "text",
    total: Annotated[
        bool,
        _output_option("--total", help="Print the totals only, on stdout: a table, or JSON. Else they go to stderr."),
    ] = False,
    carry: Annotated[
        bool | None,
        typer.Option(
            "--carry/--independent",
            help="Lines follow each other as in a text, which is how test perplexities are published, or are scored "
            "each by itself.",
            show_default="as the model was trained: training.carry_state",
        ),
    ] = None,
    on_bad_utf8: OnBadUtf8Option = "error",
    precision: Annotated[
        Literal["auto", "fp32", "bf16"], _compute_option(help="Arithmetic; auto: bf16 where the hardware has it.")
    ] = "fp32",
    device: DeviceOption = "auto",
    threads: _Threads = 1,
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
    from nmt.corpus.plain import refuse_markup
    from nmt.lm import LanguageScorer

    if total and output != STREAM:
        raise typer.BadParameter("it prints the totals alone; leave --output out", param_hint="--total")
    refuse_replacing([source], [output])
    refuse_markup(source)
    _, lines = open_lines(source, on_bad_utf8)
    scorer = LanguageScorer.load(model_dir, device=device, precision=precision, threads=threads)
    carried = scorer.carries if carry is None else carry
    found = scorer.score_source(lines, carry=carried, block=block_of(source))
    if total:
        totals = _counted(found, visible=True)
        if output_format == "json":
            typer.echo(to_json(totals, carried=carried))
        else:
            results.print(to_table(totals, carried=carried))
        return
    with _score_writer(output, output_format, pieces=scorer.tokenizer.pieces) as write:
        totals = _counted(found, write, visible=output != STREAM or not sys.stdout.isatty())
    say(sentence(totals, carried=carried))


def generate(
    model_dir: _ModelDir,
    lines: Annotated[int, typer.Option(metavar="N", min=1, help="Lines to write.")] = 10,
    max_length: Annotated[
        int, typer.Option(metavar="N", min=1, help="Most pieces of a line; then it ends as it is.")
    ] = 200,
    prefix: Annotated[
        str, typer.Option(metavar="TEXT", help="How each line begins; with --carry, the first.", show_default="nothing")
    ] = "",
    carry: Annotated[
        bool, typer.Option("--carry", help="Write one text: each line goes on from those before it.")
    ] = False,
    temperature: Annotated[float, drawn_by("temperature", panel="Random choice")] = 1.0,
    top_k: Annotated[int, drawn_by("top_k", panel="Random choice")] = 0,
    top_p: Annotated[float, drawn_by("top_p", panel="Random choice")] = 1.0,
    seed: Annotated[int, drawn_by("seed", panel="Random choice")] = 1,
    device: DeviceOption = "auto",
    threads: _Threads = 1,
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
    """Write what is found as it is found, show how much is done and how fast, and return the totals."""
    from nmt.lm import Totals

    totals, start = Totals(), time.monotonic()
    with status("scoring", visible=visible) as show:
        for scores in found:
            write(scores, totals.lines)
            totals = totals.plus(scores)
            speed = totals.pieces / (time.monotonic() - start)
            show(f"{counted(totals.lines, 'line')}, {speed:,.0f} pieces/s, perplexity {totals.perplexity:.2f}")
    return totals


@contextmanager
def _score_writer(
    output: Path, form: Literal["text", "json"], *, pieces: Sequence[str]
) -> "Iterator[Callable[[Sequence[LineScore], int], None]]":
    """Give a function that writes the scores of lines, the first of which has this index, counted from 0.

    It writes to stdout at once, or to a file that gets its name when all is done.
    """
    with open_output(output) as file:

        def write(scores: "Sequence[LineScore]", first: int) -> None:
            if form == "json":
                lines = (_json_line(number, one, pieces) for number, one in enumerate(scores, start=first + 1))
            else:
                lines = (f"{one.perplexity:.4f}\t{one.log_probability:.4f}\t{one.pieces}\n" for one in scores)
            file.write("".join(lines).encode("utf-8"))
            file.flush()

        yield write


def sentence(totals: "Totals", *, carried: bool) -> str:
    """Say the totals in one line."""
    unknown = f", {totals.unknown:,} of them unknown" if totals.unknown else ""
    return (
        f"{counted(totals.lines, 'line')}, {_how(carried)}, {counted(totals.pieces, 'piece')}{unknown}: "
        f"perplexity {totals.perplexity:.2f}, "
        f"{totals.perplexity_per_space_separated_word:.2f} per space-separated word, "
        f"{totals.bits_per_character:.3f} bits a character"
    )


def to_table(totals: "Totals", *, carried: bool) -> "Table":
    """Make a table of the totals, with a row for each."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    for name, value in (
        ("lines", f"{totals.lines:,}"),
        ("scored", _how(carried)),
        ("pieces and </s>", f"{totals.pieces:,}"),
        ("unknown", f"{totals.unknown:,}"),
        ("log-probability", f"{totals.log_probability:.2f}"),
        ("perplexity", f"{totals.perplexity:.2f}"),
        ("perplexity per space-separated word", f"{totals.perplexity_per_space_separated_word:.2f}"),
        ("bits a character", f"{totals.bits_per_character:.3f}"),
    ):
        table.add_row(name, value)
    return table


def to_json(totals: "Totals", *, carried: bool) -> str:
    """Write the totals as a JSON object."""
    record = {
        "lines": totals.lines,
        "carried": carried,
        "words": totals.pieces,
        "unknown": totals.unknown,
        "log_probability": totals.log_probability,
        "perplexity": _number(totals.perplexity),
        "space_separated_words": totals.space_separated,
        "perplexity_per_space_separated_word": _number(totals.perplexity_per_space_separated_word),
        "characters": totals.characters,
        "bits_per_character": _number(totals.bits_per_character),
    }
    return json.dumps(record, indent=2)


def _how(carried: bool) -> str:
    return "each after those before it" if carried else "each by itself"


def _json_line(number: int, one: "LineScore", pieces: Sequence[str]) -> str:
    record: dict[str, Any] = {
        "line": number,
        "perplexity": _number(one.perplexity),
        "log_probability": one.log_probability,
        "words": one.pieces,
        "pieces": [pieces[index] for index in one.ids],
        "log_probabilities": list(one.log_probs),
    }
    return json.dumps(record, ensure_ascii=False) + "\n"


def _number(value: float) -> float | None:
    """Return what JSON has a number for."""
    return value if math.isfinite(value) else None


add_command(lm, score)
add_command(lm, generate)
add_command(lm, filter_corpus, name="filter")
