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
from sentencepiece.sentencepiece_model_pb2 import ModelProto, TrainerSpec  # type: ignore[attr-defined]

from nmt.errors import ModelError

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
