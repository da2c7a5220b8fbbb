"""SentencePiece models are trained here, all with the same special ids; models of others are adopted."""

import io
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, Final

from sentencepiece import SentencePieceTrainer

from nmt.errors import ConfigError, DataError, ModelError, NmtError, describe_out_of_memory, is_out_of_memory
from nmt.io.workers import map_in_processes
from nmt.text.spm import (
    AS_BYTES,
    SPECIAL_PIECES,
    SPECIAL_SETTINGS,
    Kind,
    Model,
    Type,
    keep_frequent,
    keep_words,
    make_byte_model,
)
from nmt.text.tokenizer import Tokenizer, load_processor, special_ids
from nmt.text.vocab import BOS, BOS_PIECE, EOS, EOS_PIECE, PAD, PAD_PIECE, SPACE_MARK, UNK, UNK_PIECE, UNKNOWN

_FIXED_OPTIONS: Final[dict[str, Any]] = {
    "normalization_rule_name": "identity",  # text is NFC already; NFKC would change what users wrote
    "max_sentence_length": 1 << 30,  # longer lines would be skipped
    "num_threads": 4,  # the model depends on it, so it is the same on every machine
    "minloglevel": 2,
    "pad_id": PAD,
    "unk_id": UNK,
    "bos_id": BOS,
    "eos_id": EOS,
    "pad_piece": PAD_PIECE,
    "unk_piece": UNK_PIECE,
    "bos_piece": BOS_PIECE,
    "eos_piece": EOS_PIECE,
}
_SPECIALS: Final = 4
# SentencePiece learns nothing from a line that holds its own mark for unknown characters.
_RESERVED: Final = "\u2585"


class VocabularyTooLargeError(ConfigError):
    """More pieces were asked for than the text can give."""

    def __init__(self, *, asked: int, largest: int) -> None:
        super().__init__(
            f"tokenizer.vocab_size = {asked} is too large for this corpus: at most {largest} pieces; "
            "lower it, or leave it unset to get as many as there are"
        )
        self.asked = asked
        self.largest = largest


def train_tokenizer(
    lines: Iterable[str],
    *,
    kind: Kind,
    vocab_size: int,
    character_coverage: float = 1.0,
    byte_fallback: bool = False,
    min_frequency: int = 1,
    symbols: Sequence[str] = (),
) -> bytes:
    """Train a SentencePiece model, and return its bytes, which depend on nothing but the arguments.

    Args:
        lines: The text, already normalised; for bytes none is read.
        kind: Unigram language model, byte-pair encoding, words, characters or bytes.
        vocab_size: Pieces, specials included; at most so many where the kind is "word" or "char", the most frequent. Of
            bytes there are 256, whatever this says.
        character_coverage: Share of the characters of the text that get a piece.
        byte_fallback: Give pieces to bytes too, into which characters without a piece are cut; for no kind but those of
            subwords and characters.
        min_frequency: How often a word or character has to occur, for the kinds "word" and "char".
        symbols: Pieces that are never cut and never merged, or words that have pieces, however rare.

    Raises:
        VocabularyTooLargeError: The text has fewer subword pieces than asked for.
        ConfigError: The characters of the text alone are more than `vocab_size`, and the kind is one of subwords; or
            there is no room for bytes.
        DataError: There is no text.
    """
    if kind == "byte":
        return make_byte_model(symbols)
    least = _SPECIALS + 256 + len(symbols) + 1
    if byte_fallback and vocab_size < least:
        raise ConfigError(
            f"tokenizer.vocab_size = {vocab_size} is too small for tokenizer.byte_fallback: 256 bytes, "
            f"{_SPECIALS} special pieces, {len(symbols)} symbols and a character are {least} pieces"
        )
    source = _Lines(lines, kind, counting=min_frequency > 1)
    options = _FIXED_OPTIONS if kind in ("unigram", "bpe") else _FIXED_OPTIONS | {"hard_vocab_limit": False}
    options = options | {"vocab_size": vocab_size, "character_coverage": character_coverage}
    if kind == "word":
        model = _train(source, model_type=kind, **options)
        return keep_words(model, source.counts, min_frequency=min_frequency, symbols=symbols, vocab_size=vocab_size)
    if byte_fallback:
        options["byte_fallback"] = True
    model = _train(source, model_type=kind, user_defined_symbols=list(symbols), **options)
    return keep_frequent(model, source.counts, min_frequency) if min_frequency > 1 else model


def _train(source: "_Lines", **options: Any) -> bytes:
    model = io.BytesIO()
    try:
        SentencePieceTrainer.train(sentence_iterator=iter(source), model_writer=model, **options)
    except RuntimeError as error:
        if source.failure is not None:
            raise source.failure from None
        raise _explain(str(error), options["vocab_size"]) from error
    return model.getvalue()


class _Lines:
    """Lines for SentencePiece, which would hide an exception of the iterator (a Ctrl-C, say) behind its own."""

    def __init__(self, lines: Iterable[str], kind: Kind, *, counting: bool) -> None:
        self._lines = lines
        self._words = kind == "word"
        self._counting = counting
        self.counts = Counter[str]()
        """How often each word or character occurred, if that is counted."""
        self.failure: BaseException | None = None

    def __iter__(self) -> Iterator[str]:
        try:
            for line in self._lines:
                text = line.replace(_RESERVED, " ")
                if self._words:  # marks of spaces, and those of unknown words that a text came with, are none
                    words = text.replace(SPACE_MARK, " ").split(" ")
                    text = " ".join(word for word in words if word != UNK_PIECE)
                if self._counting:
                    self.counts.update(text.split(" ") if self._words else text)
                yield text
        except BaseException as error:
            self.failure = error
            raise


def _explain(message: str, vocab_size: int) -> NmtError:
    if "!sentences_.empty()" in message:
        return DataError("there is no text to train a tokenizer on")
    if found := re.search(r"size too high .* value <= (\d+)", message):
        return VocabularyTooLargeError(asked=vocab_size, largest=int(found[1]))
    if found := re.search(r"smaller than required_chars\. \d+ vs (\d+)", message):
        return ConfigError(
            f"tokenizer.vocab_size = {vocab_size} is too small for this corpus: its characters alone need {found[1]} "
            "pieces; raise it, or lower tokenizer.character_coverage"
        )
    return DataError(f"SentencePiece cannot train on this text: {message}")


def train_apart(lines: Iterable[str], sample: Path, **options: Any) -> bytes:
    """Do as `train_tokenizer`, which takes the same options, in a process of its own.

    Args:
        lines: The text.
        sample: Where it is put for that process, and removed.
        options: Those of `train_tokenizer`.

    Raises:
        NmtError: As for `train_tokenizer`, or the memory ran out.
    """
    try:
        with sample.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(f"{line}\n" for line in lines)
        with closing(map_in_processes(partial(_make_trainer, options), [[sample]], workers=1)) as results:
            [result] = results
    except Exception as error:
        has_ended = type(error) is NmtError  # the process, without a word of its own
        if not has_ended and (isinstance(error, NmtError) or not is_out_of_memory(error)):
            raise
        raise NmtError(f"the tokenizer cannot be trained: {describe_out_of_memory()}") from error
    finally:
        sample.unlink(missing_ok=True)
    if isinstance(result, bytes):
        return result
    raise VocabularyTooLargeError(asked=result[0], largest=result[1])


def _make_trainer(options: dict[str, Any]) -> Callable[[list[Path]], bytes | tuple[int, int]]:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what C++ says where it ends a process is no line for a user
    return partial(_train_or_count, options)


def _train_or_count(options: dict[str, Any], block: list[Path]) -> bytes | tuple[int, int]:
    """Train on a file; where fewer pieces are to be had, return how many were asked for, and the largest number."""
    [sample] = block
    try:
        with sample.open(encoding="utf-8", newline="\n") as file:
            return train_tokenizer((line.removesuffix("\n") for line in file), **options)
    except VocabularyTooLargeError as error:
        return error.asked, error.largest


_MOST_SYMBOLS: Final = 2048
"""Those that a model of characters may have; see `nmt.text.tokenizer.Characters`."""


def load_any(path: Path) -> bytes:
    """Read a model file of any origin; return it with the special ids of `nmt.text.vocab`, as it is if it has them.

    Raises:
        ModelError: The file cannot be read, or holds no model that could be used.
    """
    try:
        return adopt_model(path.read_bytes())
    except OSError as error:
        raise ModelError(f"cannot read tokenizer {path}: {error.strerror}") from error
    except ModelError as error:
        raise ModelError(f"{path} cannot be used as a tokenizer: {error}") from error


def adopt_model(model: bytes) -> bytes:
    """Give a model the special pieces and ids of `nmt.text.vocab`, in front of its other pieces, whose order stays.

    It cuts text into the same pieces as before, and makes the same text of them.

    Raises:
        ModelError: It is none, or one that nothing here could use.
    """
    processor = load_processor(model)
    read = Model(model)
    _check(read)
    ids = list(special_ids(processor))
    names = [piece.text for piece in SPECIAL_PIECES]
    if ids == [PAD, UNK, BOS, EOS] and [piece.text for piece in read.pieces[: len(names)]] == names:
        return model
    for special, name in enumerate(names):
        for index, piece in enumerate(read.pieces):
            if piece.text == name and index not in ids:
                if piece.type != Type.CONTROL or ids[special] >= 0:
                    raise ModelError(f"its piece {name}, number {index}, is another than the special one of this name")
                ids[special] = index  # it was trained without, but has the piece all the same
    others = [piece for index, piece in enumerate(read.pieces) if index not in ids]
    adopted = read.with_pieces([*SPECIAL_PIECES, *others], {**SPECIAL_SETTINGS, "unk_surface": f" {UNKNOWN} "})
    Tokenizer(adopted)
    return adopted


def _check(model: Model) -> None:
    """Refuse models whose pieces mean something else than everything here expects."""
    types = {piece.type for piece in model.pieces}
    if model.trainer.treat_whitespace_as_suffix:
        raise ModelError("it marks the ends of words (treat_whitespace_as_suffix), expected marks at their starts")
    if model.kind == "byte":
        if model.normalizer != AS_BYTES:
            raise ModelError("it is a model of bytes, but does to spaces what no such model here does")
    elif not model.normalizer.escape_whitespaces:
        raise ModelError("it leaves spaces as they are (escape_whitespaces), expected marks in their place")
    if model.kind == "word" and Type.BYTE in types:
        raise ModelError("it cuts words that it does not know into bytes, expected one unknown word")
    symbols = sum(piece.type == Type.USER_DEFINED for piece in model.pieces)
    if model.kind in ("char", "byte") and symbols > _MOST_SYMBOLS:
        raise ModelError(f"it has {symbols:,} symbols, expected at most {_MOST_SYMBOLS:,} in a model of characters")
    found = [piece.text for piece in model.pieces if piece.type == Type.BYTE]
    if found and found != [f"<0x{byte:02X}>" for byte in range(256)]:
        raise ModelError("its pieces of bytes are not those of all 256 in order")
