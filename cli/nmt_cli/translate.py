"""`nmt translate`: lines in, translations out, in the same order."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Final, Literal, cast

import typer

from nmt_cli.console import console, progress, warn
from nmt_cli.options import OnBadUtf8Option

if TYPE_CHECKING:
    from io import BufferedReader

    from nmt.translate import Translation

_BLOCK_LINES: Final = 4000
_STREAM: Final = Path("-")


def translate(
    model_dir: Annotated[Path, typer.Argument(metavar="MODEL_DIR", help="Folder that `nmt train` wrote.")],
    source: Annotated[
        Path, typer.Argument(metavar="INPUT", help="Text to translate, one sentence a line; - is stdin.")
    ] = _STREAM,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where translations go; - is stdout.")] = _STREAM,
    beam_size: Annotated[
        int | None, typer.Option("--beam", min=1, help="Hypotheses kept at each step.", show_default="the model's")
    ] = None,
    length_penalty: Annotated[
        float | None,
        typer.Option(min=0.0, help="Exponent of the length normalisation; 0: none.", show_default="the model's"),
    ] = None,
    n_best: Annotated[
        int,
        typer.Option(
            min=1,
            help="Above 1: up to so many lines for each input line, as `index ||| text ||| score`, the index from 0.",
        ),
    ] = 1,
    scores: Annotated[bool, typer.Option("--scores", help="Put the score and a tab before each translation.")] = False,
    batch_tokens: Annotated[
        int | None,
        typer.Option(min=1, help="Rows x beams x longest source of a batch.", show_default="the model's"),
    ] = None,
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Where to compute.")] = "auto",
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0: one for each core.")] = 0,
    on_bad_utf8: OnBadUtf8Option = "error",
) -> None:
    """Translate a file or stdin, one output line for each input line.

    From stdin, whatever has arrived is translated at once.

    \b
    Examples:
      nmt translate models/en-fr test.en --output test.fr
      echo "A dog runs." | nmt translate models/en-fr
      nmt translate models/en-fr test.en --beam 10 --n-best 10 > test.nbest
    """
    from nmt.corpus.reading import read_lines
    from nmt.models.devices import use_threads
    from nmt.streams import arriving_blocks, in_blocks
    from nmt.translate import Translator

    if source == _STREAM:
        stdin = cast("BufferedReader", sys.stdin.buffer)
        name, blocks = "<stdin>", arriving_blocks(stdin, "<stdin>", on_bad_utf8)
    else:
        name, blocks = str(source), in_blocks(read_lines(source, on_bad_utf8), _BLOCK_LINES)
    use_threads(threads)
    translator = Translator.load(model_dir, device=device)
    done = 0
    with _writer(output) as write, _counter(visible=output != _STREAM or not sys.stdout.isatty()) as show:
        for block in blocks:
            found = translator.translate(
                block, beam_size=beam_size, length_penalty=length_penalty, batch_tokens=batch_tokens, n_best=n_best
            )
            write(_moses(found, done) if n_best > 1 else _plain(found, scores=scores))
            _warn_of_cuts(found, done, name=name, limit=translator.settings.data.max_pieces)
            done += len(block)
            show(done)


def _plain(found: "Sequence[Sequence[Translation]]", *, scores: bool) -> str:
    if scores:
        return "".join(f"{best.score:.4f}\t{best.text}\n" for best, *_ in found)
    return "".join(f"{best.text}\n" for best, *_ in found)


def _moses(found: "Sequence[Sequence[Translation]]", first: int) -> str:
    return "".join(
        f"{index} ||| {one.text} ||| {one.score:.4f}\n"
        for index, translations in enumerate(found, start=first)
        for one in translations
    )


def _warn_of_cuts(found: "Sequence[Sequence[Translation]]", done: int, *, name: str, limit: int) -> None:
    for number, (best, *_) in enumerate(found, start=done + 1):
        if best.parts > 1:
            warn(f"{name}, line {number}: longer than {limit} pieces, so it was translated in {best.parts} parts")


@contextmanager
def _writer(output: Path) -> Iterator[Callable[[str], None]]:
    """Give a function that writes to stdout at once, or to a file that gets its name when all is done."""
    from nmt.files import replacing

    def to(file: IO[bytes]) -> Callable[[str], None]:
        def write(text: str) -> None:
            file.write(text.encode("utf-8"))
            file.flush()

        return write

    if output == _STREAM:
        yield to(sys.stdout.buffer)
        return
    with replacing(output) as file:
        yield to(file)


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
