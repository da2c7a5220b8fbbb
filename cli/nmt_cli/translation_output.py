"""How translations are written: text, n-best lists or JSON lines, and files of alignments and pictures beside them."""

import errno
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

from nmt.errors import counted
from nmt_cli.arguments import open_output
from nmt_cli.console import warn

if TYPE_CHECKING:
    from nmt.translate import Translation

_EXAMPLES = 3

Write = Callable[["Sequence[Sequence[Translation]]", int], None]
"""Writes the translations of lines, the first of which has this index, counted from 0."""


@dataclass(frozen=True)
class OutputOptions:
    """Where translations go, and in which form."""

    output: Path
    format: Literal["text", "json"]
    scores: bool
    n_best: bool
    alignment: Path | None
    attention_plot: Path | None


@contextmanager
def writer(options: OutputOptions) -> Iterator[Write]:
    """Give a function that writes to stdout at once, or to files that get their names when all is done.

    Devices and named pipes are written to at once, too: nothing takes their place.

    Raises:
        UsageError: Options exclude each other, or a file stands where a folder has to be.
    """
    from nmt.errors import UsageError
    from nmt.text.alignment import pharaoh

    if options.scores and (options.n_best or options.format == "json"):
        raise UsageError("--scores is for plain text; n-best lists and JSON have scores anyway, so leave it out")
    if options.alignment and options.alignment.resolve() == options.output.resolve():
        raise UsageError(f"translations and alignments cannot both go to {options.alignment}")
    boxes = set[str]()
    with ExitStack() as files:
        out = files.enter_context(open_output(options.output))
        links = files.enter_context(open_output(options.alignment)) if options.alignment else None
        if folder := options.attention_plot:
            if folder.exists() and not folder.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
            folder.mkdir(parents=True, exist_ok=True)

        def write(found: "Sequence[Sequence[Translation]]", first: int) -> None:
            _put(out, _as_text(found, first, options))
            if links:
                _put(links, "".join(pharaoh(best.alignment or ()) + "\n" for best, *_ in found))
            if folder:
                boxes.update(_draw(folder, found, first))

        yield write
    if boxes:
        warn(_without_font(boxes))


def _without_font(characters: set[str]) -> str:
    letters_first = sorted(characters, key=lambda character: (not character.isalpha(), character))
    more = len(characters) - _EXAMPLES
    shown = " ".join(letters_first[:_EXAMPLES]) + (f" and {counted(more, 'other character')}" if more > 0 else "")
    return f"no installed font has {shown}: boxes stand for them in the pictures; install one, of the Noto fonts say"


def _put(file: IO[bytes], text: str) -> None:
    file.write(text.encode("utf-8"))
    file.flush()


def _as_text(found: "Sequence[Sequence[Translation]]", first: int, options: OutputOptions) -> str:
    if options.format == "json":
        records = (
            {"line": number, "translations": [_record(one) for one in translations]}
            for number, translations in enumerate(found, start=first + 1)
        )
        return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    if options.n_best:
        return "".join(
            f"{index} ||| {one.text} ||| {one.score:.4f}\n"
            for index, translations in enumerate(found, start=first)
            for one in translations
        )
    if options.scores:
        return "".join(f"{best.score:.4f}\t{best.text}\n" for best, *_ in found)
    return "".join(f"{best.text}\n" for best, *_ in found)


def _record(one: "Translation") -> dict[str, Any]:
    from nmt.text.alignment import pharaoh

    return {
        "text": one.text,
        "score": one.score,
        "log_probability": one.log_probability,
        "alignment": pharaoh(one.alignment or ()),
        "parts": [
            {"source_pieces": list(part.src), "pieces": [piece for piece in part.tgt if piece]}
            for part in one.details or ()
        ],
    }


def _draw(folder: Path, found: "Sequence[Sequence[Translation]]", first: int) -> Iterator[str]:
    """Draw a picture for each line; return the characters that no font has."""
    from nmt.report.pictures import draw_attention

    for number, (best, *_) in enumerate(found, start=first + 1):
        details = best.details or ()
        for index, part in enumerate(details, start=1):
            suffix, title = (f"-{index}", f", part {index}") if len(details) > 1 else ("", "")
            yield from draw_attention(
                folder / f"line-{number}{suffix}.png",
                src_pieces=part.src,
                tgt_pieces=part.tgt,
                weights=part.attention,
                title=f"line {number}{title}",
            )
