"""`nmt lm filter`: the lines of a large corpus that are like a small one."""

import math
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Final, Literal

import typer

from nmt.errors import counted
from nmt_cli.arguments import STREAM, OnBadUtf8Option, refuse_replacing
from nmt_cli.console import say, status

Side = Literal["src", "tgt", "both"]

_SCORED: Final[dict[Side, tuple[bool, bool]]] = {"src": (True, False), "tgt": (False, True), "both": (True, True)}

Files = list[Path] | None


def _finite(value: float | None) -> float | None:
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter("Input should be a finite number")
    return value


def filter_corpus(
    in_domain: Annotated[
        list[Path], typer.Option(metavar="LM", help="Model of the domain; two for both sides, source first.")
    ],
    general: Annotated[list[Path], typer.Option(metavar="LM", help="Model of text of all kinds; two for both sides.")],
    src: Annotated[Files, typer.Option(metavar="FILE", help="Source text; repeatable.")] = None,
    tgt: Annotated[Files, typer.Option(metavar="FILE", help="Its translation, line by line.")] = None,
    text: Annotated[Files, typer.Option(metavar="FILE", help="Instead: text in one language.")] = None,
    side: Annotated[Side | None, typer.Option(help="Which side of the pairs is scored.", show_default="both")] = None,
    keep: Annotated[
        float | None, typer.Option(metavar="SHARE", min=0.0, max=1.0, help="Keep this share of the lines.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(metavar="X", callback=_finite, help="Keep lines of this score and below.")
    ] = None,
    output_src: Annotated[Path | None, typer.Option(metavar="FILE", help="Where the kept source lines go.")] = None,
    output_tgt: Annotated[Path | None, typer.Option(metavar="FILE", help="Where their translations go.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Where the kept lines of --text go.")
    ] = None,
    scores: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the score of every line there.")] = None,
    on_bad_utf8: OnBadUtf8Option = "error",
    precision: Annotated[Literal["auto", "fp32", "bf16"], typer.Option(help="Arithmetic.")] = "fp32",
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Where to compute.")] = "auto",
) -> None:
    """Keep the lines of a corpus that are most like a domain, by cross-entropy difference (Moore & Lewis, 2010).

    A line's score is its cross-entropy, in nats a piece, under the model of the domain less that under the general
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
    from nmt.errors import UsageError
    from nmt.io.files import written
    from nmt.lm.filtering import Difference, at_most, copy_chosen, differences, lowest, read_sides

    sides, outputs = _sides(src, tgt, text, output_src, output_tgt, output)
    if (keep is None) == (threshold is None):
        raise UsageError("give one of --keep and --threshold: which lines are kept")
    _check_files([path for paths in sides for path in paths], [*outputs, *([scores] if scores else [])])
    models = _models(side, in_domain, general, text=bool(text))
    judges = [pair and Difference.load(*pair, device=device, precision=precision) for pair in models]
    with ExitStack() as stack:
        # opened before anything is scored: what cannot be written to should not come out hours later
        files = [stack.enter_context(written(path)) for path in outputs]
        score_file = stack.enter_context(written(scores)) if scores else None
        with status("scoring") as show:
            rows = read_sides(sides, on_bad_utf8)
            found = differences(rows, judges, on_rows=lambda done: show(f"{counted(done, 'line')} scored"))
        chosen = at_most(found, threshold) if threshold is not None else lowest(found, keep or 0.0)
        copy_chosen(sides, files, chosen, on_bad_utf8)
        if score_file:
            score_file.writelines(f"{score:.6f}\n".encode() for score in found)
    say(f"kept {int(chosen.sum()):,} of {counted(len(chosen), 'line')}")


def _sides(
    src: Files, tgt: Files, text: Files, output_src: Path | None, output_tgt: Path | None, output: Path | None
) -> tuple[list[list[Path]], list[Path]]:
    """Return the files of each side, and where the kept lines of each go."""
    from nmt.corpus.plain import ParallelFiles
    from nmt.errors import UsageError

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
    from nmt.errors import DataError, UsageError

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
    side: Side | None, in_domain: Sequence[Path], general: Sequence[Path], *, text: bool
) -> list[tuple[Path, Path] | None]:
    """Return the two models that judge each side; None: it is not scored."""
    from nmt.errors import UsageError

    if text and side is not None:
        raise UsageError("--side is about pairs; leave it out with --text")
    wanted = (True,) if text else _SCORED[side or "both"]
    count = sum(wanted)
    if (len(in_domain), len(general)) != (count, count):
        raise UsageError(
            f"{count} of --in-domain and of --general are needed, one for each side that is scored, found "
            f"{len(in_domain)} and {len(general)}"
        )
    pairs = zip(in_domain, general, strict=True)
    return [next(pairs) if yes else None for yes in wanted]
