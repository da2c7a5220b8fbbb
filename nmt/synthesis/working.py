"""The long work of models that write pairs: it goes on after a kill, and several processes share it."""

import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Final

from nmt.io.files import replacing
from nmt.io.lines import Pair, count_lines
from nmt.io.work import shared
from nmt.synthesis.judging import Judge, Outcome, Outputs, as_line, write_verdicts
from nmt.translate import Translation
from nmt.translate.blockwise import BlockPart, LongText, key_of, translate_in_blocks
from nmt.translate.flow import OnLines
from nmt.translate.translator import Job

_JUDGED_AT_ONCE: Final = 500
"""Pairs: so many that models read them in large batches."""

Written = Sequence[tuple[Pair, list[Translation]]]
"""What is known of some pairs, and what models have written for them, best first."""


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


def write_pairs(
    writings: Sequence[Writing],
    outputs: Outputs,
    key: dict[str, str],
    *,
    keep_share: float = 1.0,
    changed: Callable[[Pair], Pair] = lambda pair: pair,
    on_lines: OnLines = lambda lines, pieces: None,
) -> Outcome:
    """Let models translate, and write the pairs that are fit for training.

    What is done lies in a hidden folder beside the pairs: after a kill the same call goes on from there, and several
    processes that make it at once share the work.

    Args:
        key: All that the verdicts depend on, for `nmt.io.work.shared`.
        keep_share: See `write_verdicts`, as for `changed`.
        on_lines: Is told how many lines are translated, and how many pieces of them were read.

    Raises:
        DataError: Text cannot be read, or another process makes these pairs otherwise.
        ModelError: A model gives scores that are not finite numbers.
    """
    with shared(outputs.pairs, key) as folder:
        done, translated, files = 0, 0, list[Path]()
        for number, writing in enumerate(writings):
            name = folder / str(number)
            lines, own = _work_on(writing, name, key, partial(_report, on_lines, done))
            done, translated = done + lines, translated + own
            files.append(_verdicts(name))
        outcome = write_verdicts(files, outputs, keep_share=keep_share, changed=changed)
        return replace(outcome, translated=translated)


def _report(on_lines: OnLines, before: int, lines: int, pieces: int) -> None:
    on_lines(before + lines, pieces)


def _verdicts(name: Path) -> Path:
    return name.with_suffix(".verdicts")


def _work_on(writing: Writing, name: Path, key: dict[str, str], on_lines: OnLines) -> tuple[int, int]:
    """Make the verdicts of one writing unless they are there; return how many lines it has, and how many of them were
    translated here."""
    texts, known = name.with_suffix(".text"), name.with_suffix(".known")
    if not known.exists():
        with replacing(known) as pairs, replacing(texts) as file:  # so that whoever sees the pairs sees the texts too
            for pair in writing.pairs:
                pairs.write(json.dumps(pair, ensure_ascii=False).encode() + b"\n")
                file.write(writing.text_of(pair).encode() + b"\n")
    text = LongText(texts, count_lines(texts) or 0)
    if _verdicts(name).exists():
        return text.lines, 0
    with closing(translate_in_blocks(writing.job, text, [_verdicts(name)], key, on_lines=on_lines)) as parts:
        return text.lines, _judge(writing, parts, text, known)


def _judge(writing: Writing, parts: Iterable[BlockPart], text: LongText, known: Path) -> int:
    """Write verdicts to the files of the parts, many at once and at the end of each block; return how many."""
    waiting, count = list[tuple[Pair, list[Translation]]](), 0
    with closing(_Numbered(known)) as numbered:
        for part in parts:
            end = part.first + len(part.found)
            waiting += zip(numbered.take(part.first, end), part.found, strict=True)
            count += len(part.found)
            if len(waiting) >= _JUDGED_AT_ONCE or end == text.lines or end % text.block == 0:
                for verdict in writing.judge(writing.complete(waiting)):
                    part.files[0].write(as_line(verdict))
                waiting = []
    return count


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
