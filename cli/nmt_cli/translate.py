"""`nmt translate`: lines in, translations out in the same order, with files of alignments and pictures beside them."""

import errno
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from nmt.errors import NmtError, UsageError, counted
from nmt_cli.pace import LinePace, count_lines
from nmt_cli.terminal import (
    MEMORY,
    STREAM,
    DeviceOption,
    EnsembleOption,
    LanguageModelOption,
    ModelDir,
    OnBadUtf8Option,
    RescoringOption,
    SeedOption,
    TagOption,
    TemperatureOption,
    TopKOption,
    TopPOption,
    block_of,
    check_language_options,
    console,
    count_option,
    is_typed,
    loading,
    open_lines,
    open_output,
    refuse_replacing,
    sampling_with,
    say,
    setting,
    status,
    warn,
    with_search_options,
)

if TYPE_CHECKING:
    from nmt.io.arriving import LineSource
    from nmt.translate import Options, Translation
    from nmt.translate.flow import Translations
    from nmt.translate.translator import Job

_SHOWN: Final = 20
"""Characters of markup that a warning shows."""
_EXAMPLES: Final = 3

_output = partial(typer.Option, rich_help_panel="Output")
_words = partial(typer.Option, rich_help_panel="Words")
_text = partial(typer.Option, rich_help_panel="Text")


@with_search_options
def translate(
    model_dir: ModelDir,
    source: Annotated[
        Path, typer.Argument(metavar="INPUT", help="Text to translate, one sentence per line; - is stdin.")
    ] = STREAM,
    output: Annotated[Path, _output("--output", "-o", metavar="FILE", help="The translations; - is stdout.")] = STREAM,
    n_best: Annotated[
        int,
        count_option(
            max=1000,
            help="Up to N lines per input line, in the format of Moses: `line ||| text ||| score`, the first line "
            "being 0 (in JSON and in pictures, 1).",
            rich_help_panel="Search",
        ),
    ] = 1,
    lm: LanguageModelOption = None,
    lm_rescore: RescoringOption = False,
    memory: Annotated[
        Path | None,
        typer.Option(
            metavar="MEMORY_DIR",
            help="Translation memory that `nmt memory build` wrote: lines that it has come back as they stand there, "
            "others are translated beside similar ones.",
            rich_help_panel=MEMORY,
        ),
    ] = None,
    sample: Annotated[
        bool, typer.Option("--sample", help="Sample `--n-best` translations.", rich_help_panel="Sampling")
    ] = False,
    temperature: TemperatureOption = None,
    top_k: TopKOption = None,
    top_p: TopPOption = None,
    seed: SeedOption = None,
    terms: Annotated[
        Path | None, _words(metavar="FILE", help="Terminology, one `source term <tab> target term` per line.")
    ] = None,
    must: Annotated[
        list[str] | None, _words(metavar="WORDS", help="Words that every translation contains; repeatable.")
    ] = None,
    must_not: Annotated[
        list[str] | None, _words(metavar="WORDS", help="Words that no translation has, in just this form; repeatable.")
    ] = None,
    prefix_after_tab: Annotated[
        bool, _words("--prefix-after-tab", help="Input lines are `source <tab> how the translation begins`.")
    ] = False,
    replace_unknown: Annotated[
        bool, _words("--replace-unknown", help="Replace <unk> by the source word with the most attention.")
    ] = False,
    dictionary: Annotated[
        Path | None,
        _words(
            metavar="FILE",
            help="Lines of `source word <tab> target word` for --replace-unknown, which it turns on, and for what is "
            "carried over.",
        ),
    ] = None,
    document: Annotated[
        bool, _text("--document", help="Lines are paragraphs: their sentences are translated one by one and joined.")
    ] = False,
    markup: Annotated[
        bool, _text("--markup", help="Keep tags, scripts, code, {placeholders} and format codes, over line ends too.")
    ] = False,
    tag: TagOption = None,
    keep: Annotated[str | None, _text(metavar="REGEX", help="Keep what matches as well; turns on --markup.")] = None,
    on_bad_utf8: OnBadUtf8Option = "error",
    output_format: Annotated[
        Literal["text", "json"],
        _output("--format", help="json: an object per line with scores, pieces and alignments."),
    ] = "text",
    scores: Annotated[
        bool, _output("--scores", help="Put the score and a tab before each translation of plain text.")
    ] = False,
    alignment: Annotated[
        Path | None, _output(metavar="FILE", help="Write word alignments as `0-0 1-2`, source-target, without markup.")
    ] = None,
    attention_plot: Annotated[
        Path | None, _output(metavar="DIR", help="Draw each line's attention there as a PNG; needs the extra `plot`.")
    ] = None,
    ensemble: EnsembleOption = None,
    precision: Annotated[Literal["auto", "fp32", "bf16", "int8"] | None, setting("precision")] = None,
    device: DeviceOption = "auto",
    workers: Annotated[int, count_option(help="Processes; each uses one CPU core.", rich_help_panel="Computation")] = 1,
    *,
    search: dict[str, Any],
) -> None:
    """Translate a file or stdin, one output line for each input line.

    Lines from stdin are translated as they arrive.

    \b
    Examples:
      nmt translate models/en-fr test.en --output test.fr
      echo "A dog runs." | nmt translate models/en-fr
      nmt translate models/en-fr big.en --workers 4 > big.fr
      nmt translate models/en-fr test.en --n-best 5 --format json > test.jsonl
      nmt translate models/en-fr test.en --lm models/lm-fr --lm-weight 0.1
      nmt translate models/en-fr manual.en --memory manual.tm > manual.fr
    """
    with loading(visible=not is_typed(source)):
        from nmt.io.compressed import refuse_markup
        from nmt.markup.spans import compile_pattern
        from nmt.translate import Options, Translator
        from nmt.translate.options import Terminology, load_dictionary
        from nmt.translate.translator import Job

    check_language_options(lm, weight=search.get("lm_weight"), rescoring=lm_rescore)
    drawing = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "seed": seed}
    _refuse_needless(drawing if not sample else {}, search if memory is None else {})
    read = [path for path in (source, terms, dictionary) if path is not None]
    refuse_replacing(read, [output, *([alignment] if alignment else [])])
    options = Options(
        **search,
        n_best=n_best,
        lm_rescore=lm_rescore,
        sampling=sampling_with(**drawing) if sample else None,
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
    beside = {"language_model": lm, "memory": memory}
    load = partial(Translator.load, model_dir, *(ensemble or ()), device=device, precision=precision, **beside)
    job = Job(load, options, workers)
    form = OutputOptions(output, output_format, scores, n_best > 1, alignment, attention_plot, memory is not None)
    if not options.markup:
        refuse_markup(source, "--markup translates its text and keeps the rest")
    name, lines = open_lines(source, on_bad_utf8, in_sections=True)
    _warn_of_workers(workers, device)
    _say_precision(model_dir, precision, device, output)
    with _noticing(lines, options, name=name) as watched:
        _write(job, watched, form, name=name, source=source)


def _refuse_needless(drawing: dict[str, Any], search: dict[str, Any]) -> None:
    """Refuse options about samples, or those about a memory among all of the search, where there are none."""
    of_memory = {name: value for name, value in search.items() if name.startswith("memory_")}
    for options, what, needed in ((drawing, "sampling", "--sample"), (of_memory, "a memory", "--memory")):
        for name in [name for name, value in options.items() if value is not None]:
            raise UsageError(f"--{name.replace('_', '-')} is about {what}; it needs {needed}")


def _shows_progress(output: Path) -> bool:
    """Whether progress shows: on a terminal, and not between results."""
    return console.is_terminal and (output != STREAM or not sys.stdout.isatty())


def _warn_of_workers(workers: int, device: str) -> None:
    """Warn where they would share a GPU."""
    import torch

    if workers > 1 and device != "cpu" and torch.cuda.is_available():
        warn(f"--workers {workers} is for CPUs: on a GPU each has a model of its own, and together they are no faster")


def _say_precision(folder: Path, asked: str | None, device: Literal["auto", "cpu", "cuda"], output: Path) -> None:
    """Say which arithmetic "auto" is here, if that is what is asked for and progress shows."""
    if not _shows_progress(output):
        return
    from nmt.models.devices import choose_device, why_auto
    from nmt.models.folder import read_settings

    with suppress(NmtError):  # which loading the model tells
        if (asked or read_settings(folder).search.precision) == "auto":
            say(why_auto(choose_device(device)))


@contextmanager
def _noticing(lines: "LineSource", options: "Options", *, name: str) -> "Iterator[LineSource]":
    """Give the lines of the input `name`, and warn of what their markup, or the lack of --markup, does to them."""
    from nmt.io.compressed import begins_markup
    from nmt.markup.scanning import LINES, Unclosed

    begun = False

    def watch_for_markup(taken: list[str]) -> None:
        nonlocal begun
        first = "" if begun else next(filter(str.strip, taken), "")
        begun = begun or bool(first)
        if begins_markup(first):
            warn(f"{name} begins as HTML or XML, but is translated as plain text; --markup keeps its tags")

    if not options.markup:
        lines.watch = watch_for_markup
        yield lines
        return
    unclosed = Unclosed(options.keep)

    def watch_tags(taken: list[str]) -> None:
        for number, text in unclosed.read(options.text_of(line)[0] for line in taken):
            warn(f"{name}, line {number}: {text[:_SHOWN]!r} is not closed in {LINES} lines, which are kept as they are")

    lines.watch = watch_tags
    yield lines
    if unclosed.place:
        number, text = unclosed.place
        warn(f"{name}, line {number}: {text[:_SHOWN]!r} is never closed, so all that follows was kept as it is")


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


def _write(job: "Job", lines: "LineSource", form: OutputOptions, *, name: str, source: Path) -> None:
    """Translate the lines of the input `name`, write what is found as it is found, and say what was lost."""
    visible = _shows_progress(form.output)
    pace, done, known = LinePace(of=count_lines(source) if visible else None), 0, Counter[str]()
    with status("loading the model", visible=visible) as show:

        def on_lines(count: int) -> None:
            show(pace.reach(count))

        translations = job.translate(lines, block=block_of(source), on_lines=on_lines)
        with closing(translations), writer(form) as write:
            for found in translations:
                write(found, done)
                known.update(map(_knowledge_of, found))
                warn_of_cuts_and_losses(found, done, name=name, document=job.options.document)
                done += len(found)
    if visible and done:
        say(pace.summary(done))
    if form.memory:
        exact = counted(known["exact"], "line")
        say(f"memory: {exact} that it has, {known['near']:,} beside similar pairs, {known['new']:,} without any")


def _knowledge_of(found: "Sequence[Translation]") -> Literal["exact", "near", "new"]:
    """Say how well the memory knows a line, of which these are the translations."""
    matches = found[0].matches
    return "exact" if matches and all(match.exact for match in matches) else "near" if matches else "new"


def warn_of_cuts_and_losses(found: "Translations", done: int, *, name: str, document: bool) -> None:
    """Say which lines after the first `done` were translated in parts, and which lack numbers or URLs."""
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


@contextmanager
def writer(options: OutputOptions) -> "Iterator[Callable[[Translations, int], None]]":
    """Give a function that writes the translations of lines, the first of which has this index, counted from 0.

    It writes to stdout, devices and named pipes at once, and to files that get their names when all is done.
    """
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

        def write(found: "Translations", first: int) -> None:
            _put(out, _as_lines(found, first, options))
            if links:
                _put(links, (pharaoh(best.alignment or ()) for best, *_ in found))
            if folder:
                boxes.update(_draw(folder, found, first))

        yield write
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
            record: dict[str, Any] = {"line": index + 1, "translations": [_to_tree(one) for one in translations]}
            if options.memory:
                record["memory"] = [asdict(match) for match in best.matches]
            yield json.dumps(record, ensure_ascii=False)
        elif options.n_best:
            yield from (f"{index} ||| {one.text} ||| {one.score:.4f}" for one in translations)
        else:
            yield f"{best.score:.4f}\t{best.text}" if options.scores else best.text


def _to_tree(one: "Translation") -> dict[str, Any]:
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
