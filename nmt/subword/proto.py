"""SentencePiece model files, read and written: they are protocol buffers, of which this knows just what is needed.

https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto says what the fields are.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Literal, NamedTuple

Kind = Literal["unigram", "bpe", "word", "char", "byte"]
Value = int | bytes
"""Of a field: a number, or what takes any other shape."""

_KINDS: Final[dict[Value, Kind]] = {1: "unigram", 2: "bpe", 3: "word", 4: "char"}
_PIECES: Final = 1
_TRAINER_SPEC: Final = 2
_NORMALIZER_SPEC: Final = 3
_MODEL_TYPE: Final = 3
_NUMBER, _BYTES = 0, 2
_FIXED_SIZES: Final = {1: 8, 5: 4}
"""The bytes that a value of these wire types takes."""


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


class Spec(Mapping[int, Value]):
    """Settings within a model file, by the numbers of their fields; of those that come again and again, the last."""

    def __init__(self, message: bytes = b"") -> None:
        self._fields = list(_fields(message))
        self._last = {number: value for number, _, value in self._fields}

    def __getitem__(self, number: int) -> Value:
        return self._last[number]

    def __iter__(self) -> Iterator[int]:
        return iter(self._last)

    def __len__(self) -> int:
        return len(self._last)

    def changed(self, values: Mapping[int, int | str]) -> bytes:
        """Write the settings with others in place of some of them; those that come again and again stay."""
        kept = [field for field in self._fields if field[0] not in values]
        return b"".join(
            [*(_write(*field) for field in kept), *(_write_value(number, value) for number, value in values.items())]
        )


@dataclass(frozen=True)
class Model:
    """What a model file says."""

    pieces: tuple[Piece, ...]
    """In the order of the ids."""
    trainer: bytes
    """Settings of the training, a `Spec`."""
    normalizer: bytes
    """Settings of the normalisation, a `Spec`."""
    rest: bytes = b""
    """Anything else, as it was."""

    @classmethod
    def read(cls, model: bytes) -> "Model":
        """Read the bytes of a file that SentencePiece can load."""
        pieces, specs, rest = list[Piece](), {_TRAINER_SPEC: b"", _NORMALIZER_SPEC: b""}, list[bytes]()
        for number, wire, value in _fields(model):
            if number == _PIECES and isinstance(value, bytes):
                pieces.append(_read_piece(value))
            elif number in specs and isinstance(value, bytes):
                specs[number] = value
            else:
                rest.append(_write(number, wire, value))
        return cls(tuple(pieces), specs[_TRAINER_SPEC], specs[_NORMALIZER_SPEC], b"".join(rest))

    def write(self) -> bytes:
        """Return the bytes of a file."""
        fields = [_write(_PIECES, _BYTES, _write_piece(piece)) for piece in self.pieces]
        fields += [
            _write(_TRAINER_SPEC, _BYTES, self.trainer),
            _write(_NORMALIZER_SPEC, _BYTES, self.normalizer),
        ]
        return b"".join([*fields, self.rest])

    @property
    def kind(self) -> Kind:
        """What it was trained as; a model of characters that has none, but bytes, is one of bytes."""
        kind = _KINDS[Spec(self.trainer).get(_MODEL_TYPE, 1)]
        types = {piece.type for piece in self.pieces}
        return "byte" if kind == "char" and Type.BYTE in types and Type.NORMAL not in types else kind


def write_spec(values: Mapping[int, int | str]) -> bytes:
    """Write settings, given by the numbers of their fields."""
    return Spec().changed(values)


def byte_pieces() -> Sequence[Piece]:
    """Return the pieces of the 256 bytes, in order, as SentencePiece names them."""
    return [Piece(f"<0x{byte:02X}>", type=Type.BYTE) for byte in range(256)]


def _read_piece(message: bytes) -> Piece:
    fields = {number: value for number, _, value in _fields(message)}
    text, score, kind = fields.get(1, b""), fields.get(2, bytes(4)), fields.get(3, Type.NORMAL)
    assert isinstance(text, bytes)
    assert isinstance(score, bytes)
    assert isinstance(kind, int)
    return Piece(text.decode(), struct.unpack("<f", score)[0], Type(kind))


def _write_piece(piece: Piece) -> bytes:
    score = _write(2, 5, struct.pack("<f", piece.score))
    kind = b"" if piece.type == Type.NORMAL else _write_value(3, piece.type)
    return _write_value(1, piece.text) + score + kind


def _fields(message: bytes) -> Iterator[tuple[int, int, Value]]:
    """Read the fields of a protocol buffer: their numbers, wire types and values."""
    place, end = 0, len(message)
    while place < end:
        key, place = _read_number(message, place)
        wire = key & 7
        if wire == _NUMBER:
            value, place = _read_number(message, place)
            yield key >> 3, wire, value
        else:
            size = _FIXED_SIZES.get(wire)
            if size is None:
                size, place = _read_number(message, place)
            yield key >> 3, wire, message[place : place + size]
            place += size


def _write(number: int, wire: int, value: Value) -> bytes:
    key = _number(number << 3 | wire)
    if isinstance(value, int):
        return key + _number(value)
    return key + value if wire in _FIXED_SIZES else key + _number(len(value)) + value


def _write_value(number: int, value: int | str) -> bytes:
    return _write(number, _BYTES, value.encode()) if isinstance(value, str) else _write(number, _NUMBER, value)


def _read_number(message: bytes, place: int) -> tuple[int, int]:
    """Read a number in groups of seven bits, the low ones first; return it and the place behind it."""
    byte = message[place]
    if byte < 0x80:
        return byte, place + 1
    number, shift = 0, 0
    while True:
        byte = message[place]
        number |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return number, place


def _number(number: int) -> bytes:
    groups = bytearray()
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    groups.append(number)
    return bytes(groups)
