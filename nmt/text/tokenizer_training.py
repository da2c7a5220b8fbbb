"""SentencePiece models are trained here, all with the same special ids; models of others are adopted."""

import io
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from google.protobuf.empty_pb2 import Empty  # type: ignore[import-untyped]
from google.protobuf.proto import serialize_length_prefixed  # type: ignore[import-untyped]
from sentencepiece import SentencePieceTrainer
from sentencepiece.sentencepiece_model_pb2 import ModelProto, NormalizerSpec, TrainerSpec  # type: ignore[attr-defined]

from nmt.errors import ConfigError, DataError, ModelError, NmtError, describe_out_of_memory, is_out_of_memory
from nmt.io.workers import map_in_processes
from nmt.text.tokenizer import Kind, Model, Piece, Tokenizer, Type, load_processor, special_ids
from nmt.text.vocab import BOS, BOS_PIECE, EOS, EOS_PIECE, PAD, PAD_PIECE, SPACE_MARK, UNK, UNK_PIECE, UNKNOWN

_TRAINER_KEY: Final = b"\x12"
"""What goes before the settings of the training, and their length, in a file."""
SPECIAL_PIECES: Final = (
    Piece(PAD_PIECE, type=Type.CONTROL),
    Piece(UNK_PIECE, type=Type.UNKNOWN),
    Piece(BOS_PIECE, type=Type.CONTROL),
    Piece(EOS_PIECE, type=Type.CONTROL),
)
"""In the order of the ids."""
SPECIAL_SETTINGS: Final[Mapping[str, int | str]] = {
    "unk_id": UNK,
    "bos_id": BOS,
    "eos_id": EOS,
    "pad_id": PAD,
    "unk_piece": UNK_PIECE,
    "bos_piece": BOS_PIECE,
    "eos_piece": EOS_PIECE,
    "pad_piece": PAD_PIECE,
}
"""What the settings of a training say of them."""
BYTE_PIECES: Final = tuple(Piece(f"<0x{byte:02X}>", type=Type.BYTE) for byte in range(256))
"""Those of all bytes, in order, as SentencePiece names them."""
_AS_BYTES: Final = NormalizerSpec(name="identity", remove_extra_whitespaces=False, escape_whitespaces=False)
"""What a model of bytes does to text: no space is taken away, and no mark is put in the place of any."""
_FIXED_OPTIONS: Final[dict[str, Any]] = {
    "normalization_rule_name": "identity",  # text is NFC already; NFKC would change what users wrote
    "max_sentence_length": 1 << 30,  # longer lines would be skipped
    "num_threads": 4,  # the model depends on it, so it is the same on every machine
    "minloglevel": 2,
    **SPECIAL_SETTINGS,
}
# SentencePiece learns nothing from a line that holds its own mark for unknown characters.
_RESERVED: Final = "\u2585"


class VocabularyTooLargeError(ConfigError):
    """More pieces were requested than the text can give."""

    def __init__(self, *, asked: int, largest: int) -> None:
        super().__init__(
            f"tokenizer.vocab_size = {asked} is too large for this corpus: at most {largest} pieces; "
            "lower it, or leave it unset to get as many as there are"
        )
        self.asked = asked
        self.largest = largest


@dataclass(frozen=True)
class TokenizerPlan:
    """What a tokenizer is to be like."""

    kind: Kind
    """Unigram language model, byte-pair encoding, words, characters or bytes."""
    vocab_size: int
    """Pieces, specials included; at most so many where the kind is "word" or "char", the most frequent. Of bytes there
    are 256, whatever this says."""
    character_coverage: float = 1.0
    """Share of the characters of the text that get a piece."""
    byte_fallback: bool = False
    """Give pieces to bytes too, into which characters without a piece are cut; for no kind but those of subwords and
    characters."""
    min_frequency: int = 1
    """How often a word or character has to occur, for the kinds "word" and "char"."""
    symbols: Sequence[str] = ()
    """Pieces that are never cut and never merged, or words that have pieces, however rare."""


def train_tokenizer(lines: Iterable[str], plan: TokenizerPlan) -> bytes:
    """Train a SentencePiece model on text that is normalised already; for bytes none is read. Return the bytes of the
    model, which depend on nothing but the arguments.

    Raises:
        VocabularyTooLargeError: The text has fewer subword pieces than requested.
        ConfigError: `vocab_size` leaves no room for the characters of the text, or for bytes.
    """
    kind, size, symbols, least_often = plan.kind, plan.vocab_size, plan.symbols, plan.min_frequency
    if kind == "byte":
        return make_byte_model(symbols)
    least = len(SPECIAL_PIECES) + 256 + len(symbols) + 1
    if plan.byte_fallback and size < least:
        raise ConfigError(
            f"tokenizer.vocab_size = {size} is too small for tokenizer.byte_fallback: 256 bytes, "
            f"{len(SPECIAL_PIECES)} special pieces, {len(symbols)} symbols and a character are {least} pieces"
        )
    source = _Lines(lines, kind, counting=least_often > 1)
    options = _FIXED_OPTIONS if kind in ("unigram", "bpe") else _FIXED_OPTIONS | {"hard_vocab_limit": False}
    options = options | {"vocab_size": size, "character_coverage": plan.character_coverage}
    if kind == "word":
        model = _train(source, model_type=kind, **options)
        return keep_words(model, source.counts, min_frequency=least_often, symbols=symbols, vocab_size=size)
    if plan.byte_fallback:
        options["byte_fallback"] = True
    model = _train(source, model_type=kind, user_defined_symbols=list(symbols), **options)
    return keep_frequent(model, source.counts, least_often) if least_often > 1 else model


def _train(source: "_Lines", **options: Any) -> bytes:
    model = io.BytesIO()
    try:
        SentencePieceTrainer.train(sentence_iterator=iter(source), model_writer=model, **options)
    except RuntimeError as error:
        if source.failure is not None:
            raise source.failure from None
        vocab_size, message = options["vocab_size"], str(error)
        if "!sentences_.empty()" in message:
            raise DataError("there is no text to train a tokenizer on") from error
        if found := re.search(r"size too high .* value <= (\d+)", message):
            raise VocabularyTooLargeError(asked=vocab_size, largest=int(found[1])) from error
        if found := re.search(r"smaller than required_chars\. \d+ vs (\d+)", message):
            raise ConfigError(
                f"tokenizer.vocab_size = {vocab_size} is too small for this corpus: its characters alone need "
                f"{found[1]} pieces; raise it, or lower tokenizer.character_coverage"
            ) from error
        raise DataError(f"SentencePiece cannot train on this text: {message}") from error
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


def train_apart(lines: Iterable[str], plan: TokenizerPlan, sample: Path) -> bytes:
    """Do as `train_tokenizer`, in a process that reads the text from `sample`."""
    try:
        with sample.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(f"{line}\n" for line in lines)
        with closing(map_in_processes(partial(_make_trainer, plan), [[sample]], workers=1)) as results:
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


def _make_trainer(plan: TokenizerPlan) -> Callable[[list[Path]], bytes | tuple[int, int]]:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what C++ says where it ends a process is no line for a user
    return partial(_train_or_count, plan)


def _train_or_count(plan: TokenizerPlan, block: list[Path]) -> bytes | tuple[int, int]:
    """Train on a file; where fewer pieces are to be had, return how many were asked for, and the largest number."""
    [sample] = block
    try:
        with sample.open(encoding="utf-8", newline="\n") as file:
            return train_tokenizer((line.removesuffix("\n") for line in file), plan)
    except VocabularyTooLargeError as error:
        return error.asked, error.largest


_MOST_SYMBOLS: Final = 2048
"""Those that a model of characters may have; see `nmt.text.tokenizer.Characters`."""


def load_any(path: Path) -> bytes:
    """Read a model file of any origin and adopt the model; a ModelError if that cannot be."""
    try:
        return adopt_model(path.read_bytes())
    except OSError as error:
        raise ModelError(f"cannot read tokenizer {path}: {error.strerror}") from error
    except ModelError as error:
        raise ModelError(f"{path} cannot be used as a tokenizer: {error}") from error


def adopt_model(model: bytes) -> bytes:
    """Give a model the special pieces and ids of `nmt.text.vocab`, in front of its other pieces, whose order stays.

    It cuts text into the same pieces as before, and makes the same text of them; a ModelError where it could not.
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
    adopted = with_pieces(read, [*SPECIAL_PIECES, *others], {**SPECIAL_SETTINGS, "unk_surface": f" {UNKNOWN} "})
    Tokenizer(adopted)
    return adopted


def make_byte_model(symbols: Sequence[str]) -> bytes:
    """Make a model of the 256 bytes and of symbols, which SentencePiece can use too, with the same result.

    Its pieces are the special ones, the symbols and the bytes, as in ByT5 (Xue et al., 2022), but a space goes before
    a text, so that its first word is cut as all others are. No text has an `<unk>`.
    """
    pieces = (*SPECIAL_PIECES, *(Piece(symbol, type=Type.USER_DEFINED) for symbol in symbols), *BYTE_PIECES)
    characters = {"model_type": TrainerSpec.CHAR, "byte_fallback": True, "vocab_size": len(pieces)}
    empty = Model(ModelProto(normalizer_spec=_AS_BYTES).SerializeToString())
    return with_pieces(empty, pieces, {**characters, **SPECIAL_SETTINGS})


def keep_frequent(model: bytes, counts: Mapping[str, int], min_frequency: int) -> bytes:
    """Leave characters out of a model of them that occur less often; the mark of a space stays."""
    read = Model(model)
    kept = [
        piece
        for piece in read.pieces
        if piece.type != Type.NORMAL or piece.text == SPACE_MARK or counts[piece.text] >= min_frequency
    ]
    return with_pieces(read, kept, {})


def keep_words(
    model: bytes, counts: Mapping[str, int], *, min_frequency: int, symbols: Sequence[str], vocab_size: int
) -> bytes:
    """Leave rare words out of a model of words, and put symbols in, before all other words.

    At most `vocab_size` pieces are left, the most frequent. Where `min_frequency` is 1, nothing has been counted.
    """
    if min_frequency == 1 and not symbols:
        return model
    read = Model(model)
    marked = [SPACE_MARK + symbol for symbol in symbols]
    words = [
        piece
        for piece in read.pieces[len(SPECIAL_PIECES) :]
        if piece.text not in marked and (min_frequency == 1 or counts[piece.text[1:]] >= min_frequency)
    ]
    pieces = [*SPECIAL_PIECES, *(Piece(text, type=Type.USER_DEFINED) for text in marked)]
    return with_pieces(read, [*pieces, *words[: max(0, vocab_size - len(pieces))]], {})


def with_pieces(model: Model, pieces: Sequence[Piece], settings: Mapping[str, int | str]) -> bytes:
    """Write a model with other pieces, and with other settings of the training, by their names."""
    settings = {**settings, "vocab_size": len(pieces)}
    trainer, rest = TrainerSpec(), ModelProto()
    trainer.CopyFrom(model.message.trainer_spec)
    for name in settings:
        trainer.ClearField(name)
    # Models are told apart by their bytes, and these settings always stood after all others, in this order.
    changed = [TrainerSpec(**{name: value}).SerializeToString() for name, value in settings.items()]
    framed = io.BytesIO()
    serialize_length_prefixed(Empty.FromString(trainer.SerializeToString() + b"".join(changed)), framed)
    rest.CopyFrom(model.message)
    for name in ("pieces", "trainer_spec", "normalizer_spec"):
        rest.ClearField(name)
    messages = [  # as SentencePiece writes them, which does not write that one is normal
        {"piece": piece.text, "score": piece.score, "type": None if piece.type == Type.NORMAL else piece.type}
        for piece in pieces
    ]
    return b"".join(
        [
            ModelProto(pieces=messages).SerializeToString(),
            _TRAINER_KEY + framed.getvalue(),
            ModelProto(normalizer_spec=model.message.normalizer_spec).SerializeToString(),
            rest.SerializeToString(),
        ]
    )


def _check(model: Model) -> None:
    """Refuse models whose pieces mean something else than everything here expects."""
    types = {piece.type for piece in model.pieces}
    if model.message.trainer_spec.treat_whitespace_as_suffix:
        raise ModelError("it marks the ends of words (treat_whitespace_as_suffix), expected marks at their starts")
    if model.kind == "byte":
        if model.message.normalizer_spec != _AS_BYTES:
            raise ModelError("it is a model of bytes, but does to spaces what no such model here does")
    elif not model.message.normalizer_spec.escape_whitespaces:
        raise ModelError("it leaves spaces as they are (escape_whitespaces), expected marks in their place")
    if model.kind == "word" and Type.BYTE in types:
        raise ModelError("it cuts words that it does not know into bytes, expected one unknown word")
    symbols = sum(piece.type == Type.USER_DEFINED for piece in model.pieces)
    if model.kind in ("char", "byte") and symbols > _MOST_SYMBOLS:
        raise ModelError(f"it has {symbols:,} symbols, expected at most {_MOST_SYMBOLS:,} in a model of characters")
    found = [piece.text for piece in model.pieces if piece.type == Type.BYTE]
    if found and found != [piece.text for piece in BYTE_PIECES]:
        raise ModelError("its pieces of bytes are not those of all 256 in order")
