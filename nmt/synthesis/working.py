"""The long work of models that write pairs: it goes on after a kill, and several processes share it."""

import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Final

from nmt.errors import UsageError
from nmt.io.files import Stamp, naming, replacing
from nmt.io.lines import Pair, count_lines
from nmt.io.shards import Shard
from nmt.io.work import shared
from nmt.synthesis.judging import Judge, Outcome, Outputs, as_line, write_shard, write_verdicts
from nmt.translate import Translation, Translator
from nmt.translate.blockwise import BlockPart, LongText, key_of, translate_in_blocks
from nmt.translate.flow import OnLines, Translations
from nmt.translate.translator import Job

_JUDGED_AT_ONCE: Final = 500
"""Pairs: so many that models read them in large batches."""

Written = Sequence[tuple[Pair, list[Translation]]]
"""What is known of some pairs, and what models have written for them, best first."""
OnFound = Callable[[Translations], None]


@dataclass(frozen=True)
class Writing:
    """One side of pairs, which models translate to write the other."""

    pairs: Iterable[Pair]
    """What is known of them."""
    text_of: Callable[[Pair], str]
    """What is translated of each; nothing where it is to be left alone."""
    complete: Callable[[Written], list[Pair]]
    """Makes pairs of the translations."""
    job: Job
    judge: Judge
    stamps: Sequence[Stamp] = ()
    """Of the files that the pairs are read from, before what the key says of them was found out."""


class LoadedOnce(partial[Translator]):
    """What loads a translator, once in a process, whoever calls it."""

    def __call__(self) -> Translator:
        """Return what was loaded when this was first called."""
        if "_loaded" not in self.__dict__:
            self.__dict__["_loaded"] = super().__call__()
        loaded: Translator = self.__dict__["_loaded"]
        return loaded

    def __reduce__(self) -> tuple[Any, ...]:
        """Let other processes load it for themselves."""
        return partial(LoadedOnce, self.func, *self.args, **self.keywords), ()


def write_pairs(
    writings: Sequence[Writing],
    outputs: Outputs,
    key: dict[str, str],
    *,
    shard: Shard | None = None,
    meet: Callable[[Path], AbstractContextManager[object]] = nullcontext,
    on_lines: OnLines = lambda lines, pieces: None,
    on_found: OnFound = lambda found: None,
) -> Outcome:
    """Let models translate, and write the pairs that are fit for training.

    What is done lies in a hidden folder beside the pairs: after a kill the same call goes on from there, and several
    processes that make it at once share the work.

    Args:
        key: All that the pairs depend on, for `nmt.io.work.shared`.
        shard: Do only its blocks, and write `OUTPUT.I-of-N` for each output, for `nmt.io.shards.join_shards`.
        meet: Waits for all processes that were started together to share the work; see `translate_in_blocks`.
        on_lines: Is told how many lines are translated, and how many pieces of them were read.
        on_found: Is given what this process translates.

    Raises:
        DataError: Text cannot be read, or another process makes these pairs otherwise.
        ModelError: A model gives scores that are not finite numbers.
        UsageError: A shard is to keep a share of all pairs.
        NmtError: The processes see no common folder, or a text was written before it was read.
    """
    if shard and outputs.keep_share < 1:
        raise UsageError("--keep-share compares all pairs, and a shard has some of them; use --max-disagreement")
    target = shard.name(outputs.pairs) if shard else outputs.pairs
    with naming(target), shared(target, key) as folder, meet(folder):
        done, blocks, files = 0, 0, list[Path]()
        for number, writing in enumerate(writings):
            text = _read(writing, folder / str(number))
            own = shard.after(blocks) if shard else None
            on_these = partial(lambda before, lines, pieces: on_lines(before + lines, pieces), done)
            files.append(_work_on(writing, text, key, shard=own, on_lines=on_these, on_found=on_found))
            done += text.lines_in(own) if own else text.lines
            blocks += text.blocks
        if shard:
            return write_shard(files, outputs, shard, key, blocks=blocks)
        return write_verdicts(files, outputs)


def _read(writing: Writing, name: Path) -> LongText:
    """Write what is known of pairs, and the text to translate, unless they are there."""
    texts, known = name.with_suffix(".text"), name.with_suffix(".known")
    if not known.exists():
        with replacing(known) as pairs, replacing(texts) as file:  # so that whoever sees the pairs sees the texts too
            for pair in writing.pairs:
                pairs.write(json.dumps(pair, ensure_ascii=False).encode() + b"\n")
                file.write(writing.text_of(pair).encode() + b"\n")
            for stamp in writing.stamps:
                stamp.check()
    return LongText(texts, count_lines(texts) or 0)


def _work_on(
    writing: Writing, text: LongText, key: dict[str, str], *, shard: Shard | None, on_lines: OnLines, on_found: OnFound
) -> Path:
    """Make the verdicts of one writing, or of its part in a shard, unless they are there; return their file."""
    verdicts = text.path.with_suffix(".verdicts")
    made = shard.name(verdicts) if shard else verdicts
    if not made.exists():
        found = translate_in_blocks(writing.job, text, [verdicts], key, shard=shard, on_lines=on_lines)
        with closing(found) as parts:
            _judge(writing, parts, text, text.path.with_suffix(".known"), on_found=on_found)
    return made


def _judge(writing: Writing, parts: Iterable[BlockPart], text: LongText, known: Path, *, on_found: OnFound) -> None:
    """Write verdicts to the files of the parts, many at once and at the end of each block."""
    waiting = list[tuple[Pair, list[Translation]]]()
    with closing(_Numbered(known)) as numbered:
        for part in parts:
            end = part.first + len(part.found)
            on_found(part.found)
            waiting += zip(numbered.take(part.first, end), part.found, strict=True)
            if len(waiting) >= _JUDGED_AT_ONCE or end == text.lines or end % text.block == 0:
                for verdict in writing.judge(writing.complete(waiting)):
                    part.files[0].write(as_line(verdict))
                waiting = []


class _Numbered:
    """Lines of a file of pairs, by their numbers; those that come next are the cheapest."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._next = 0

    def take(self, first: int, end: int) -> list[Pair]:
        """Return the pairs from number `first`, counted from 0, to the one before `end`."""
        if first < self._next:
            self._next = self._file.seek(0)
        lines = list(islice(self._file, first - self._next, end - self._next))
        self._next = end
        return [Pair(*json.loads(line)) for line in lines]

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def key_of_pairs(origin: Path, job: Job, **rules: Any) -> dict[str, str]:
    """Name what synthetic pairs depend on: the text of `origin`, or the manifest of its data, what translates it, and
    the rules of their choice."""
    return key_of(LongText(origin, 0), job, **{name: str(rule) for name, rule in rules.items()})
