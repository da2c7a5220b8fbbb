"""Synthetic pairs on their way to a corpus: judged, counted by reason, and written."""

import json
import math
import warnings
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from itertools import chain, compress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Literal, NamedTuple, Self

from nmt.config import DataSettings
from nmt.corpus.cleaning import REASONS, Cleaner, Reason, make_cleaner
from nmt.corpus.hashes import Overlap
from nmt.corpus.plain import TextFiles
from nmt.errors import ConfigError, NmtWarning
from nmt.io.files import append_all, written
from nmt.io.lines import Line, OnBadUtf8, Pair, normaliser
from nmt.io.shards import Header, Shard, blocks_of
from nmt.models.folder import read_settings
from nmt.translate import Translator
from nmt.translate.rescoring import follow, tag_back, too_long
from nmt.translate.words import check_tagged

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


def exchanged_languages(data: DataSettings) -> DataSettings:
    """Return settings of the other direction."""
    return data.model_copy(update={"src_lang": data.tgt_lang, "tgt_lang": data.src_lang})


def of_model(data: DataSettings) -> DataSettings:
    """Return settings whose languages are those that a model reads and writes: the others, where all pairs that it has
    learnt from were reversed."""
    has_more = data.train_src or data.train_tsv or not all(corpus.reversed for corpus in data.corpora)
    return exchanged_languages(data) if data.corpora and not has_more else data


def direction_of(data: DataSettings) -> tuple[str, str] | None:
    """Return the language that a model reads and the one that it writes, by the settings of what it has learnt from;
    None: they are not known, are the same, or it has learnt from pairs of both directions."""
    own = of_model(data)
    goes_both_ways = own is data and any(corpus.reversed for corpus in own.corpora)
    if not (own.src_lang and own.tgt_lang) or own.src_lang == own.tgt_lang or goes_both_ways:
        return None
    return own.src_lang, own.tgt_lang


def refuse_reversed(model_dirs: Iterable[Path], data: DataSettings) -> None:
    """Refuse models that translate from the target language of `data` into the source language, as far as both know
    their languages; who has learnt from pairs of both directions is none of them."""
    src, tgt = data.src_lang, data.tgt_lang
    for folder in model_dirs:
        if src and tgt and direction_of(read_settings(folder).data) == (tgt, src):
            raise ConfigError(wrong_way(folder, tgt, src))


def refuse_same_direction(reverse_dir: Path, model_dir: Path) -> None:
    """Refuse a model for the way back that goes the way of the other model, as far as both know their languages."""
    way = direction_of(read_settings(model_dir).data)
    if way and direction_of(read_settings(reverse_dir).data) == way:
        raise ConfigError(wrong_way(reverse_dir, *way))


def wrong_way(model: object, src: str, tgt: str) -> str:
    """Say that a model translates between two languages where one of the other direction is expected."""
    return f"{model} translates from {src} to {tgt}, expected a model from {tgt} to {src}"


@dataclass(frozen=True)
class Agreement:
    """Dual conditional cross-entropy (Junczys-Dowmunt, 2018, sec. 2.1): what surprises both models, or one of them more
    than the other, is no good translation."""

    forward: Translator
    """From source to target."""
    backward: Translator
    tag: str | None = None
    """What is put before what the backward model reads."""
    forward_tag: str | None = None
    """What is put before what the forward model reads."""

    @classmethod
    def of(
        cls, forward: Translator, backward: Translator, *, tag: str | None = None, forward_tag: str | None = None
    ) -> Self:
        """Let two models judge what the backward one has translated with a tag.

        Args:
            forward_tag: None: that of the way back, if the forward model knows it.

        Raises:
            ConfigError: The forward model knows no such tag.

        Warns:
            NmtWarning: It has learnt from tagged sentences alone, and there is no tag.
        """
        if forward_tag is None:
            way_back = tag_back(forward.settings.data, tag)
            forward_tag = way_back if way_back in forward.tokenizers.src.symbols else None
        whose = "the model that judges"
        check_tagged(forward.tokenizers.src, forward.settings.data, forward_tag, whose=whose)
        return cls(forward, backward, tag, forward_tag)

    def disagreements(self, pairs: Sequence[Pair]) -> list[float | None]:
        """Return |A - B| + (A + B) / 2 of each pair, where A and B are its cross-entropies in nats a piece.

        None: it is too long for one of the models to be read at once, as they have learnt to, so neither is asked.
        """
        there = [(pair.src, pair.tgt) for pair in pairs]
        back = [(tgt, src) for src, tgt in there]
        long = too_long(self.forward, there, tag=self.forward_tag), too_long(self.backward, back, tag=self.tag)
        fits = [not any(either) for either in zip(*long, strict=True)]
        forth = follow(self.forward, list(compress(there, fits)), tag=self.forward_tag)
        found = zip(forth, follow(self.backward, list(compress(back, fits)), tag=self.tag), strict=True)
        surprises = ((-one.score, -other.score) for one, other in found)
        known = iter([abs(one - other) + (one + other) / 2 for one, other in surprises])
        return [next(known) if fit else None for fit in fits]


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
            if disagreement is None:
                yield Verdict(pair, "too_many_pieces")
                continue
            yield Verdict(pair, "disagreement" if disagreement > self.max_disagreement else None, disagreement)


def in_a_column(text: str) -> str:
    """Let no tab of a text end a column of a table."""
    return text.replace("\t", " ")


def warn_of_small_letters(side: Literal["sources", "targets"]) -> None:
    """Warn that a model writes no capitals, where the other side of the pairs has them."""
    found = f"the model writes small letters only (data.lowercase = true): the {side} of the pairs have no capitals"
    warnings.warn(found, NmtWarning, stacklevel=3)


def read_text(path: Path, data: DataSettings, on_bad_utf8: OnBadUtf8) -> Iterator[Line]:
    """Read the lines of a text as `nmt prepare` does, but with their capitals, which a model without them leaves out by
    itself; one that `data` finds too long is empty, and has a fault."""
    normalise = normaliser(data.model_copy(update={"lowercase": False}))
    for line in TextFiles([path], on_bad_utf8).records():
        text = in_a_column(normalise(line.text))
        is_too_long = len(text) > data.max_characters
        yield line._replace(text="", fault="too_long") if is_too_long else line._replace(text=text)


@dataclass(frozen=True)
class Outputs:
    """Where synthetic pairs go, and what becomes of them when all are known."""

    pairs: Path
    """Lines of source <tab> target, and <tab> disagreement where models were asked."""
    rejected: Path | None = None
    """What was left out, an object of JSON a line."""
    keep_share: float = 1.0
    """The share of the pairs left in the end that is kept: those that models agree on best, of equal ones the first."""
    changed: Callable[[Pair], Pair] = lambda pair: pair
    """Makes what is written of a pair that is kept."""


@dataclass(frozen=True)
class Outcome:
    """What has become of pairs."""

    read: int
    written: int
    rejected: dict[SyntheticReason, int]
    """How many were left out, by reason."""

    @classmethod
    def of(cls, kept: int, rejected: Counter[SyntheticReason]) -> Self:
        """Count what was kept and left out, the reasons in the order in which they are tried."""
        ordered = {reason: rejected[reason] for reason in SYNTHETIC_REASONS if rejected[reason]}
        return cls(kept + rejected.total(), kept, ordered)


def as_line(verdict: Verdict) -> bytes:
    """Write a verdict as a line of JSON."""
    return json.dumps(verdict, ensure_ascii=False).encode() + b"\n"


def _read_verdicts(files: Iterable[Path]) -> Generator[Verdict, None, None]:
    for path in files:
        with path.open(encoding="utf-8") as file:
            for line in file:
                fields, *rest = json.loads(line)
                yield Verdict(Pair(*fields), *rest)


def write_verdicts(files: Sequence[Path], outputs: Outputs) -> Outcome:
    """Write the pairs, and what was left out, of files of verdicts; the outputs get their names when all is done."""
    bound, at_bound = math.inf, 0
    if outputs.keep_share < 1:
        left = (one.disagreement for one in _read_verdicts(files) if one.reason is None)
        found = sorted(disagreement for disagreement in left if disagreement is not None)
        wanted = math.ceil(outputs.keep_share * len(found))
        bound = found[wanted - 1] if found else bound
        at_bound = wanted - bisect_left(found, bound)
    counts, kept = Counter[SyntheticReason](), 0
    with ExitStack() as stack:
        out = stack.enter_context(written(outputs.pairs))
        rejected = stack.enter_context(written(outputs.rejected)) if outputs.rejected else None
        for one in stack.enter_context(closing(_read_verdicts(files))):
            reason: SyntheticReason | None = one.reason
            if reason is None and one.disagreement is not None and one.disagreement >= bound:
                at_bound -= one.disagreement == bound
                reason = "disagreement" if one.disagreement > bound or at_bound < 0 else None
            if reason is None:
                out.write(_as_columns(outputs.changed(one.pair), one.disagreement))
                kept += 1
                continue
            counts[reason] += 1
            if rejected:
                rejected.write(_as_object(one, reason))
    return Outcome.of(kept, counts)


def write_shard(files: Sequence[Path], outputs: Outputs, shard: Shard, key: dict[str, str], *, blocks: int) -> Outcome:
    """Write, for `nmt.io.shards.join_shards`, what a shard has of pairs and of what was left out.

    Args:
        files: Verdicts, as shards whose blocks are those of this one.
        key: What tells the result from others.
        blocks: Of the whole result.
    """
    parts, kept, counts = list[Outputs](), 0, Counter[SyntheticReason]()
    with TemporaryDirectory(dir=files[0].parent) as folder, ExitStack() as stack:
        for number, block in enumerate(chain.from_iterable(map(blocks_of, files))):
            name = Path(folder) / str(number)
            name.write_bytes(block)
            parts.append(replace(outputs, pairs=name.with_suffix(".pairs"), rejected=name.with_suffix(".rejected")))
            outcome = write_verdicts([name], parts[-1])
            kept, counts = kept + outcome.written, counts + Counter(outcome.rejected)
        for output in ("pairs", "rejected"):
            if (target := getattr(outputs, output)) is not None:
                out = stack.enter_context(written(shard.name(target)))
                of_blocks = [getattr(one, output) for one in parts]
                Header.of(shard, of_blocks, key=key | {"output": output}, blocks=blocks).write(out)
                append_all(of_blocks, out)
    return Outcome.of(kept, counts)


def _as_columns(pair: Pair, disagreement: float | None) -> bytes:
    score = [] if disagreement is None else [f"{disagreement:.4f}"]
    return "\t".join([pair.src, pair.tgt, *score]).encode() + b"\n"


def _as_object(one: Verdict, reason: SyntheticReason) -> bytes:
    pair = one.pair
    tree: dict[str, Any] = {"file": pair.file, "line": pair.line, "reason": reason, "src": pair.src, "tgt": pair.tgt}
    if one.disagreement is not None:
        tree["disagreement"] = round(one.disagreement, 4)
    return json.dumps(tree, ensure_ascii=False).encode() + b"\n"
