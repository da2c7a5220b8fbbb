"""Translations on their way out: text, n-best lists or JSON, with alignments and pictures beside them."""

import errno
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, Literal

from nmt.errors import UsageError, counted
from nmt_cli.terminal import open_output, warn

if TYPE_CHECKING:
    from nmt.translate import Translation
    from nmt.translate.flow import Translations

_EXAMPLES: Final = 3


@dataclass(frozen=True)
class OutputOptions:
    """Where translations go, and in which form."""

    output: Path
    format: Literal["text", "json"]
    scores: bool
    n_best: bool
    alignment: Path | None
    attention_plot: Path | None
    memory: bool
    """Whether there is one, so that it is said what it has."""
    score_name: str = "score"
    """What the score of a translation is called in JSON."""

    @property
    def files(self) -> list[Path]:
        """What lines are written to."""
        return [self.output, *([self.alignment] if self.alignment else [])]


@contextmanager
def writer(options: OutputOptions) -> "Iterator[Callable[[Translations, int], None]]":
    """Give a function that writes the translations of lines, the first of which has this index, counted from 0.

    It writes to stdout, devices and named pipes at once, and to files that get their names when all is done.
    """
    with formed(options) as put, ExitStack() as stack:
        files = [stack.enter_context(open_output(path)) for path in options.files]
        yield lambda found, first: put(found, first, files)


@contextmanager
def formed(options: OutputOptions) -> "Iterator[Callable[[Translations, int, Sequence[IO[bytes]]], None]]":
    """Give a function that writes translations as `writer` does, to one open file for each that the options name."""
    from nmt.text.alignment import pharaoh

    if options.scores and (options.n_best or options.format == "json"):
        raise UsageError("--scores is for plain text; n-best lists and JSON have scores anyway, so leave it out")
    if options.alignment and options.alignment.resolve() == options.output.resolve():
        raise UsageError(f"translations and alignments cannot both go to {options.alignment}")
    boxes = set[str]()
    if folder := options.attention_plot:
        if folder.exists() and not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
        folder.mkdir(parents=True, exist_ok=True)

    def put(found: "Translations", first: int, files: Sequence[IO[bytes]]) -> None:
        out, *links = files
        _put(out, _as_lines(found, first, options))
        for file in links:
            _put(file, (pharaoh(best.alignment or ()) for best, *_ in found))
        if folder:
            boxes.update(_draw(folder, found, first))

    yield put
    if boxes:
        letters_first = sorted(boxes, key=lambda character: (not character.isalpha(), character))
        more = len(boxes) - _EXAMPLES
        shown = " ".join(letters_first[:_EXAMPLES]) + (f" and {counted(more, 'other character')}" if more > 0 else "")
        warn(f"no installed font has {shown}: boxes stand for them in the pictures; install one, of the Noto fonts say")


def _put(file: IO[bytes], lines: Iterable[str]) -> None:
    file.write("".join(f"{line}\n" for line in lines).encode("utf-8"))
    file.flush()


def _as_lines(found: "Translations", first: int, options: OutputOptions) -> Iterator[str]:
    for index, translations in enumerate(found, start=first):
        best = translations[0]
        if options.format == "json":
            record: dict[str, Any] = {
                "line": index + 1,
                "translations": [_to_tree(one, options.score_name) for one in translations],
            }
            if options.memory:
                record["memory"] = [asdict(match) for match in best.matches]
            yield json.dumps(record, ensure_ascii=False)
        elif options.n_best:
            yield from (f"{index} ||| {one.text} ||| {one.score:.4f}" for one in translations)
        else:
            yield f"{best.score:.4f}\t{best.text}" if options.scores else best.text


def _to_tree(one: "Translation", score_name: str) -> dict[str, Any]:
    from nmt.text.alignment import pharaoh

    return {
        "text": one.text,
        score_name: one.score,
        "log_probability": one.log_probability,
        "alignment": pharaoh(one.alignment or ()),
        "parts": [
            {"source_pieces": list(part.src), "pieces": [piece for piece in part.tgt if piece]}
            for part in one.details or ()
        ],
    }


def _draw(folder: Path, found: "Translations", first: int) -> Iterator[str]:
    """Draw a picture for each line; give the characters that no font has."""
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


class OutputTally:
    """What has been written, what was warned of, and what a memory knew."""

    def __init__(self, name: str, *, document: bool) -> None:
        self.lines = 0
        self._name, self._document = name, document
        self._known, self._warned = Counter[str](), Counter[str]()

    def add(self, found: "Translations", first: int) -> None:
        """Count translations of lines from this one on, counted from 0, and warn of what is wrong with them."""
        self.lines += len(found)
        self._known.update(map(_knowledge_of, found))
        self._warned += warn_of_cuts_and_losses(found, first, name=self._name, document=self._document)

    def warned_of(self) -> list[str]:
        """Count the warnings by kind."""
        return counted_kinds(self._warned)

    def of_memory(self) -> str:
        """Tell how many lines the memory knew."""
        exact, known = counted(self._known["exact"], "line"), self._known
        beside = f"{known['near']:,} translated beside similar pairs, {known['new']:,} without any"
        return f"memory: {exact} taken from it, {beside}"


def _knowledge_of(found: "Sequence[Translation]") -> Literal["exact", "near", "new"]:
    """Say how well the memory knows a line, of which these are the translations."""
    matches = found[0].matches
    return "exact" if matches and all(match.exact for match in matches) else "near" if matches else "new"


def warn_of_cuts_and_losses(found: "Translations", done: int, *, name: str, document: bool) -> Counter[str]:
    """Say which lines after the first `done` were translated in parts, and which lack numbers or URLs; count both."""
    hint = "" if document else "; --document translates sentences one by one"
    cuts, losses = list[str](), list[str]()
    for number, translations in enumerate(found, start=done + 1):
        best = translations[0]
        if best.cut:
            cuts.append(f"line {number}: too long for the model, so it was translated in {best.parts} parts{hint}")
        for rank, one in enumerate(translations, start=1):
            which = f"translation {rank}" if len(translations) > 1 else "the translation"
            if one.lost:
                losses.append(f"line {number}: {which} found no place for {', '.join(one.lost)}")
    for message in (*cuts, *losses):
        warn(f"{name}, {message}")
    return warnings_of(found)


def warnings_of(found: "Translations") -> Counter[str]:
    """Count, by kind, the lines that `warn_of_cuts_and_losses` warns of."""
    cut = sum(best.cut for best, *_ in found)
    lost = sum(any(one.lost for one in translations) for translations in found)
    return +Counter({"translated in parts": cut, "something without a place": lost})


def counted_kinds(warned: Counter[str]) -> list[str]:
    """Say how many lines were warned of, by kind."""
    return [f"{kind}: {counted(number, 'line')}" for kind, number in warned.items()]
