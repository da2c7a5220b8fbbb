"""SentencePiece model files, read and written with SentencePiece's own description of them.

https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto says what the settings are.
"""

import io
from collections.abc import Mapping, Sequence
from enum import IntEnum
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple

from google.protobuf.empty_pb2 import Empty  # type: ignore[import-untyped]
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from google.protobuf.proto import serialize_length_prefixed  # type: ignore[import-untyped]
from sentencepiece.sentencepiece_model_pb2 import ModelProto, NormalizerSpec, TrainerSpec  # type: ignore[attr-defined]

from nmt.errors import ModelError
from nmt.text.vocab import BOS, BOS_PIECE, EOS, EOS_PIECE, PAD, PAD_PIECE, SPACE_MARK, UNK, UNK_PIECE

Kind = Literal["unigram", "bpe", "word", "char", "byte"]

_KINDS: Final[dict[int, Kind]] = {1: "unigram", 2: "bpe", 3: "word", 4: "char"}
_TRAINER_KEY: Final = b"\x12"
"""What goes before the settings of the training, and their length, in a file."""


class Type(IntEnum):
    """What a piece is."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


class Piece(NamedTuple):
    """A piece, its score and what it is."""

    text: str
    score: float = 0.0
    type: Type = Type.NORMAL


class Model:
    """What a model file says."""

    def __init__(self, serialized: bytes) -> None:
        """Read the bytes of a file that SentencePiece can load.

        Raises:
            ModelError: They end too early, or are none.
        """
        try:
            self._message = ModelProto.FromString(serialized)
            if any(isinstance(one.piece, bytes) for one in self._message.pieces):
                raise DecodeError("protobuf leaves a text that is no UTF-8 as bytes")
            self.pieces = tuple(Piece(one.piece, one.score, Type(one.type)) for one in self._message.pieces)
            """In the order of the ids."""
        except DecodeError as error:
            raise ModelError("not a SentencePiece model that can be read to its end") from error
        self.trainer: Any = self._message.trainer_spec
        """Settings of the training."""
        self.normalizer: Any = self._message.normalizer_spec
        """Settings of the normalisation."""

    @property
    def kind(self) -> Kind:
        """What it was trained as; a model of characters that has none, but bytes, is one of bytes."""
        kind = _KINDS[self.trainer.model_type]
        types = {piece.type for piece in self.pieces}
        return "byte" if kind == "char" and Type.BYTE in types and Type.NORMAL not in types else kind

    def with_pieces(self, pieces: Sequence[Piece], settings: Mapping[str, int | str] = MappingProxyType({})) -> bytes:
        """Write a model with other pieces, and with other settings of the training, by their names."""
        settings = {**settings, "vocab_size": len(pieces)}
        trainer, rest = TrainerSpec(), ModelProto()
        trainer.CopyFrom(self.trainer)
        for name in settings:
            trainer.ClearField(name)
        # Models are told apart by their bytes, and these settings always stood behind all others, in this order.
        changed = [TrainerSpec(**{name: value}).SerializeToString() for name, value in settings.items()]
        framed = io.BytesIO()
        serialize_length_prefixed(Empty.FromString(trainer.SerializeToString() + b"".join(changed)), framed)
        rest.CopyFrom(self._message)
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
                ModelProto(normalizer_spec=self.normalizer).SerializeToString(),
                rest.SerializeToString(),
            ]
        )


def byte_pieces() -> Sequence[Piece]:
    """Return the pieces of the 256 bytes, in order, as SentencePiece names them."""
    return [Piece(f"<0x{byte:02X}>", type=Type.BYTE) for byte in range(256)]


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
"""What the settings of the training within a model file say of them."""
AS_BYTES: Final = NormalizerSpec(name="identity", remove_extra_whitespaces=False, escape_whitespaces=False)
"""What a model of bytes does to text: no space is taken away, and no mark is put in the place of any."""


def make_byte_model(symbols: Sequence[str]) -> bytes:
    """Make a model of the 256 bytes and of symbols, which SentencePiece can use too, with the same result.

    Its pieces are the special ones, the symbols and the bytes, as in ByT5 (Xue et al., 2022), but a space goes before
    a text, so that its first word is cut as all others are. No text has an `<unk>`.
    """
    pieces = (*SPECIAL_PIECES, *(Piece(symbol, type=Type.USER_DEFINED) for symbol in symbols), *byte_pieces())
    characters = {"model_type": TrainerSpec.CHAR, "byte_fallback": True, "vocab_size": len(pieces)}
    empty = Model(ModelProto(normalizer_spec=AS_BYTES).SerializeToString())
    return empty.with_pieces(pieces, {**characters, **SPECIAL_SETTINGS})


def keep_frequent(model: bytes, counts: Mapping[str, int], min_frequency: int) -> bytes:
    """Leave characters out of a model of them that occur less often; the mark of a space stays."""
    read = Model(model)
    kept = [
        piece
        for piece in read.pieces
        if piece.type != Type.NORMAL or piece.text == SPACE_MARK or counts[piece.text] >= min_frequency
    ]
    return read.with_pieces(kept)


def keep_words(
    model: bytes, counts: Mapping[str, int], *, min_frequency: int, symbols: Sequence[str], vocab_size: int
) -> bytes:
    """Leave words out of a model of them that occur less often, and put symbols in, before all other words.

    Args:
        model: As it was trained.
        counts: How often each word occurs; not looked at where `min_frequency` is 1.
        min_frequency: How often a word has to occur that is no symbol.
        symbols: Words that are in the vocabulary, however rare.
        vocab_size: At most so many pieces are left, the most frequent.
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
    return read.with_pieces([*pieces, *words[: max(0, vocab_size - len(pieces))]])
