"""Pre-trained word vectors (word2vec, GloVe, fastText): which pieces of a vocabulary have one, and how they become
embeddings.
"""

import math
import unicodedata
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
import torch
from numpy.typing import NDArray

from nmt.config import Settings
from nmt.errors import ConfigError, DataError
from nmt.io.compressed import COMPRESSIONS
from nmt.io.lines import DECODING_ERRORS, OnBadUtf8, read_lines
from nmt.models.embedding import WordEmbedding
from nmt.models.language_model import LanguageModel
from nmt.models.seq2seq import Seq2Seq
from nmt.prepared import PreparedData
from nmt.text.vocab import EOS, SPACE_MARK

Vector = NDArray[np.float32]
"""[E]."""

_TURKISH: Final = str.maketrans("I\u0130", "\u0131i")
"""Capitals whose small letters are others in Turkish."""
_LONGEST_WORD: Final = 1 << 16
"""Bytes. What goes on for longer without a space is no word of a binary file."""


@dataclass(frozen=True)
class PieceVectors:
    """The vectors that some pieces of a vocabulary have."""

    ids: NDArray[np.int64]
    """Of the pieces, ascending, [N]."""
    values: NDArray[np.float32]
    """[N, E]."""

    def share_of(self, counts: NDArray[np.int64]) -> float:
        """Return which share of a running text these pieces are, given how often it has each piece of the vocabulary.

        `</s>` is no part of the text. A text without pieces has a share of 0.
        """
        total = int(counts.sum() - counts[EOS])
        return int(counts[self.ids].sum()) / max(1, total)


def find_vectors(
    path: Path, pieces: Sequence[str], *, size: int, on_bad_utf8: OnBadUtf8 = "error"
) -> PieceVectors | None:
    """Find the vectors of the pieces of a vocabulary in a file; None if no piece has one there.

    A file of words serves the pieces that are whole words, which begin with the mark U+2581; a file whose words have
    that mark themselves was trained on pieces, and serves every piece that it has. A vocabulary without whole words, of
    characters say, is served piece by piece as well. What is not there as it is written is looked for in lower case.
    Special ids have no vector, and a vector of zeros is none.

    Args:
        path: A text file, perhaps compressed: a word and its numbers a line, after an optional line "words numbers".
            If its name ends in .bin: a binary file of word2vec.
        pieces: Of the vocabulary, in the order of the ids.
        size: Numbers that a vector must have, E.
        on_bad_utf8: Whether words that are not UTF-8 are an error or are passed over.

    Raises:
        DataError: The file cannot be read, or a line of it is no vector.
        ConfigError: Its vectors have another size.
    """
    ids = range(EOS + 1, len(pieces))
    as_pieces = {i: pieces[i] for i in ids}
    as_words = {i: piece[1:] for i, piece in as_pieces.items() if piece.startswith(SPACE_MARK) and piece != SPACE_MARK}
    wanted = {form for word in (*as_pieces.values(), *as_words.values()) for form in _forms(word)}
    if Path(path.stem).suffix == ".bin" and path.suffix in COMPRESSIONS:
        raise DataError(f"{path} is a compressed binary file; unpack it first")
    read = _read_binary if path.suffix == ".bin" else _read_text
    vectors = read(path, wanted, size=size, on_bad_utf8=on_bad_utf8)
    pieces_found, words_found = _lookup(as_pieces, vectors), _lookup(as_words, vectors)
    marked = sum(i in as_words for i in pieces_found)
    of_pieces = marked >= max(1, len(words_found)) or not as_words
    found = pieces_found if of_pieces else words_found
    if not found:
        return None
    order = sorted(found)
    return PieceVectors(np.array(order, dtype=np.int64), np.stack([found[i] for i in order]))


def _lookup(words: dict[int, str], vectors: dict[str, Vector]) -> dict[int, Vector]:
    found = {i: next((vectors[form] for form in _forms(word) if form in vectors), None) for i, word in words.items()}
    return {i: vector for i, vector in found.items() if vector is not None}


def _forms(word: str) -> tuple[str, ...]:
    """Return a word as it is written, in lower case, and in that of Turkish."""
    return word, word.lower(), word.translate(_TURKISH).lower()


def _read_text(path: Path, wanted: Collection[str], *, size: int, on_bad_utf8: OnBadUtf8) -> dict[str, Vector]:
    """Read the vectors of the wanted words; of several for one word, the first."""
    vectors: dict[str, Vector] = {}
    number = 0
    for number, full in enumerate(read_lines(path, on_bad_utf8), start=1):
        line, where = full.rstrip(" "), f"{path}, line {number}"
        if number == 1 and _is_heading(line, size, path):
            continue
        if line.count(" ") == size:
            word, _, numbers = line.partition(" ")
        else:
            word, numbers = _cut_from_right(line, size, where)
        word = _normal(word)
        if word in wanted and word not in vectors:
            vectors[word] = _vector(numbers.split(" "), where)
    if number == 0:
        raise DataError(f"{path} is empty; expected a word and its numbers on each line")
    return _without_zeros(vectors)


def _is_heading(line: str, size: int, path: Path) -> bool:
    """Tell whether a first line is one of two counts, and refuse vectors of another size whether or not it is."""
    fields = line.split(" ")
    is_heading = len(fields) == 2 and all(field.isdecimal() for field in fields)
    found = int(fields[1]) if is_heading else _count_numbers(line)
    if found == 0:
        raise DataError(f"{path}, line 1: expected a word and its numbers, separated by spaces, found {line[:40]!r}")
    _check_size(found, size, path)
    return is_heading


def _check_size(found: int, size: int, path: Path) -> None:
    if found != size:
        raise ConfigError(
            f"the vectors in {path} have {found} numbers, but model.embedding_size = {size}; "
            f"set model.embedding_size={found}, or take another file"
        )


def _cut_from_right(line: str, size: int, where: str) -> tuple[str, str]:
    """Cut off the numbers behind a word that may hold spaces."""
    found = _count_numbers(line)
    if found != size:
        raise DataError(f"{where}: found {found} numbers behind the word, expected {size}")
    word, *numbers = line.rsplit(" ", size)
    return word, " ".join(numbers)


def _count_numbers(line: str) -> int:
    """Count the numbers at the end of a line, whose first field is no number but a word."""
    fields = line.split(" ")[1:]
    words = [i for i, field in enumerate(fields, start=1) if not _is_number(field)]
    return len(fields) - max(words, default=0)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _vector(numbers: Sequence[str], where: str) -> Vector:
    for number in numbers:
        if not (_is_number(number) and math.isfinite(float(number))):
            raise DataError(f"{where}: expected a finite number, found {number[:40]!r}")
    return np.array([float(number) for number in numbers], dtype=np.float32)


def _read_binary(path: Path, wanted: Collection[str], *, size: int, on_bad_utf8: OnBadUtf8) -> dict[str, Vector]:
    """Read the vectors of the wanted words from a binary file of word2vec: word, space, float32 in little endian."""
    vectors: dict[str, Vector] = {}
    try:
        with path.open("rb") as file:
            words = _read_binary_heading(file, size, path)
            for number in range(1, words + 1):
                where = f"{path}, word {number:,} of {words:,}"
                word = _decode(_read_word(file, where), where, on_bad_utf8)
                numbers = file.read(4 * size)
                if len(numbers) < 4 * size:
                    raise DataError(f"{where}: the file ends there")
                if word in wanted and word not in vectors:
                    vectors[word] = np.frombuffer(numbers, dtype="<f4").astype(np.float32)
                    if not np.isfinite(vectors[word]).all():
                        raise DataError(f"{where}: expected finite numbers")
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    return _without_zeros(vectors)


def _read_binary_heading(file: BinaryIO, size: int, path: Path) -> int:
    fields = file.readline(64).split()
    if len(fields) != 2 or not all(field.isdigit() for field in fields):
        raise DataError(
            f"{path} is no binary file of word2vec, which begins with two counts; of fastText's files take the .vec"
        )
    _check_size(int(fields[1]), size, path)
    return int(fields[0])


def _read_word(file: BinaryIO, where: str) -> bytes:
    word = bytearray()
    while (byte := file.read(1)) != b" ":
        if not byte or len(word) == _LONGEST_WORD:
            raise DataError(f"{where}: expected a word and a space behind it")
        word += byte
    return bytes(word.lstrip(b"\n"))  # some programs end every vector with a line feed, some do not


def _decode(word: bytes, where: str, on_bad_utf8: OnBadUtf8) -> str:
    try:
        return _normal(word.decode("utf-8", DECODING_ERRORS[on_bad_utf8]))
    except UnicodeDecodeError as error:
        raise DataError(
            f'{where}: the word is not UTF-8; data.on_bad_utf8 = "replace" passes over such words'
        ) from error


def _normal(word: str) -> str:
    return word if word.isascii() else unicodedata.normalize("NFC", word)


def _without_zeros(vectors: dict[str, Vector]) -> dict[str, Vector]:
    return {word: vector for word, vector in vectors.items() if vector.any()}


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
    model: LanguageModel, settings: Settings, *, pieces: Sequence[str], counts: NDArray[np.int64], on_message: OnMessage
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
