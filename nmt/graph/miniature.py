"""What stands in for results that are not made yet: some of the text, text of the right length, an untrained model."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch

from nmt.config import DataSettings, Settings, TrainingCorpusSettings, change_settings
from nmt.corpus.base import R, Source
from nmt.errors import ConfigError
from nmt.io.lines import Line, Pair
from nmt.models.folder import ModelFolder, Vocabularies, build_either
from nmt.prepare.inputs import Corpus, Inputs, exchanged, find_pairs, find_text
from nmt.prepare.pipeline import prepare
from nmt.prepare.tokenizing import vocabulary_size
from nmt.prepared import PreparedData, PreparedText
from nmt.text.tokenizer_training import VocabularyTooLargeError
from nmt.text.vocab import EOS

READ: Final = 20_000
"""Lines of a text that are looked at, and lines of what stands in for one; a whole number of blocks."""
_COUNTED: Final = 1_000_000
"""Lines that are counted; what comes then is estimated by its bytes."""
_BLOCK: Final = 1000
_ENDS: Final = 100.0
"""What is added to the score of `</s>`: once a translation may end it does."""


def read_some(source: Source[R], known: Mapping[Path, float]) -> tuple[list[R], float]:
    """Return records from the start of a text, and about how many it has; of files that stand in for others that number
    is `known`."""
    some, count = list[R](), 0
    total = max((known[path] for path in source.files if path in known), default=None)
    for block in source.blocks(_BLOCK):
        if len(some) < READ:
            some += block.records()
        count += len(block)
        if total is not None and count >= READ:
            break
        if count >= _COUNTED:
            return some, count * source.total_bytes / max(1, source.read_bytes)
    return some, count if total is None else total


class Cut(NamedTuple):
    """Some of the text that data are to be made from."""

    settings: Settings
    """Those of the preparation, with this text."""
    records: int
    share: float
    """Which part of all that is."""

    @classmethod
    def write(cls, settings: Settings, folder: Path, known: Mapping[Path, float], *, most: int) -> "Cut":
        """Write pairs or lines from all over the text, the same share of every corpus and `most` in all, to files in
        `folder`."""
        folder.mkdir()
        find: Callable[[DataSettings], Inputs[Any]] = find_text if settings.data.train_text else find_pairs
        found = find(settings.data).train
        texts = [(corpus, *read_some(corpus.source, known)) for corpus in found]
        share = min(1.0, most / max(1, sum(count for *_, count in texts)))
        files, written = list[Path](), 0
        for number, (corpus, records, count) in enumerate(texts):
            wanted = min(len(records), math.ceil(count * share))
            files.append(folder / f"{number}{'.txt' if settings.data.train_text else '.tsv'}")
            _write(files[-1], corpus, islice(records[:: max(1, len(records) // max(1, wanted))], wanted))
            written += wanted
        corpora = tuple(
            TrainingCorpusSettings(path=(str(path),), tag=one.tag, weight=one.weight, reversed=one.is_reversed)
            for path, one in zip(files, found, strict=True)
        )
        nothing = dict.fromkeys(("train_src", "train_tgt", "train_tsv", "train_text", "corpora"), ())
        named = {"train_text": tuple(files)} if settings.data.train_text else {"corpora": corpora}
        data = settings.data.model_copy(update={**nothing, "replay": None, **named})
        return cls(settings.model_copy(update={"data": data}), written, share)


def _write(path: Path, corpus: Corpus[Any], records: Iterable[Pair | Line]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        for record in records:
            if isinstance(record, Pair):
                pair = exchanged(record) if corpus.is_reversed else record
                file.write("\t".join(side.replace("\t", " ") for side in pair[:2]) + "\n")
            else:
                file.write(record.text + "\n")


def prepare_some(folder: Path, cut: Cut) -> None:
    """Prepare it; a vocabulary that is too large for so little text is filled up with symbols that nobody writes."""
    # which is asked for then, and not as many as there are
    size = {"vocab_size": vocabulary_size(cut.settings.tokenizer, round(cut.records / cut.share))}
    fillers = 0
    while True:
        symbols = *cut.settings.tokenizer.symbols, *(f"<unused{number}>" for number in range(fillers))
        tokenizer = cut.settings.tokenizer.model_copy(update={**size, "symbols": symbols})
        try:
            prepare(folder, cut.settings.model_copy(update={"tokenizer": tokenizer}), workers=1)
        except ConfigError as error:
            if not isinstance(error.__cause__, VocabularyTooLargeError):
                raise
            fillers += error.__cause__.asked - error.__cause__.largest
        else:
            return


def save_untrained(folder: Path, settings: Settings, data: PreparedData | PreparedText) -> None:
    """Save a model of these settings whose translations are as long as those of the data, whatever they say."""
    tokenizers = data.tokenizers
    sizes = Vocabularies.of(tokenizers)
    model = build_either(settings.model, sizes, seed=1)
    with torch.no_grad():
        model.output.bias[EOS] = _ENDS
    if isinstance(data, PreparedData):
        src, tgt = (int(side.lengths.sum()) for side in (data.valid.src, data.valid.tgt))
        ratio = min(tgt / max(1, src), settings.search.max_length_ratio)
        settings = change_settings(settings, "search", {"min_length_ratio": ratio})
    made = ModelFolder(folder, settings=settings, vocabularies=sizes, tokenizers=tokenizers.files)
    made.create()
    made.save(model, {})


def imitate(known: Sequence[tuple[str, str]], lines: Sequence[str]) -> list[str]:
    """Make up a translation of each line: that of a known line whose length is nearest."""
    examples = sorted(known, key=lambda pair: len(pair[0]))
    lengths = [len(src) for src, _ in examples]
    found = []
    for number, line in enumerate(lines):
        first = min(bisect_left(lengths, len(line)), len(lengths) - 1)
        alike = max(1, bisect_right(lengths, len(line)) - first)
        found.append(examples[first + number % alike][1])
    return found
