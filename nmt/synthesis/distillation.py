"""Distillation: a student learns the translations of its teachers (Kim and Rush, 2016, sec. 3.2)."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal

from nmt.config import DataSettings, Settings
from nmt.corpus.hashes import Overlap
from nmt.errors import DataError, UsageError
from nmt.io.files import Stamp
from nmt.io.lines import OnBadUtf8, Pair
from nmt.metrics import sentence_scorer, tokenizer_for
from nmt.prepare.inputs import Corpus, find_pairs, record_inputs
from nmt.prepare.kinds import PairKind
from nmt.prepared import PreparedData
from nmt.synthesis.judging import Judge, cleaning_of, exchanged_languages, in_a_column, read_text, warn_of_small_letters
from nmt.synthesis.working import Writing, Written
from nmt.translate import Options
from nmt.translate.translator import Job

_READ: Final = 1000
"""Pairs of a corpus that are read at a time."""

Choice = Callable[[Written], list[str]]
"""Returns the text of the translation that is chosen for each source."""


def distil_text(
    text: Path, job: Job, choice: Choice, data: DataSettings, *, tag: str | None, on_bad_utf8: OnBadUtf8
) -> list[Writing]:
    """Let teachers translate a text, which has no references; `data` says how it is cleaned. Call it before the key is
    made.

    Warns:
        NmtWarning: The teachers write small letters only.
    """
    if data.lowercase:
        warn_of_small_letters("targets")
    stamp = Stamp.of(text)
    lines = read_text(text, data, on_bad_utf8)
    pairs = (Pair(line.text, "", line.file, line.line, line.fault) for line in lines)
    return [_writing(pairs, job, choice, data, tag, [stamp])]


def distil_data(
    data: PreparedData,
    job: Job,
    choice: Choice,
    change: Callable[[DataSettings], DataSettings],
    *,
    lowercase: bool = False,
) -> list[Writing]:
    """Let teachers translate the sources of prepared data, whose text is read again, corpus by corpus: the pairs that
    its rules let through, and none that are held out.

    Args:
        change: What is changed of the rules for what the teachers write.
        lowercase: They write small letters only.

    Raises:
        DataError: The text is not there any more, or not what it was.

    Warns:
        NmtWarning: The data have capitals, which the teachers do not write.
    """
    settings = data.settings
    if lowercase and not settings.data.lowercase:
        warn_of_small_letters("targets")
    inputs = find_pairs(settings.data)
    stamps = [list(map(Stamp.of, corpus.source.files)) for corpus in inputs.train]
    known = {(record.setting, record.sha256) for record in data.manifest.inputs}
    for record in record_inputs(inputs.named, settings.data.root):
        if (record.setting, record.sha256) not in known:
            raise DataError(f"{record.path} ({record.setting}) has changed since {data.folder} was prepared from it")
    held = [
        Pair(*texts, one.name, 0) for one in data.valid_sets for texts in zip(one.src_texts, one.tgt_texts, strict=True)
    ]
    sides: dict[str, Any] = {"drop_overlap": tuple({*settings.data.drop_overlap, "pair"})}
    kind = PairKind(settings.model_copy(update={"data": settings.data.model_copy(update=sides)}))
    overlap = kind.overlap({"validation": held})
    return [
        _writing(_read(kind, corpus, overlap), job, choice, change(_cleaning(settings, corpus)), corpus.tag, files)
        for corpus, files in zip(inputs.train, stamps, strict=True)
    ]


def sources_of(data: PreparedData) -> int:
    """Return how many sources `distil_data` reads, or a few more: those of pairs that are no longer there because they
    came again, or have too many pieces, are read too."""
    counts = data.manifest.counts
    return counts.train + sum(counts.rejected.get(reason, 0) for reason in ("duplicate", "too_many_pieces"))


def _writing(
    pairs: Iterable[Pair], job: Job, choice: Choice, data: DataSettings, tag: str | None, stamps: Sequence[Stamp]
) -> Writing:
    """Translate sources with the tag of their corpus."""
    tagged = replace(job, options=job.options.model_copy(update={"tag": tag}))

    def complete(written: Written) -> list[Pair]:
        chosen = zip(written, choice(written), strict=True)
        return [pair._replace(src=in_a_column(pair.src), tgt=in_a_column(text)) for (pair, _), text in chosen]

    return Writing(pairs, lambda pair: pair.src, complete, tagged, Judge.of(data), stamps)


def _cleaning(settings: Settings, corpus: Corpus[Pair]) -> DataSettings:
    data = cleaning_of(settings.data)
    return exchanged_languages(data) if corpus.is_reversed else data


def _read(kind: PairKind, corpus: Corpus[Pair], overlap: Overlap) -> Iterator[Pair]:
    judge = kind.make_judge(overlap, of_reversed=corpus.is_reversed)
    for block in corpus.source.blocks(_READ):
        pairs = kind.read(block.records())
        reasons = judge(pairs)
        yield from (pair for pair, reason in zip(pairs, reasons, strict=True) if reason is None)


def with_whole_beam(options: Options, settings: Settings) -> Options:
    """Ask for all that the search finds of a sentence, to choose from; a UsageError if that is a single translation."""
    count = options.search(settings).beam_size
    if count == 1:
        raise UsageError("search.beam_size = 1 leaves nothing to choose from: set it to 2 or more")
    return options.model_copy(update={"n_best": count})


def choose_best(written: Written) -> list[str]:
    """Choose the best of the beam."""
    return [best.text for _, (best, *_) in written]


def nearest_reference(metric: Literal["bleu", "chrf"], data: PreparedData, *, lowercase: bool = False) -> Choice:
    """Return what chooses, of an n-best list, what is most like the reference, the first of equal ones, by a score of
    sentences whose words are found as suits the data (sequence-level interpolation, sec. 3.3); of teachers that write
    small letters, `lowercase`."""
    score = sentence_scorer(metric, tokenizer_for(data.settings, data.valid.tgt_texts), lowercase=lowercase)

    def choose(written: Written) -> list[str]:
        return [max((one.text for one in found), key=lambda text: score(text, pair.tgt)) for pair, found in written]

    return choose
