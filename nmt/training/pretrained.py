"""Pre-trained word vectors, put into a model before its first update; a run that goes on has them in its checkpoint."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from nmt.config import Settings
from nmt.corpus.reading import OnBadUtf8
from nmt.errors import ConfigError
from nmt.models.embedding import WordEmbedding
from nmt.models.language_model import LanguageModel
from nmt.models.seq2seq import Seq2Seq
from nmt.models.vectors import find_vectors
from nmt.prepared import PreparedData

OnMessage = Callable[[str], None]


def start_from_vectors(model: Seq2Seq, data: PreparedData, settings: Settings, *, on_message: OnMessage) -> None:
    """Put the word vectors that the settings name into a model that has learnt nothing yet.

    Args:
        model: Not yet followed by a moving average.
        data: What it is to be trained on.
        settings: Name the files, or none.
        on_message: Told for each file how many pieces have a vector there, and how much of the training text these are.

    Raises:
        ConfigError: The vectors of a file have another size than the model's, or no piece has one there.
        DataError: A file cannot be read.
    """
    src_file, tgt_file = settings.model.src_vectors, settings.model.tgt_vectors
    if src_file is None and tgt_file is None:
        return
    start = _Start(settings.data.on_bad_utf8, on_message)
    src = _Words("source", data.tokenizers.src.pieces, data.source_counts)
    tgt = _Words("target", data.tokenizers.tgt.pieces, data.target_counts)
    if src_file and tgt_file and model.src_embedding.table is model.tgt_embedding.table:  # then they are one file
        both = _Words("source and target", src.pieces, src.counts + tgt.counts)
        start(model.src_embedding, both, src_file)
        return
    if src_file:
        start(model.src_embedding, src, src_file)
    if tgt_file:
        start(model.tgt_embedding, tgt, tgt_file)


def start_language_model_from_vectors(
    model: LanguageModel,
    settings: Settings,
    *,
    pieces: Sequence[str],
    counts: NDArray[np.int64],
    on_message: OnMessage,
) -> None:
    """Put the word vectors that the settings name into a language model that has learnt nothing yet.

    Args:
        model: Not yet followed by a moving average.
        settings: Name a file as that of the target, or none.
        pieces: Of the vocabulary, in the order of the ids.
        counts: How often the training text has each, [V].
        on_message: Told how many pieces have a vector there, and how much of the training text these are.

    Raises:
        ConfigError: The vectors have another size than the model's, or no piece has one.
        DataError: The file cannot be read.
    """
    path = settings.model.tgt_vectors
    if path:
        start = _Start(settings.data.on_bad_utf8, on_message)
        start(model.embedding, _Words("word", pieces, counts), path)


@dataclass(frozen=True)
class _Words:
    """A vocabulary and its training text."""

    name: str
    pieces: Sequence[str]
    counts: NDArray[np.int64]
    """[V]."""


@dataclass(frozen=True)
class _Start:
    """Reads a file into a table, and tells of it."""

    on_bad_utf8: OnBadUtf8
    on_message: OnMessage

    def __call__(self, embedding: WordEmbedding, words: _Words, path: Path) -> None:
        size, total = embedding.table.embedding_dim, len(words.pieces)
        found = find_vectors(path, words.pieces, size=size, on_bad_utf8=self.on_bad_utf8)
        if found is None:
            raise ConfigError(
                f"none of the {total:,} pieces of the model has a vector in {path}: is it of another language, or was "
                "the text cut into other pieces?"
            )
        embedding.give(torch.from_numpy(found.ids), torch.from_numpy(found.values))
        frozen = "" if embedding.given is None else ", frozen"
        self.on_message(
            f"{words.name} vectors{frozen}: {len(found.ids):,} of {total:,} pieces "
            f"({found.share_of(words.counts):.1%} of the running text) from {path}"
        )
