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

from nmt.errors import ConfigError, DataError
from nmt.io.compressed import COMPRESSIONS
from nmt.io.lines import DECODING_ERRORS, OnBadUtf8, read_lines
from nmt.models.embedding import WordEmbedding
from nmt.text.vocab import EOS, SPACE_MARK

Vector = NDArray[np.float32]
"""[E]."""

_TURKISH: Final = str.maketrans("I\u0130", "\u0131i")
"""Capitals whose small letters are others in Turkish."""
_LONGEST_WORD: Final = 1 << 16
"""Bytes. What goes on for longer without a space is no word of a binary file."""


@dataclass(frozen=True)
class CountedPieces:
    """A vocabulary and its training text."""

    name: str
    """As messages call it."""
    pieces: Sequence[str]
    """In the order of the ids."""
    counts: NDArray[np.int64]
    """How often the text has each, [V]."""


def give_vectors(
    embedding: WordEmbedding,
    words: CountedPieces,
    path: Path,
    *,
    on_bad_utf8: OnBadUtf8,
    on_message: Callable[[str], None],
) -> None:
    """Put the vectors of a file into the table of a model that has learnt nothing yet, and tell how many those are.

    Raises:
        ConfigError: They have another size than the model's, or no piece has one.
        DataError: The file cannot be read.
    """
    total = len(words.pieces)
    found = find_vectors(path, words.pieces, size=embedding.table.embedding_dim, on_bad_utf8=on_bad_utf8)
    if not found:
        raise ConfigError(
            f"none of the {total:,} pieces of the model has a vector in {path}: is it for another language or another "
            "tokenizer?"
        )
    embedding.give(torch.tensor(list(found)), torch.from_numpy(np.stack(list(found.values()))))
    frozen = "" if embedding.given is None else ", frozen"
    share = int(words.counts[list(found)].sum()) / max(1, int(words.counts.sum() - words.counts[EOS]))
    on_message(
        f"{words.name} vectors{frozen}: {len(found):,} of {total:,} pieces ({share:.1%} of the running text) "
        f"from {path}"
    )


def find_vectors(
    path: Path, pieces: Sequence[str], *, size: int, on_bad_utf8: OnBadUtf8 = "error"
) -> dict[int, Vector]:
    """Find the vectors of the pieces of a vocabulary in a file: those of the ids that have one there, ascending.

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
    read_vectors = read(path, wanted, size=size, on_bad_utf8=on_bad_utf8)
    vectors = {word: vector for word, vector in read_vectors.items() if vector.any()}
    pieces_found, words_found = _lookup(as_pieces, vectors), _lookup(as_words, vectors)
    marked = sum(i in as_words for i in pieces_found)
    return pieces_found if marked >= max(1, len(words_found)) or not as_words else words_found


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
        elif (found := _count_numbers(line)) == size:  # the word holds spaces
            word = line.rsplit(" ", size)[0]
            numbers = line[len(word) + 1 :]
        else:
            raise DataError(f"{where}: found {found} numbers after the word, expected {size}")
        word = _normal(word)
        if word in wanted and word not in vectors:
            for field in numbers.split(" "):
                if not (_is_number(field) and math.isfinite(float(field))):
                    raise DataError(f"{where}: expected a finite number, found {field[:40]!r}")
            vectors[word] = np.array([float(field) for field in numbers.split(" ")], dtype=np.float32)
    if number == 0:
        raise DataError(f"{path} is empty; expected a word and its numbers on each line")
    return vectors


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


def _read_binary(path: Path, wanted: Collection[str], *, size: int, on_bad_utf8: OnBadUtf8) -> dict[str, Vector]:
    """Read the vectors of the wanted words from a binary file of word2vec: word, space, float32 in little endian."""
    vectors: dict[str, Vector] = {}
    try:
        with path.open("rb") as file:
            heading = file.readline(64).split()
            if len(heading) != 2 or not all(field.isdigit() for field in heading):
                raise DataError(
                    f"{path} is no binary file of word2vec, which begins with two counts; of fastText's files take "
                    "the .vec"
                )
            _check_size(int(heading[1]), size, path)
            words = int(heading[0])
            for number in range(1, words + 1):
                where = f"{path}, word {number:,} of {words:,}"
                word = _read_word(file, where, on_bad_utf8)
                numbers = file.read(4 * size)
                if len(numbers) < 4 * size:
                    raise DataError(f"{where}: the file ends there")
                if word in wanted and word not in vectors:
                    vectors[word] = np.frombuffer(numbers, dtype="<f4").astype(np.float32)
                    if not np.isfinite(vectors[word]).all():
                        raise DataError(f"{where}: expected finite numbers")
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    return vectors


def _read_word(file: BinaryIO, where: str, on_bad_utf8: OnBadUtf8) -> str:
    word = bytearray()
    while (byte := file.read(1)) != b" ":
        if not byte or len(word) == _LONGEST_WORD:
            raise DataError(f"{where}: expected a word and a space after it")
        word += byte
    try:  # some programs end every vector with a line feed, some do not
        return _normal(word.lstrip(b"\n").decode("utf-8", DECODING_ERRORS[on_bad_utf8]))
    except UnicodeDecodeError as error:
        raise DataError(
            f'{where}: the word is not UTF-8; data.on_bad_utf8 = "replace" passes over such words'
        ) from error


def _normal(word: str) -> str:
    return word if word.isascii() else unicodedata.normalize("NFC", word)
