"""`nmt lm`: what a trained language model is for."""

import json
import math
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from nmt.errors import DataError, UsageError, counted
from nmt_cli.terminal import (
    STREAM,
    DeviceOption,
    Files,
    OnBadUtf8Option,
    SeedOption,
    TemperatureOption,
    TopKOption,
    TopPOption,
    add_command,
    count_option,
    file_option,
    is_typed,
    loading,
    open_lines,
    open_output,
    refuse_replacing,
    results,
    sampling_with,
    say,
    status,
)

if TYPE_CHECKING:
    from rich.table import Table

    from nmt.lm import LineScore, Totals

_compute = partial(typer.Option, rich_help_panel="Computation")
_output = partial(typer.Option, rich_help_panel="Output")

_ModelDir = Annotated[
    Path, typer.Argument(metavar="MODEL_DIR", help="Folder of a language model that `nmt train` wrote.")
]
_Threads = Annotated[int, _compute(metavar="N", min=1, help="CPU threads; last digits may depend on them.")]

_BLOCK: Final = 250
"""Lines that are scored together: the count moves every second, and more of them are no faster."""

lm = typer.Typer(name="lm", no_args_is_help=True)


@lm.callback()
def language_model() -> None:
    """Language models: perplexity, sampling and data selection.

    \b
    Examples:
      nmt lm score models/en test.en
      nmt lm generate models/en --lines 5
    """


def score(
    model_dir: _ModelDir,
    source: Annotated[
        Path, typer.Argument(metavar="INPUT", help="Text to score, one sentence per line; - is stdin.")
    ] = STREAM,
    output: Annotated[Path, _output("--output", "-o", metavar="FILE", help="The scores; - is stdout.")] = STREAM,
    output_format: Annotated[
        Literal["text", "json"],
        _output("--format", help="json: an object per line, with the pieces and their log-probabilities."),
    ] = "text",
    total: Annotated[
        bool, _output("--total", help="Print the totals only, on stdout: a table, or JSON. Else they go to stderr.")
    ] = False,
    carry: Annotated[
        bool | None,
        typer.Option(
            "--carry/--independent",
            help="Carry the state over from line to line, as published test perplexities do, or score each line on its "
            "own.",
            show_default="as the model was trained: training.carry_state",
        ),
    ] = None,
    on_bad_utf8: OnBadUtf8Option = "error",
    precision: Annotated[
        Literal["auto", "fp32", "bf16"], _compute(help="Arithmetic; auto: bf16 where the hardware has it.")
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
    with loading(visible=not is_typed(source)):
        from nmt.io.compressed import refuse_markup
        from nmt.lm import LanguageScorer

    if total and output != STREAM:
        raise typer.BadParameter("it prints the totals alone; leave --output out", param_hint="--total")
    refuse_replacing([source], [output])
    refuse_markup(source)
    _, lines = open_lines(source, on_bad_utf8)
    with status("loading the model", visible=not is_typed(source)):
        scorer = LanguageScorer.load(model_dir, device=device, precision=precision, threads=threads)
    carried = scorer.settings.training.carry_state if carry is None else carry
    found = scorer.score_source(lines, carry=carried, block=_BLOCK)
    if total:
        totals = _counted(found, lambda scores, first: None, visible=True)
        if output_format == "json":
            typer.echo(to_json(totals, carried=carried))
        else:
            results.print(to_table(totals, carried=carried))
        return
    with open_output(output) as file:

        def write(scores: "Sequence[LineScore]", first: int) -> None:
            for number, one in enumerate(scores, start=first + 1):
                if output_format == "json":
                    line = _to_json(number, one, scorer.tokenizer.pieces)
                else:
                    line = f"{one.perplexity:.4f}\t{one.log_probability:.4f}\t{one.pieces}"
                file.write(f"{line}\n".encode())
            file.flush()

        totals = _counted(found, write, visible=output != STREAM or not sys.stdout.isatty())
    say(sentence(totals, carried=carried))


def generate(
    model_dir: _ModelDir,
    lines: Annotated[int, count_option(help="Lines to write.")] = 10,
    max_length: Annotated[int, count_option(help="Maximum pieces per line; longer lines are cut.")] = 200,
    prefix: Annotated[
        str, typer.Option(metavar="TEXT", help="How each line begins; with --carry, the first.", show_default="nothing")
    ] = "",
    carry: Annotated[
        bool, typer.Option("--carry", help="Carry the state over from line to line: all lines are one text.")
    ] = False,
    temperature: TemperatureOption = None,
    top_k: TopKOption = None,
    top_p: TopPOption = None,
    seed: SeedOption = None,
    device: DeviceOption = "auto",
    threads: _Threads = 1,
) -> None:
    """Sample lines from the model, each up to its `</s>`.

    \b
    Examples:
      nmt lm generate models/en
      nmt lm generate models/en --prefix "Once upon a time" --temperature 0.7
      nmt lm generate models/en --carry --lines 100 --top-p 0.9 --seed 7
    """
    with loading():
        from nmt.lm import Generation, Generator

    sampling = sampling_with(temperature=temperature, top_k=top_k, top_p=top_p, seed=seed)
    generation = Generation(sampling, max_length, prefix)
    with status("loading the model"):
        generator = Generator.load(model_dir, device=device, threads=threads)
    text = islice(generator.text(generation), lines) if carry else generator.lines(generation, count=lines)
    for line in text:
        sys.stdout.buffer.write(f"{line}\n".encode())
        sys.stdout.buffer.flush()


def filter_corpus(
    in_domain: Annotated[
        list[Path], typer.Option(metavar="LM", help="Model of the domain; two for both sides, source first.")
    ],
    general: Annotated[list[Path], typer.Option(metavar="LM", help="Model of text of all kinds; two for both sides.")],
    src: Annotated[Files, file_option(help="Source text; repeatable.")] = None,
    tgt: Annotated[Files, file_option(help="Target text, aligned line by line.")] = None,
    text: Annotated[Files, file_option(help="Instead: text in one language.")] = None,
    side: Annotated[
        Literal["src", "tgt", "both"] | None,
        typer.Option(help="Which side of the pairs is scored.", show_default="both"),
    ] = None,
    keep: Annotated[
        float | None, typer.Option(metavar="SHARE", min=0.0, max=1.0, help="Keep this share of the lines.")
    ] = None,
    threshold: Annotated[float | None, typer.Option(metavar="X", help="Keep lines of this score and below.")] = None,
    output_src: Annotated[Path | None, file_option(help="Where the kept source lines go.")] = None,
    output_tgt: Annotated[Path | None, file_option(help="Where their translations go.")] = None,
    output: Annotated[Path | None, file_option("--output", "-o", help="Where the kept lines of --text go.")] = None,
    scores: Annotated[Path | None, file_option(help="Write the score of every line there.")] = None,
    on_bad_utf8: OnBadUtf8Option = "error",
    precision: Annotated[Literal["auto", "fp32", "bf16"], typer.Option(help="Arithmetic.")] = "fp32",
    device: DeviceOption = "auto",
) -> None:
    """Keep the lines of a corpus that are most like a domain, by cross-entropy difference (Moore & Lewis, 2010).

    A line's score is its cross-entropy, in nats per piece, under the model of the domain less that under the general
    one; with both sides, the sum of both. The lowest are kept, in their order, but no blank lines. The files are read
    twice.

    \b
    Examples:
      nmt lm filter --text web.en --in-domain lm-news --general lm-web \\
          --keep 0.2 --output news.en
      nmt lm filter --src web.en --tgt web.fr --side src \\
          --in-domain lm-news --general lm-web --threshold 0 \\
          --output-src news.en --output-tgt news.fr
    """
    with loading():
        from nmt.io.files import written
        from nmt.lm.filtering import Difference, copy_chosen, differences, lowest, read_sides

    if threshold is not None and not math.isfinite(threshold):
        raise typer.BadParameter("Input should be a finite number", param_hint="'--threshold'")
    sides, outputs = _sides(src, tgt, text, output_src, output_tgt, output)
    if (keep is None) == (threshold is None):
        raise UsageError("give one of --keep and --threshold: which lines are kept")
    _check_files([path for paths in sides for path in paths], [*outputs, *([scores] if scores else [])])
    models = _models(side, in_domain, general, text=bool(text))
    with status("loading the models"):
        judges = [pair and Difference.load(*pair, device=device, precision=precision) for pair in models]
    with ExitStack() as stack:
        # opened before anything is scored: what cannot be written to should not come out hours later
        files = [stack.enter_context(written(path)) for path in outputs]
        score_file = stack.enter_context(written(scores)) if scores else None
        with status("scoring") as show:
            rows = read_sides(sides, on_bad_utf8)
            found = differences(rows, judges, on_rows=lambda done: show(f"{counted(done, 'line')} scored"))
        chosen = found <= threshold if threshold is not None else lowest(found, keep or 0.0)
        copy_chosen(sides, files, chosen, on_bad_utf8)
        if score_file:
            score_file.writelines(f"{score:.6f}\n".encode() for score in found)
    say(f"kept {int(chosen.sum()):,} of {counted(len(chosen), 'line')}")


def _sides(
    src: Files, tgt: Files, text: Files, output_src: Path | None, output_tgt: Path | None, output: Path | None
) -> tuple[list[list[Path]], list[Path]]:
    """Return the files of each side, and where the kept lines of each go."""
    from nmt.corpus.plain import ParallelFiles

    if text:
        if src or tgt or output_src or output_tgt or output is None:
            raise UsageError("--text is filtered into --output, without --src, --tgt and their outputs")
        return [text], [output]
    if not (src and tgt) or output_src is None or output_tgt is None or output is not None:
        raise UsageError("pairs are filtered from --src and --tgt into --output-src and --output-tgt, text from --text")
    files = ParallelFiles(src, tgt, "error", name="")
    return [list(files.src), list(files.tgt)], [output_src, output_tgt]


def _check_files(inputs: Sequence[Path], outputs: Sequence[Path]) -> None:
    """Refuse what can be read only once, two results in one file, and a result in the place of what is read."""
    if STREAM in (*inputs, *outputs):
        raise UsageError("- is no file; the text is read twice, and what is kept goes to files")
    for path in inputs:
        if path.exists() and not path.is_file():
            raise DataError(f"{path} is not a regular file; it is read more than once")
    # Devices such as /dev/null take whatever comes.
    places = [path.resolve() for path in outputs if path.is_file() or not path.exists()]
    for number, place in enumerate(places):
        if place in places[:number]:
            raise UsageError(f"{place} is to hold two results; give each a file of its own")
    refuse_replacing(inputs, outputs)


def _models(
    side: str | None, in_domain: Sequence[Path], general: Sequence[Path], *, text: bool
) -> list[tuple[Path, Path] | None]:
    """Return the two models that judge each side; None: it is not scored."""
    if text and side is not None:
        raise UsageError("--side is about pairs; leave it out with --text")
    wanted = (True,) if text else (side != "tgt", side != "src")
    count = sum(wanted)
    if (len(in_domain), len(general)) != (count, count):
        raise UsageError(
            f"{count} of --in-domain and of --general are needed, one for each side that is scored, found "
            f"{len(in_domain)} and {len(general)}"
        )
    pairs = zip(in_domain, general, strict=True)
    return [next(pairs) if yes else None for yes in wanted]


def _counted(
    found: "Iterable[list[LineScore]]", write: "Callable[[list[LineScore], int], None]", *, visible: bool
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
    table.add_row("lines", f"{totals.lines:,}")
    table.add_row("scored", _how(carried))
    table.add_row("pieces and </s>", f"{totals.pieces:,}")
    table.add_row("unknown", f"{totals.unknown:,}")
    table.add_row("log-probability", f"{totals.log_probability:.2f}")
    table.add_row("perplexity", f"{totals.perplexity:.2f}")
    table.add_row("perplexity per space-separated word", f"{totals.perplexity_per_space_separated_word:.2f}")
    table.add_row("bits a character", f"{totals.bits_per_character:.3f}")
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


def _to_json(number: int, one: "LineScore", pieces: Sequence[str]) -> str:
    record: dict[str, Any] = {
        "line": number,
        "perplexity": _number(one.perplexity),
        "log_probability": one.log_probability,
        "words": one.pieces,
        "pieces": [pieces[index] for index in one.ids],
        "log_probabilities": list(one.log_probs),
    }
    return json.dumps(record, ensure_ascii=False)


def _number(value: float) -> float | None:
    """Return what JSON has a number for."""
    return value if math.isfinite(value) else None


add_command(lm, score)
add_command(lm, generate)
add_command(lm, filter_corpus, name="filter")
