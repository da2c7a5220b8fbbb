"""Synthetic pairs on their way to a corpus: judged, counted by reason, and written."""

import json
import math
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Final, Literal, NamedTuple, TypeVar

from nmt.config import DataSettings
from nmt.corpus.cleaning import REASONS, Cleaner, Reason, make_cleaner
from nmt.corpus.hashes import Overlap
from nmt.corpus.plain import TextFiles
from nmt.io.arriving import FileLines
from nmt.io.files import naming, written
from nmt.io.lines import Line, OnBadUtf8, Pair, normaliser
from nmt.synthesis.agreement import Agreement
from nmt.translate import Translation
from nmt.translate.flow import OnLines
from nmt.translate.translator import Job

_BLOCK: Final = 4000
"""Lines whose sentences are sorted by length together."""
MOST_REPEATS: Final = 3
"""Times in a row that a phrase may stand in what a model has written, where the settings do not say it."""

SyntheticReason = Reason | Literal["disagreement"]
SYNTHETIC_REASONS: Final[tuple[SyntheticReason, ...]] = (*REASONS, "disagreement")
"""Why a synthetic pair is left out, in the order in which the reasons are tried."""


class Verdict(NamedTuple):
    """What is made of a pair."""

    pair: Pair
    reason: SyntheticReason | None
    """None: it is kept."""
    disagreement: float | None = None
    """Of two models about it, where they were asked."""


def cleaning_of(data: DataSettings) -> DataSettings:
    """Return the settings of cleaning for text that a model has written, of those that its data were cleaned with."""
    return data.model_copy(update={"max_repeats": data.max_repeats or MOST_REPEATS, "drop_overlap": ()})


@dataclass(frozen=True)
class Judge:
    """Says which synthetic pairs are fit for training, each by itself alone."""

    cleaner: Cleaner
    agreement: Agreement | None = None
    max_disagreement: float = math.inf

    @classmethod
    def of(
        cls, data: DataSettings, agreement: Agreement | None = None, *, max_disagreement: float | None = None
    ) -> "Judge":
        """Judge by the rules of `data`, then by the agreement of two models; a ConfigError if a rule cannot be used."""
        return cls(
            make_cleaner(data, Overlap({})), agreement, math.inf if max_disagreement is None else max_disagreement
        )

    def __call__(self, pairs: Sequence[Pair]) -> Iterator[Verdict]:
        """Judge pairs; models are asked only about those that there is nothing else against."""
        reasons = self.cleaner.reasons(pairs)
        if self.agreement is None:
            yield from map(Verdict, pairs, reasons)
            return
        left = [pair for pair, reason in zip(pairs, reasons, strict=True) if reason is None]
        found = iter(self.agreement.disagreements(left))
        for pair, reason in zip(pairs, reasons, strict=True):
            if reason is not None:
                yield Verdict(pair, reason)
                continue
            disagreement = next(found)
            yield Verdict(pair, "disagreement" if disagreement > self.max_disagreement else None, disagreement)


R = TypeVar("R")


def in_a_column(text: str) -> str:
    """Let no tab of a text end a column of a table."""
    return text.replace("\t", " ")


def read_text(path: Path, data: DataSettings, on_bad_utf8: OnBadUtf8) -> Iterator[Line]:
    """Read the lines of a text as `nmt prepare` does; one that `data` finds too long is empty, and has a fault."""
    normalise = normaliser(cleans=data.clean_invisible)
    for line in TextFiles([path], on_bad_utf8).records():
        text = in_a_column(normalise(line.text))
        is_too_long = len(text) > data.max_characters
        yield line._replace(text="", fault="too_long") if is_too_long else line._replace(text=text)


def translate_records(
    job: Job, records: Iterable[R], text_of: Callable[[R], str], on_lines: OnLines
) -> Generator[list[tuple[R, list[Translation]]], None, None]:
    """Give records in their order with their translations, best first, as they are done.

    `text_of` says what is translated of a record, nothing where it is to be left alone. Close it when it is left early.
    """
    waiting = deque[R]()

    def noted(record: R) -> str:
        waiting.append(record)
        return text_of(record)

    with closing(job.translate(FileLines(map(noted, records)), block=_BLOCK, on_lines=on_lines)) as blocks:
        for block in blocks:
            yield [(waiting.popleft(), found) for found in block]


@dataclass(frozen=True)
class Outputs:
    """Where synthetic pairs go."""

    pairs: Path
    """Lines of source <tab> target, and <tab> disagreement where models were asked."""
    rejected: Path | None = None
    """What was left out, an object of JSON a line."""


@dataclass(frozen=True)
class Outcome:
    """What has become of pairs."""

    read: int
    written: int
    rejected: dict[SyntheticReason, int]
    """How many were left out, by reason."""


def write_verdicts(
    verdicts: Iterable[Verdict],
    outputs: Outputs,
    *,
    keep_share: float = 1.0,
    changed: Callable[[Pair], Pair] = lambda pair: pair,
) -> Outcome:
    """Write pairs and what was left out; the files get their names when all is done.

    Args:
        verdicts: Whatever their number, they take no memory but for a number each.
        keep_share: The share of the pairs left in the end that is kept: those that models agree on best.
        changed: Makes what is written of a pair that is kept.
    """
    with naming(outputs.pairs), TemporaryFile("w+", encoding="utf-8", dir=outputs.pairs.parent) as spool:
        found = list[float]()
        for one in verdicts:
            spool.write(json.dumps(one, ensure_ascii=False) + "\n")
            if one.reason is None and one.disagreement is not None:
                found.append(one.disagreement)
        kept = math.ceil(keep_share * len(found))
        bound = sorted(found)[kept - 1] if kept else math.inf
        spool.seek(0)
        with written(outputs.pairs) as file:
            if outputs.rejected is None:
                return _sort_out(spool, file, None, bound, changed)
            with written(outputs.rejected) as rejected:
                return _sort_out(spool, file, rejected, bound, changed)


def _sort_out(
    spool: IO[str], file: IO[bytes], rejected: IO[bytes] | None, bound: float, changed: Callable[[Pair], Pair]
) -> Outcome:
    counts, kept = Counter[SyntheticReason](), 0
    for line in spool:
        fields, reason, disagreement = json.loads(line)
        pair = Pair(*fields)
        if reason is None and disagreement is not None and disagreement > bound:
            reason = "disagreement"
        score = {} if disagreement is None else {"disagreement": round(disagreement, 4)}
        if reason is None:
            pair = changed(pair)
            columns = (pair.src, pair.tgt, *(f"{value:.4f}" for value in score.values()))
            file.write("\t".join(columns).encode() + b"\n")
            kept += 1
            continue
        counts[reason] += 1
        if rejected is not None:
            tree = {"file": pair.file, "line": pair.line, "reason": reason, "src": pair.src, "tgt": pair.tgt, **score}
            rejected.write(json.dumps(tree, ensure_ascii=False).encode() + b"\n")
    ordered = {reason: counts[reason] for reason in SYNTHETIC_REASONS if counts[reason]}
    return Outcome(kept + counts.total(), kept, ordered)
